"""Counters become rows and rows counters again; nothing is counted twice and nothing is lost."""

from __future__ import annotations

import pytest

from dataflow.measure.caching import METRICS, cache_rows, counters_of

COUNTERS = {
    "hits_lru": 2.0, "hits_redis": 1.0, "misses_new": 3.0, "stat_racy": 1.0, "recalled_extract": 2.0,
    "asked_lru": 6.0, "lookup_seconds_lru": 0.25, "lookup_seconds": 0.5, "bytes_read": 9.0, "bytes_read_lru": 9.0,
    "evicted": 4.0, "bytes_evicted": 80.0, "lease_waits": 1.0, "lease_wait_seconds": 0.125,
    "breaker_opened": 2.0, "breaker_closed": 1.0, "skipped": 5.0, "skipped_reads": 5.0,
    "errors": 3.0, "errors_TimeoutError": 3.0, "refused": 1.0, "refused_OutOfMemoryError": 1.0,
    "spill_errors": 1.0, "spill_errors_OSError": 1.0, "compute_seconds_saved": 2.0, "never_heard_of": 7.0,
}  # fmt: skip


def test_every_counter_is_a_row_with_its_unit() -> None:
    found = {
        (r["metric"], r["tier"], r["reason"]): (r["value"], r["unit"]) for r in cache_rows(3, COUNTERS, 12)
    }
    assert found["hits", "redis", None] == (1.0, "documents")
    assert found["misses_state", None, "racy"] == (1.0, "documents")
    assert found["recalled", None, "extract"] == (2.0, "documents")
    assert found["lookup_seconds", "lru", None] == (0.25, "seconds")
    assert found["lookup_seconds", None, None] == (0.5, "seconds")
    assert found["evicted", "lru", None] == (4.0, "values")
    assert found["evicted", "redis", None] == (12.0, "values")
    assert found["errors", None, "TimeoutError"] == (3.0, "calls")
    assert found["refused", None, "OutOfMemoryError"] == (1.0, "values")
    assert found["spill_errors", None, "OSError"] == (1.0, "calls")
    assert found["breaker_opened", None, None] == (2.0, "times")
    assert found["net_seconds_saved", None, None] == (1.375, "seconds")
    assert found["never_heard_of", None, None] == (7.0, "times")
    assert all(row["trial"] == 3 for row in cache_rows(3, COUNTERS))


def test_no_row_is_the_sum_of_others() -> None:
    metrics = [(r["metric"], r["tier"] or r["reason"]) for r in cache_rows(0, COUNTERS)]
    for name in ("errors", "refused", "skipped", "bytes_read", "spill_errors"):
        assert [part for metric, part in metrics if metric == name and part is None] == []


def test_rows_are_counters_again_and_those_of_several_trials_add_up() -> None:
    again = counters_of([*cache_rows(0, COUNTERS), *cache_rows(1, COUNTERS)])
    expected = {name: 2 * n for name, n in COUNTERS.items() if name != "evicted"}
    assert again == {**expected, "evicted_lru": 8.0, "net_seconds_saved": 2.75}


@pytest.mark.parametrize("metric", METRICS, ids=lambda m: f"{m.name}-{m.by}")
def test_every_metric_says_what_it_is(metric) -> None:  # type: ignore[no-untyped-def]
    assert metric.by in ("", "tier", "reason")
    assert metric.unit
    assert len(metric.description) > 3
