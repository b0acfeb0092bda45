"""Cheap names are left alone after a small loss; costly ones never are."""

from __future__ import annotations

import pytest

from dataflow.graph.memoize.worth import BUDGET_SECONDS, Spent, Worth
from dataflow.memo.dictionary import DictMemo
from dataflow.memo.sealing import Sealing

CHEAP = Spent(compute=1e-5, lookup=4e-4, store=3e-4)
COSTLY = Spent(compute=0.5, lookup=4e-4, store=3e-4)
UNKEPT = Spent(compute=1e-2, lookup=4e-4, store=3e-4, kept=False)


def asked_for(worth: Worth, spent: Spent, number: int = 1000) -> int:
    """Of so many nodes, how many were looked up."""
    asked = 0
    for _ in range(number):
        if worth.asks("f"):
            asked += 1
            worth.asked("f", spent)
        else:
            worth.ran("f", spent.compute)
    return asked


def test_a_cheap_name_is_left_alone_after_a_small_loss() -> None:
    asked = asked_for(Worth(), CHEAP)
    lost = (asked - 2) * (CHEAP.lookup + (CHEAP.store or 0.0))
    assert 2 < asked < 20
    assert lost <= BUDGET_SECONDS


def test_a_costly_name_is_always_asked_for() -> None:
    assert asked_for(Worth(), COSTLY) == 1000


def test_a_name_is_left_alone_by_itself() -> None:
    worth = Worth()
    asked_for(worth, CHEAP)
    assert not worth.asks("f")
    assert worth.asks("g")


def test_a_cheap_name_that_becomes_costly_is_asked_for_again() -> None:
    worth = Worth()
    asked_for(worth, CHEAP)
    worth.ran("f", 0.5)
    assert worth.asks("f")


def test_a_costly_task_among_a_thousand_cheap_ones_is_still_asked_for() -> None:
    worth = Worth()
    worth.asked("f", Spent(compute=60.0, lookup=4e-4, store=3e-4))
    assert asked_for(worth, CHEAP) == 1000


def test_another_process_hears_of_a_costly_task_before_it_leaves_a_name_alone() -> None:
    memo, first, second = DictMemo(), Worth(), Worth()
    first.asked("f", Spent(compute=60.0, lookup=4e-4))
    first.share("f", memo)
    for _ in range(100):
        if second.asks("f"):
            second.asked("f", CHEAP)
            second.share("f", memo)
    assert second.asks("f")


def test_what_a_costly_task_took_is_told_under_a_tag_too() -> None:
    memo, worth = DictMemo(Sealing(secret=b"s", tag="models")), Worth()
    worth.asked("f", COSTLY)
    worth.share("f", memo)
    assert memo.counters()["stored"] == 1
    worth.share("f", memo)
    assert memo.counters()["stored"] == 1


def test_values_that_can_not_be_kept_make_a_name_not_worth_asking_for() -> None:
    assert asked_for(Worth(), UNKEPT) < 100


def test_without_admission_everything_is_asked_for() -> None:
    worth = Worth(enabled=False)
    assert asked_for(worth, CHEAP) == 1000
    assert worth.claims("f")


@pytest.mark.parametrize(("spent", "claims"), [(CHEAP, False), (COSTLY, True), (UNKEPT, False)])
def test_a_claim_is_made_for_what_takes_long(spent: Spent, claims: bool) -> None:
    worth = Worth()
    assert worth.claims("f")
    worth.asked("f", spent)
    assert worth.claims("f") is claims
