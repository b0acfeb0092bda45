from __future__ import annotations

from dataflow.memo.admission import Admission

KIND = "text/plain"


def batches(
    admission: Admission,
    count: int,
    *,
    compute: float,
    lookup: float = 1e-4,
    store: float = 2e-4,
    kind: str = KIND,
) -> int:
    """Feed some batches of 100 documents; how many documents were asked for."""
    asked = 0
    for _ in range(count):
        some = admission.asks({kind: 100})[kind]
        asked += some
        stored = sum(admission.keeps([(kind, compute)] * some))
        admission.observe(
            looked_up=some,
            lookup_seconds=lookup * some,
            stored=stored,
            store_seconds=store * stored,
            compute_seconds={kind: [compute] * 100},
            stage_seconds={"extract": compute * 0.99, "chunk": compute * 0.01},
        )
    return asked


def test_what_takes_long_is_always_kept() -> None:
    assert batches(Admission(), 1000, compute=0.01) == 100_000


def test_what_is_cheap_is_left_alone_after_a_small_bounded_loss() -> None:
    asked = batches(Admission(), 1000, compute=1e-6)
    # Nothing is known of the kind in the first batch.
    assert asked <= 100 + 0.01 * 1000 * 100 * 1e-6 / 1e-4


def test_of_a_first_batch_nothing_cheap_is_kept_but_what_is_dear_is() -> None:
    admission = Admission()
    assert admission.asks({KIND: 100}) == {KIND: 100}
    assert admission.keeps([(KIND, 2e-6), (KIND, 1e-3)]) == [False, True]


def test_of_a_first_batch_of_a_kind_that_is_cheap_as_a_whole_nothing_is_kept() -> None:
    """Of 40 us each would pay, and none is kept later: what was kept first would be found by nobody."""
    cheap, dear = [(KIND, 4e-5)] * 3, [("application/pdf", 0.1), ("application/pdf", 4e-5)]
    assert Admission(allowance=0.0).keeps([*cheap, *dear]) == [False] * 3 + [True] * 2


def test_what_was_cheap_and_is_not_any_more_is_kept_again() -> None:
    admission = Admission()
    batches(admission, 200, compute=1e-6)
    assert batches(admission, 2, compute=0.1) >= 100
    assert batches(admission, 50, compute=0.1) == 5000


def test_a_few_dear_documents_among_many_cheap_ones_are_noticed_though_nobody_asked_for_them() -> None:
    admission = Admission()
    assert batches(admission, 50, compute=1e-6) <= 200  # until what asking takes is known
    dear = {KIND: [1e-6] * 99 + [1.0]}
    admission.observe(
        looked_up=0, lookup_seconds=0, stored=0, store_seconds=0, compute_seconds=dear, stage_seconds={}
    )
    assert admission.asks({KIND: 100}) == {KIND: 100}


def test_of_a_kind_that_is_asked_for_what_is_cheap_is_not_kept_once_the_allowance_is_spent() -> None:
    admission = Admission(allowance=0.0)
    batches(admission, 3, compute=0.1)
    assert admission.keeps([(KIND, 0.1), (KIND, 1e-6), (KIND, 0.1), (KIND, 0.0)]) == [
        True,
        False,
        True,
        False,
    ]


def test_each_kind_of_document_is_judged_by_itself() -> None:
    admission = Admission(allowance=0.0)
    batches(admission, 20, compute=1e-6)
    batches(admission, 20, compute=0.1, kind="application/pdf")
    asked = admission.asks({KIND: 1000, "application/pdf": 10, "text/html": 10})
    assert asked[KIND] == 0
    assert asked["application/pdf"] == 10
    assert asked["text/html"] == 10  # nothing is known of it yet


def test_the_first_batch_in_which_connections_are_opened_decides_nothing() -> None:
    admission = Admission()
    batches(admission, 1, compute=0.001, lookup=1.0, store=1.0)
    assert batches(admission, 100, compute=0.001) == 10_000


def test_a_stage_is_kept_by_itself_only_if_an_edit_elsewhere_would_be_worth_it() -> None:
    admission = Admission()
    assert admission.step("chunk")  # nothing is known yet
    batches(admission, 5, compute=0.01)
    assert admission.step("extract")
    assert not admission.step("chunk")


def test_until_a_stage_has_a_mean_what_one_document_took_counts() -> None:
    admission = Admission()
    assert admission.step("extract", 0.01)
    assert not admission.step("extract", 1e-6)


def test_workers_agree_on_who_computes_only_what_takes_some_time() -> None:
    admission = Admission()
    assert admission.claims(KIND)
    batches(admission, 5, compute=0.05)
    assert admission.claims(KIND)
    batches(admission, 100, compute=0.001)
    assert not admission.claims(KIND)


def test_switched_off_everything_is_kept() -> None:
    admission = Admission(enabled=False)
    assert batches(admission, 500, compute=0.0) == 50_000
    assert admission.step("chunk")
    assert admission.claims(KIND)


def test_what_is_cheap_is_kept_only_where_a_first_run_hardly_feels_it() -> None:
    """By what it saves alone, it would pay: of 150 us, 130 are saved twice for 20."""
    assert batches(Admission(), 1000, compute=1.5e-4, lookup=2e-5, store=2e-5) < 0.1 * 100_000
    assert batches(Admission(), 1000, compute=1.5e-4, lookup=4e-6, store=8e-6) > 0.5 * 100_000
    assert batches(Admission(), 100, compute=4e-4, lookup=1e-4, store=1e-4) == 10_000


def test_nothing_is_tried_of_what_seems_cheap_but_what_the_allowance_pays_for() -> None:
    admission = Admission()
    assert admission.asks({KIND: 1000}) == {KIND: 1000}  # of whom nothing is known yet
    nothing = {"looked_up": 0, "lookup_seconds": 0.0, "stored": 0, "store_seconds": 0.0, "stage_seconds": {}}
    admission.observe(compute_seconds={KIND: [4e-5] * 1000}, **nothing)
    assert admission.asks({KIND: 1000}) == {KIND: 0}
    admission.observe(compute_seconds={KIND: [4e-2] * 1000}, **nothing)
    assert admission.asks({KIND: 1000}) == {KIND: 1000}
