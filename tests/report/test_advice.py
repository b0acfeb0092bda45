"""What may be said and, above all, what may not."""

from __future__ import annotations

from dataflow.report.advice import advice
from dataflow.report.summary import summary_rows


def trials(blocks: int, **speeds: float) -> list[dict]:
    return [
        {
            "strategy": name,
            "block": block,
            "documents_per_second": speed,
            "documents": 10,
            "ok": 10,
            "phase": "",
        }
        for block in range(blocks)
        for name, speed in speeds.items()
    ]


def only(rows: list[dict]):
    (given,) = advice(summary_rows(rows))
    return given


def test_few_blocks_are_inconclusive_and_say_how_many_are_needed():
    given = only(trials(3, base=100, x=124))
    assert given.sentence == (
        "Documents seen for the first time: x has the highest median, 124 documents/s, 1.24x that of base "
        "(1.24x to 1.24x over 3 blocks). Inconclusive: 3 blocks; at least 6 are needed for a verdict."
    )


def test_many_blocks_are_still_no_verdict_without_a_test():
    given = only(trials(6, base=100, x=124))
    assert "no test was made" in given.caveat
    assert given.caveat.startswith("Inconclusive")


def test_one_block_has_no_range():
    given = only(trials(1, base=100, x=200))
    assert "2.00x that of base in the one block that has both." in given.finding
    assert given.caveat.startswith("Inconclusive: 1 block;")


def test_a_single_arm_has_nothing_to_be_compared_with():
    assert only(trials(9, base=100)).caveat == "Inconclusive: there is nothing to compare it with."


def test_an_arm_with_other_results_is_never_recommended_however_fast():
    rows = trials(3, base=100, wrong=900)
    for row in rows:
        row["matches_serial"] = row["strategy"] != "wrong"
    assert only(rows).arm.strategy == "base"


def test_an_arm_that_loses_documents_is_not_recommended():
    rows = trials(3, base=100, careless=900)
    for row in rows:
        row["ok"] = 9 if row["strategy"] == "careless" else 10
    assert only(rows).arm.strategy == "base"


def test_when_all_are_wrong_nothing_is_recommended_and_the_reason_is_said():
    rows = [{**row, "matches_serial": False} for row in trials(3, base=100, x=200)]
    given = only(rows)
    assert given.arm is None
    assert given.sentence.endswith(
        "no strategy can be recommended. "
        "Those that ran to their end gave other results than the serial baseline."
    )


def test_when_all_failed_nothing_is_recommended():
    rows = [{**row, "error": "ClusterError: gone"} for row in trials(2, base=100)]
    assert only(rows).caveat == "No trial ran to its end."


def test_a_warm_cache_does_not_answer_for_new_documents():
    rows = trials(3, base=100, x=90)
    for row in rows:
        row["phase"] = "cold" if row["strategy"] == "x" else ""
    warm = [{**row, "phase": "warm", "documents_per_second": 2000} for row in rows if row["strategy"] == "x"]
    first, again = advice(summary_rows(rows + warm))
    assert (first.question, first.arm.strategy) == ("Documents seen for the first time", "base")
    assert (again.question, again.arm.strategy) == ("The same documents again", "x")


def test_the_twin_of_base_says_how_large_chance_is_and_never_wins():
    rows = trials(2, base=100, twin=105, x=103)
    rows[1]["documents_per_second"] = 98
    for row in rows:
        row["factor"] = "twin" if row["strategy"] == "twin" else ""
    given = only(rows)
    assert given.arm.strategy == "x"
    assert given.caveat.endswith("Base run twice in each block differed from itself by 0.98x to 1.05x.")


def test_each_scenario_gets_its_own_advice():
    rows = [{**row, "scenario": s} for s in ("single", "batch") for row in trials(1, base=100, x=200)]
    assert [g.question for g in advice(summary_rows(rows))] == [
        "Documents seen for the first time (single)",
        "Documents seen for the first time (batch)",
    ]


def test_what_was_measured_after_an_edit_is_an_answer_of_its_own():
    rows = trials(2, base=100) + [
        {**row, "phase": phase} for phase in ("churn", "warm", "cold") for row in trials(2, x=900)
    ]
    rows += [{**row, "phase": "later"} for row in trials(2, x=900)]
    assert [found.question for found in advice(summary_rows(rows))] == [
        "Documents seen for the first time",
        "The same documents again",
        "The same documents, a tenth of them changed",
        "After later",
    ]
