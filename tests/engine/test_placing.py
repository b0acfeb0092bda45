"""A batch goes to the worker that is predicted to be free for it first."""

from __future__ import annotations

import pytest

from dataflow.engine.placing import Placing

ONE, TWO = "tcp://one", "tcp://two"


@pytest.fixture
def now():
    return [100.0]


@pytest.fixture
def placing(now):
    return Placing({ONE: 1, TWO: 1}, clock=lambda: now[0])


def test_what_comes_next_goes_to_the_worker_with_the_shorter_work(placing):
    assert placing.place("run", 1, 4.0) == ONE
    assert placing.place("run", 2, 1.0) == TWO
    assert placing.place("run", 3, 2.0) == TWO
    assert placing.place("run", 4, 0.5) == TWO
    assert placing.place("run", 5, 1.0) == TWO  # 3.5 against 4
    assert placing.place("run", 6, 1.0) == ONE


def test_it_is_known_when_each_will_be_through(placing, now):
    placing.place("run", 1, 4.0)
    assert placing.free_in() == [4.0, 0.0]
    now[0] += 1.0
    assert placing.free_in() == [3.0, 0.0]


def test_time_that_passes_counts(placing, now):
    placing.place("run", 1, 4.0)
    placing.place("run", 2, 1.0)
    placing.ended("run", 2, 1.0)
    placing.place("run", 3, 3.0)
    now[0] += 2.0
    assert placing.place("run", 4, 1.5) == TWO  # 1 second is left there, and 2 on the other
    assert placing.place("run", 5, 1.0) == ONE


def test_what_takes_longer_than_predicted_is_expected_to_take_as_long_again(placing, now):
    placing.place("run", 1, 1.0)
    placing.place("run", 2, 1.0)
    now[0] += 1.0
    placing.ended("run", 2, 1.0)
    now[0] += 9.0  # the first one hangs
    for number in range(3, 8):
        assert placing.place("run", number, 1.0) == TWO


def test_batches_of_which_nothing_is_known_go_round(placing):
    assert {placing.place("run", 1, 0), placing.place("run", 2, 0)} == {ONE, TWO}
    assert {placing.place("run", 3, 0), placing.place("run", 4, 0)} == {ONE, TWO}


def test_they_are_taken_for_what_others_took(placing):
    placing.place("run", 1, 0)
    placing.ended("run", 1, 3.0)
    placing.place("run", 2, 0)  # three seconds, perhaps
    assert [placing.place("run", number, 1.0) for number in (3, 4)] == [TWO, TWO]


def test_a_batch_that_is_predicted_anew_counts_by_that(placing):
    placing.place("run", 1, 0.1)
    placing.place("run", 2, 0.2)
    placing.expect("run", 1, 5.0)
    placing.expect("run", 9, 5.0)  # which nobody was given
    assert [placing.place("run", number, 1.0) for number in (3, 4)] == [TWO, TWO]


def test_a_worker_that_is_gone_gets_nothing_and_one_that_is_new_begins_with_nothing(placing):
    placing.place("run", 1, 1.0)
    placing.place("run", 2, 9.0)
    placing.know({TWO: 1, "tcp://three": 1})
    placing.ended("run", 1)  # lost with its worker
    assert placing.place("run", 3, 2.0) == "tcp://three"
    assert placing.place("run", 4, 2.0) == "tcp://three"


@pytest.mark.parametrize("workers", [{}, {ONE: 1}, {ONE: 2, TWO: 2}, {ONE: 1, TWO: 4}])
def test_where_there_is_no_choice_or_dask_knows_better_nothing_is_placed(workers):
    assert Placing(workers).place("run", 1, 1.0) is None


def test_batches_of_another_run_count_and_those_of_one_that_was_given_up_do_not(placing):
    assert [placing.place("one", 1, 4.0), placing.place("two", 1, 1.0)] == [ONE, TWO]
    assert placing.place("two", 2, 1.0) == TWO
    placing.forget("one", [1])
    assert placing.place("two", 3, 1.0) == ONE
