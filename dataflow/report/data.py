"""A run's tables cut to what the pictures show. Pure functions from Arrow tables to plain rows."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dataflow.outcome import OK
from dataflow.report.numbers import finite
from dataflow.report.summary import Arm

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "MemoryLine",
    "Reason",
    "ServerLine",
    "failure_reasons",
    "memory_lines",
    "node_seconds",
    "server_lines",
    "typical_trial",
]

_NODES = ("probe", "lookup", "compute", "store", "write")
# A picture is a thousand pixels wide; more points than that can't be seen.
_POINTS = 600


@dataclass(frozen=True)
class Reason:
    """Why documents are not ok: an error type, how many documents and trials it met, and one of them."""

    status: str
    error_type: str
    documents: int
    outcomes: int
    document: str
    error: str


@dataclass(frozen=True)
class MemoryLine:
    """Resident memory of one process over a trial."""

    process: str
    seconds: list[float]
    megabytes: list[float]


@dataclass(frozen=True)
class ServerLine:
    """What a Redis server's data took over a trial, and its fragmentation at the end; ``None`` where not told."""

    seconds: list[float]
    megabytes: list[float]
    fragmentation: float | None


def failure_reasons(documents: pa.Table) -> list[Reason]:
    """What went wrong, the most frequent first."""
    import pyarrow.compute as pc

    bad = documents.filter(pc.not_equal(documents["status"], OK))
    counted = bad.group_by(["status", "error_type"], use_threads=False).aggregate([
        ("document", "count_distinct"), ("document", "count"), ("document", "first"), ("error", "first"),
    ])  # fmt: skip
    reasons = [
        Reason(
            row["status"], row["error_type"] or "", row["document_count_distinct"], row["document_count"],
            row["document_first"] or "", row["error_first"] or "",
        )
        for row in counted.to_pylist()
    ]  # fmt: skip
    return sorted(reasons, key=lambda r: (-r.documents, r.status, r.error_type))


def node_seconds(stages: pa.Table, batches: pa.Table) -> dict[int, dict[str, float]]:
    """Worker-seconds by node, for each trial; from the batches where a run left no ``stages``."""
    found: dict[int, dict[str, float]] = {}
    for row in stages.to_pylist():
        nodes = found.setdefault(row["trial"], {})
        nodes[row["node"] or ""] = nodes.get(row["node"] or "", 0.0) + (finite(row["seconds"]) or 0.0)
    if found or not batches.num_rows:
        return found
    summed = batches.group_by("trial").aggregate([(f"{node}_seconds", "sum") for node in _NODES])
    return {
        row["trial"]: {node: finite(row[f"{node}_seconds_sum"]) or 0.0 for node in _NODES}
        for row in summed.to_pylist()
    }


def typical_trial(arm: Arm) -> Mapping[str, Any] | None:
    """The trial with the median peak of memory (the lower of two); ``None`` if no trial ran to its end."""
    rows = sorted(arm.trials, key=lambda row: (row.get("peak_rss_bytes") or 0, row.get("trial") or 0))
    return rows[(len(rows) - 1) // 2] if rows else None


def memory_lines(resources: pa.Table, trials: Iterable[int]) -> dict[int, list[MemoryLine]]:
    """Memory over time of every process of the trials asked for, the largest process first."""
    import pyarrow as pa
    import pyarrow.compute as pc

    wanted = pa.array(sorted(set(trials)), pa.int64())
    rows = resources.filter(pc.is_in(resources["trial"], value_set=wanted)).sort_by("at_seconds").to_pylist()
    samples: dict[tuple[int, str], list[tuple[float, float]]] = {}
    for row in rows:
        if finite(row["at_seconds"]) is not None and row["rss_bytes"] is not None:
            key = (row["trial"], row["process"] or "")
            samples.setdefault(key, []).append((row["at_seconds"], row["rss_bytes"] / 1e6))
    found: dict[int, list[MemoryLine]] = {}
    for (trial, process), line in samples.items():
        thin = _thinned(line)
        found.setdefault(trial, []).append(MemoryLine(process, [x for x, _ in thin], [y for _, y in thin]))
    for members in found.values():
        members.sort(key=lambda m: -statistics.fmean(m.megabytes))
    return found


def server_lines(resources: pa.Table, trials: Iterable[int]) -> dict[int, ServerLine]:
    """Memory of the server's data over time, in those of the trials asked for that had a server."""
    import pyarrow as pa
    import pyarrow.compute as pc

    wanted = pa.array(sorted(set(trials)), pa.int64())
    mask = pc.and_(
        pc.is_in(resources["trial"], value_set=wanted), pc.is_valid(resources["used_memory_bytes"])
    )
    samples: dict[int, list[tuple[float, float]]] = {}
    ratios: dict[int, float | None] = {}
    for row in resources.filter(mask).sort_by("at_seconds").to_pylist():
        if finite(row["at_seconds"]) is not None:
            samples.setdefault(row["trial"], []).append((row["at_seconds"], row["used_memory_bytes"] / 1e6))
            ratios[row["trial"]] = finite(row["fragmentation_ratio"])
    return {
        trial: ServerLine([x for x, _ in thin], [y for _, y in thin], ratios[trial])
        for trial, line in samples.items()
        if (thin := _thinned(line))
    }


def _thinned(samples: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most ``_POINTS`` samples, the highest of each stretch, so that no peak is lost."""
    width = -(-len(samples) // _POINTS)
    return [max(samples[i : i + width], key=lambda s: s[1]) for i in range(0, len(samples), width)]
