import itertools

import pytest

from dataflow import Document
from dataflow.engine.ladder import Ladder
from dataflow.graph.guard import SOMEBODY, Guard
from dataflow.graph.plan import Batch


def batch(n, number=1, isolated=False):
    documents = tuple(Document(str(i), 1, "text/plain") for i in range(n))
    return Batch(number, documents, tuple(range(n)), (0,) * n, isolated=isolated)


def ladder(*, bisect=True, ledger=None, all_note=False):
    return Ladder(bisect=bisect, ledger=ledger, all_note=all_note, number=itertools.count(100).__next__)


def test_without_a_ledger_a_lost_batch_is_halved_and_one_document_isolated():
    rescue = ladder().lost(batch(5), "died")
    assert [b.positions for b in rescue.batches] == [(0, 1), (2, 3, 4)]
    (alone,) = ladder().lost(batch(1), "died").batches
    assert alone.isolated


def test_the_ledger_names_the_culprit_and_the_innocent_are_run_again(tmp_path):
    guard = Guard(str(tmp_path))
    with guard.at(1, 2, 0, 60):
        rescue = ladder(ledger=str(tmp_path), all_note=True).lost(batch(4), "died")
    culprit, rest = rescue.batches
    assert (culprit.positions, culprit.isolated, culprit.attempts) == ((2,), True, (1,))
    assert (rest.positions, rest.isolated, rest.attempts) == ((0, 1, 3), False, (0, 0, 0))


def test_a_batch_that_only_waited_is_run_again_whole(tmp_path):
    Guard(str(tmp_path))
    (again,) = ladder(ledger=str(tmp_path), all_note=True).lost(batch(3), "died").batches
    assert (len(again), again.attempts) == (3, (0, 0, 0))


def test_a_batch_that_was_the_last_its_worker_was_at_is_halved_when_it_is_lost_so_again(tmp_path):
    """One of its documents may have broken the worker after its own time."""
    guard = Guard(str(tmp_path))
    chosen = ladder(ledger=str(tmp_path), all_note=True)
    with guard.at(1, 2, 0, 60):
        pass
    (again,) = chosen.lost(batch(4, number=1), "died").batches
    assert (len(again), again.attempts) == (4, (0, 0, 0, 0))
    with guard.at(again.number, 2, 0, 60):
        pass
    assert [b.positions for b in chosen.lost(again, "died").batches] == [(0, 1), (2, 3)]


def test_without_bisection_nobody_is_suspected_of_having_been_the_last(tmp_path):
    guard = Guard(str(tmp_path))
    chosen, lost = ladder(bisect=False, ledger=str(tmp_path), all_note=True), batch(4)
    for _ in range(5):
        with guard.at(lost.number, 2, 0, 60):
            pass
        (lost,) = chosen.lost(lost, "died").batches
    assert len(lost) == 4


def test_a_batch_that_is_lost_for_ever_with_nobody_to_blame_is_halved_in_the_end(tmp_path):
    chosen = ladder(ledger=str(tmp_path), all_note=True)
    lost, rounds = [batch(2)], 0
    while len(lost) == 1:
        lost = chosen.lost(lost[0], "died").batches
        rounds += 1
        assert rounds < 100
    assert [len(b) for b in lost] == [1, 1]


def test_an_isolated_document_whose_worker_died_is_isolated_again():
    (again,) = ladder().lost(batch(1, isolated=True), "died").batches
    assert again.isolated
    assert again.attempts == (0,)


def test_an_isolated_document_whose_worker_dies_each_time_is_quarantined_in_the_end():
    chosen, lost, rounds = ladder(), batch(1, isolated=True), 0
    while (rescue := chosen.lost(lost, "died")).batches:
        (lost,) = rescue.batches
        rounds += 1
        assert rounds < 100
    assert [o.status for o in rescue.outcomes] == ["quarantined"]


def test_without_bisection_a_lost_batch_is_quarantined_whole():
    rescue = ladder(bisect=False).lost(batch(3), "its worker died")
    assert [(o.status, o.error) for o in rescue.outcomes] == [("quarantined", "its worker died")] * 3


def test_without_bisection_a_batch_that_only_waited_is_run_again_and_no_more_often_than_with_it(tmp_path):
    guard = Guard(str(tmp_path))
    chosen = ladder(bisect=False, ledger=str(tmp_path), all_note=True)
    with guard.at(1, 2, 0, 60):
        assert len(chosen.lost(batch(4, number=1), "died").outcomes) == 4
        lost, rounds = batch(3, number=2), 0
        while (rescue := chosen.lost(lost, "died")).batches:
            (lost,) = rescue.batches
            assert (len(lost), lost.attempts) == (3, (0, 0, 0))
            rounds += 1
            assert rounds < 100
    assert rounds > 1
    assert len(rescue.outcomes) == 3


def test_a_batch_that_raises_is_halved_down_to_the_document_that_failed():
    assert len(ladder().failed(batch(2), "TypeError", "no").batches) == 2
    (outcome,) = ladder().failed(batch(1), "TypeError", "no").outcomes
    assert (outcome.status, outcome.error_type, outcome.error) == ("failed", "TypeError", "no")


@pytest.mark.parametrize("n", [1, 2, 7, 64])
def test_one_poison_costs_at_most_2n_attempts(n):
    poison, chosen, attempts = 0, ladder(), 0
    queue = [batch(n)]
    while queue:
        one = queue.pop()
        attempts += 1
        if poison in one.positions and not one.isolated:
            queue += chosen.lost(one, "died").batches
    assert attempts <= 2 * n


def test_a_batch_whose_values_ended_it_is_halved_or_given_up_whole(tmp_path):
    guard = Guard(str(tmp_path))
    with guard.at(1, SOMEBODY, -2, 60):
        halves = ladder(ledger=str(tmp_path), all_note=True).lost(batch(5), "died")
        innocent = ladder(ledger=str(tmp_path), all_note=True, bisect=False).lost(batch(2), "died")
    assert [b.positions for b in halves.batches] == [(0, 1), (2, 3, 4)]
    assert [b.positions for b in innocent.batches] == [(0, 1)]  # another thread's document may have ended it
    next(tmp_path.glob("*.stack")).write_text("it was ended for its time")
    with guard.at(1, SOMEBODY, -2, 0):
        whole = ladder(ledger=str(tmp_path), all_note=True, bisect=False).lost(batch(2), "died")
    assert [o.status for o in whole.outcomes] == ["quarantined"] * 2
