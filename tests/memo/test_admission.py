from __future__ import annotations

from dataflow.memo.admission import Admission


def batches(
    admission: Admission, count: int, *, compute: float, lookup: float = 1e-4, store: float = 2e-4
) -> int:
    """Feed some batches of 100 documents; how many of them used the memo."""
    used = 0
    for _ in range(count):
        if not admission.batch():
            continue
        used += 1
        admission.observe(
            looked_up=100,
            lookup_seconds=lookup * 100,
            stored=100,
            store_seconds=store * 100,
            compute_seconds=compute,
            stage_seconds={"extract": compute * 0.99, "chunk": compute * 0.01},
        )
    return used


def test_what_takes_long_is_always_kept() -> None:
    assert batches(Admission(), 1000, compute=0.01) == 1000


def test_what_is_cheap_is_left_alone_after_a_small_bounded_loss() -> None:
    used = batches(Admission(budget_seconds=0.05), 1000, compute=1e-6)
    assert used <= 2 + 0.05 / 0.03 + 1000 / 64 + 1


def test_a_small_corpus_is_kept_however_cheap() -> None:
    assert batches(Admission(), 2, compute=1e-6) == 2


def test_what_was_cheap_and_is_not_any_more_is_kept_again() -> None:
    admission = Admission()
    batches(admission, 200, compute=1e-6)
    batches(admission, 64 * 10, compute=0.1)
    assert batches(admission, 50, compute=0.1) == 50


def test_the_first_batch_in_which_connections_are_opened_decides_nothing() -> None:
    admission = Admission()
    batches(admission, 1, compute=0.001, lookup=1.0, store=1.0)
    assert batches(admission, 100, compute=0.001) == 100


def test_a_stage_is_kept_by_itself_only_if_an_edit_elsewhere_would_be_worth_it() -> None:
    admission = Admission()
    assert admission.step("chunk")  # nothing is known yet
    batches(admission, 5, compute=0.01)
    assert admission.step("extract")
    assert not admission.step("chunk")


def test_workers_agree_on_who_computes_only_what_takes_some_time() -> None:
    admission = Admission()
    assert admission.claims()
    batches(admission, 5, compute=0.05)
    assert admission.claims()
    batches(admission, 50, compute=0.001)
    assert not admission.claims()


def test_switched_off_everything_is_kept() -> None:
    admission = Admission(enabled=False)
    assert batches(admission, 500, compute=0.0) == 500
    assert admission.step("chunk")
    assert admission.claims()
