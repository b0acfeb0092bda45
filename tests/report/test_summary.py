"""Medians and paired ratios, on samples whose answers are known."""

from __future__ import annotations

import math

import pytest

from dataflow.report.summary import groups_of, median_of, summary_rows


def row(strategy: str, block: int, speed: float | None, phase: str = "", **more) -> dict:
    common = {
        "suite": "quick",
        "workload": "mixed",
        "scenario": "mixed",
        "factor": "",
        "level": "",
        "cluster": "local",
    }
    return {
        **common, "strategy": strategy, "block": block, "phase": phase, "documents_per_second": speed,
        "documents": 10, "ok": 9, **more,
    }  # fmt: skip


def arm(rows: list[dict], strategy: str, phase: str = ""):
    (found,) = [a for a in summary_rows(rows) if (a.strategy, a.phase) == (strategy, phase)]
    return found


def test_a_ratio_is_paired_within_its_block():
    rows = [row("base", 0, 100), row("base", 1, 10), row("x", 0, 200), row("x", 1, 30)]
    # Unpaired medians would give (115 / 55).
    assert arm(rows, "x").ratios == (2.0, 3.0)
    assert arm(rows, "x").ratio == 2.5


def test_a_block_without_base_gives_no_ratio():
    rows = [row("base", 0, 100), row("x", 0, 150), row("x", 1, 900)]
    assert arm(rows, "x").ratios == (1.5,)
    assert arm(rows, "x").blocks == 2


def test_base_has_no_ratio_to_itself():
    assert arm([row("base", 0, 100)], "base").ratio is None


def test_a_warm_arm_is_held_against_warm_base_and_else_against_base_without_a_cache():
    rows = [row("x", 0, 300, "warm"), row("base", 0, 100)]
    assert arm(rows, "x", "warm").ratios == (3.0,)
    rows += [row("base", 0, 150, "warm")]
    assert arm(rows, "x", "warm").ratios == (2.0,)


def test_phases_are_arms_of_their_own():
    rows = [row("x", 0, 10, "cold"), row("x", 0, 90, "warm")]
    assert [(a.phase, a.documents_per_second) for a in summary_rows(rows)] == [("warm", 90), ("cold", 10)]


def test_arms_of_another_scenario_are_never_compared():
    rows = [row("base", 0, 100, scenario="single"), row("x", 0, 200, scenario="mixed")]
    assert arm(rows, "x").ratio is None
    assert [g.label for g in groups_of(summary_rows(rows))] == ["quick · mixed · single", "quick · mixed"]


def test_a_failed_trial_is_no_trial_but_its_error_stays():
    rows = [row("x", 0, 100), row("x", 1, None, error="ClusterError: gone"), row("base", 1, 50)]
    found = arm(rows, "x")
    assert (len(found.trials), found.errors, found.ratios) == (1, ("ClusterError: gone",), ())


def test_a_failed_base_is_no_reference():
    assert arm([row("base", 0, 100, error="x"), row("x", 0, 200)], "x").ratio is None


def test_rates_are_pooled_over_the_trials_and_not_averaged():
    rows = [
        row("x", 0, 1, documents=100, ok=100, hits=1, misses=0),
        row("x", 1, 1, documents=1, ok=0, hits=0, misses=3),
    ]
    assert arm(rows, "x").success_rate == 100 / 101
    assert arm(rows, "x").hit_rate == 0.25


def test_what_was_not_counted_is_unknown_and_not_zero():
    found = arm([row("x", 0, None, documents=None, ok=None)], "x")
    assert found.success_rate is found.hit_rate is found.documents_per_second is found.ratio is None


def test_one_trial_with_other_results_disqualifies_an_arm():
    rows = [row("x", 0, 100, matches_serial=True), row("x", 1, 100, matches_serial=False)]
    assert arm(rows, "x").disqualified
    assert arm(rows, "x").label == "x (other results)"
    assert not arm([row("x", 0, 100, matches_serial=None)], "x").disqualified


def test_the_fastest_stands_first_and_ties_go_by_name():
    rows = [row("b", 0, 5), row("c", 0, 9), row("a", 0, 5), row("none", 0, None)]
    assert [a.strategy for a in summary_rows(rows)] == ["c", "a", "b", "none"]


def test_no_trials_are_no_arms():
    assert summary_rows([]) == []


@pytest.mark.parametrize(
    ("values", "expected"),
    [([3, 1, 2], 2), ([1, 2, 3, 10], 2.5), ([None, 4, math.nan, math.inf], 4), ([None], None), ([], None)],
)
def test_a_median_leaves_out_what_is_no_number(values, expected):
    assert median_of(values) == expected
