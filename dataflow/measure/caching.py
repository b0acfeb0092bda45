"""What the cache did in a trial: counters of its batches as rows of ``cache``, one a metric, tier and reason."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dataflow.memo.admin import net_seconds_saved

__all__ = ["METRICS", "Metric", "cache_columns", "cache_rows", "counters_of"]


@dataclass(frozen=True, slots=True)
class Metric:
    """What a counter means.

    Attributes:
        name: of the metric.
        by: ``tier`` or ``reason``: what follows the name in the counter's; empty where nothing does.
        unit: of its values.
        description: one line.
        tier: the one tier that it is about.
    """

    name: str
    by: str
    unit: str
    description: str
    tier: str | None = None

    @property
    def prefix(self) -> str:
        """How its counters begin."""
        return f"{'stat' if self.name == 'misses_state' else self.name}_"


def _metrics(table: str) -> tuple[Metric, ...]:
    lines = filter(None, table.splitlines())
    return tuple(Metric(*(cell.strip() for cell in line.split("|"))) for line in lines)


METRICS = (
    *_metrics("""
hits | tier | documents | whose last memoized value this tier had
misses | reason | documents | that had none, and why
misses_state | reason | documents | that weren't found by what the file system says of them, and why
recalled | reason | documents | that went on after this stage, whose own value was found
asked | tier | keys | that this tier was asked for; what it hadn't, the next was asked for
lookup_seconds | tier | seconds | that the memo spent asking this tier, and opening what it had
bytes_read | tier | bytes | of what this tier had, as kept
lookup_seconds | | seconds | in the lookup node: the memo's, and making keys of documents
digest_seconds | | seconds | digesting contents
store_seconds | | seconds | in the store node, without waiting and computing
memo_lookup_seconds | | seconds | the memo's part of the lookup node, over all tiers
memo_store_seconds | | seconds | the memo's part of the store node
compute_seconds_saved | | seconds | that computing took what was found; reading too, where it wasn't read
net_seconds_saved | | seconds | the same less looking up, digesting, storing and waiting
stored | | documents | whose value was kept
not_stored | | documents | whose value wasn't
bytes_written | | bytes | of what was kept
bypassed | | documents | not asked for, since computing is cheaper as measured
uncacheable | reason | values | that can't be kept, by the Python type
rejected | reason | values | that may not be kept
spilled | | values | that went to files
spilled_bytes | | bytes | of those
spill_errors | reason | calls | of the files' system that failed, by error
round_trips | | round trips | to the server
errors | reason | calls | to the server that failed, by error
skipped | reason | calls | not made, since the server had failed before: reads or writes
refused | reason | values | that the server didn't take, by error
breaker_opened | | times | that a worker left the server alone
breaker_closed | | times | that one found it well again
leases_won | | keys | that a worker was given to compute
leases_lost | | keys | that another worker was computing
lease_waits | | keys | that were waited for
lease_wait_seconds | | seconds | waiting for them
"""),
    Metric("evicted", "tier", "values", "that had to go for others: from worker memory, or from the server"),
    Metric("bytes_evicted", "", "bytes", "of those in worker memory", tier="lru"),
)

# Counters that say no more than the sum of those by tier or reason.
_SUMS = frozenset({"bytes_read", "errors", "refused", "skipped", "uncacheable", "rejected", "spill_errors"})
_PLAIN = {metric.name: metric for metric in METRICS if not metric.by}
# The longest first, so that spill_errors_X isn't taken for anything shorter.
_FAMILIES = sorted((m for m in METRICS if m.by), key=lambda m: -len(m.prefix))
_NEAR = "lru"


def cache_columns(counters: Mapping[str, float]) -> dict[str, Any]:
    """Columns of a trial's row on what its cache was worth: a trial's ``seconds_saved`` is their difference."""
    of = counters.get
    return {
        "compute_seconds_saved": of("compute_seconds_saved", 0.0),
        "lookup_seconds": of("lookup_seconds", 0.0) + of("digest_seconds", 0.0),
        "store_seconds": of("store_seconds", 0.0) + of("lease_wait_seconds", 0.0),
        "seconds_saved": net_seconds_saved(counters),
    }


def cache_rows(
    trial: int, counters: Mapping[str, float], server_evicted: int | None = None
) -> list[dict[str, Any]]:
    """The rows of one trial; what nothing was counted of has none.

    Args:
        trial: its number.
        counters: added up over its batches.
        server_evicted: keys that the server evicted meanwhile; ``None`` without a server.
    """
    rows = [_row(name, value) for name, value in counters.items() if value and name not in _SUMS]
    rows.append(_as_row(_PLAIN["net_seconds_saved"], net_seconds_saved(counters)))
    if server_evicted:
        rows.append(_as_row(_metric("evicted"), float(server_evicted), tier="redis"))
    order = {metric.name: place for place, metric in enumerate(METRICS)}
    rows.sort(key=lambda r: (order.get(r["metric"], len(order)), r["tier"] or "", r["reason"] or ""))
    return [{"trial": trial, **row} for row in rows]


def counters_of(rows: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Rows of ``cache``, added up, as counters again: what :func:`dataflow.memo.befell.befell` reads."""
    found: dict[str, float] = {}
    for row in rows:
        for name in _names(row):
            found[name] = found.get(name, 0.0) + (row["value"] or 0.0)
    return found


def _names(row: Mapping[str, Any]) -> Iterator[str]:
    metric, part = str(row["metric"]), row["tier"] or row["reason"]
    if part is None or metric == "bytes_evicted":
        yield metric
        return
    yield f"{'stat' if metric == 'misses_state' else metric}_{part}"
    if metric in _SUMS:
        yield metric


def _row(name: str, value: float) -> dict[str, Any]:
    if name in _PLAIN:
        return _as_row(_PLAIN[name], value)
    if name == "evicted":
        return _as_row(_metric(name), value, tier=_NEAR)
    for metric in _FAMILIES:
        if name.startswith(metric.prefix):
            return _as_row(metric, value, **{metric.by: name.removeprefix(metric.prefix)})
    return {"metric": name, "tier": None, "reason": None, "value": value, "unit": "times"}


def _as_row(
    metric: Metric, value: float, tier: str | None = None, reason: str | None = None
) -> dict[str, Any]:
    return {
        "metric": metric.name,
        "tier": tier or metric.tier,
        "reason": reason,
        "value": value,
        "unit": metric.unit,
    }


def _metric(name: str) -> Metric:
    return next(metric for metric in METRICS if metric.name == name)
