"""What was measured in a trial, as rows of the tables. Pure functions."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dataflow.graph.work import BatchResult
from dataflow.measure.caching import cache_columns, cache_rows
from dataflow.measure.digests import Output
from dataflow.measure.overheads import parts_of
from dataflow.measure.resources import (
    Sample,
    growth_bytes,
    last_evicted,
    peak_bytes,
    peak_used_bytes,
    used_cpu_seconds,
)
from dataflow.measure.subject import Execution, Subject
from dataflow.outcome import FAILED, OK, QUARANTINED

if TYPE_CHECKING:
    from dataflow.measure.tables import ResultsFolder

__all__ = ["Reference", "TrialRecords", "records", "resource_rows"]

_OTHER_NODES = frozenset({"probe", "lookup", "store", "write"})
_OUTCOME_COLUMNS = (
    *("document", "position", "media_type", "size_bytes", "status", "error_type", "error"),
    *("attempts", "cache", "seconds", "batch"),
)


@dataclass(frozen=True, slots=True)
class Reference:
    """The plain loop over the same corpus: what has to come out, and what it takes on one core.

    Attributes:
        output: its rows.
        cpu_seconds: of the loop.
        poison: positions of documents that it was spared, since they end whatever process works on them.
    """

    output: Output
    cpu_seconds: float
    poison: frozenset[int] = frozenset()


@dataclass(slots=True)
class TrialRecords:
    """A trial as rows.

    Attributes:
        trial: the row of ``trials``.
        tables: the rows of the other tables, by table.
        output: what it put out; ``None`` where it failed.
    """

    trial: dict[str, Any]
    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    output: Output | None = None

    def save(self, results: ResultsFolder) -> None:
        """Put all rows on the disk.

        Raises:
            ResultsError: the folder can't be written.
        """
        for table, rows in self.tables.items():
            results.append(table, rows)
        results.append("trials", [self.trial])
        results.save()


def resource_rows(row: Mapping[str, Any], samples: Sequence[Sample]) -> list[dict[str, Any]]:
    """The samples as rows of ``resources``."""
    return [{"trial": row["trial"], **{n: getattr(s, n) for n in Sample.__slots__}} for s in samples]


def records(
    row: dict[str, Any],
    subject: Subject,
    execution: Execution,
    output: Output,
    samples: list[Sample],
    reference: Reference | None,
    before: Output | None = None,
) -> TrialRecords:
    """The rows of a trial that came to its end; ``row`` holds what is known of it already."""
    seconds_by_node = _sum(b.node_seconds for b in execution.batches)
    row.update(_counts(execution))
    row.update(_times(subject, execution, samples, seconds_by_node))
    counters = _sum(b.counters for b in execution.batches)
    row.update(_cache(row, counters))
    row.update(_against(reference, row, subject, execution, output))
    cached = row.get("cache") not in (None, "none")
    if before is not None and cached:
        row["recomputed"] = _recomputed(execution, output, before)
    tables = {
        "batches": [_batch_row(row, b, execution.started) for b in execution.batches],
        "documents": _document_rows(row, execution, output),
        "resources": resource_rows(row, samples),
        "stages": [{"trial": row["trial"], "node": n, "seconds": s} for n, s in seconds_by_node.items()],
        "cache": cache_rows(row["trial"], counters, last_evicted(samples)) if cached else [],
        "overheads": [
            {"trial": row["trial"], "step": i, "part": part, "seconds": s}
            for i, (part, s) in enumerate(parts_of(execution))
        ],
    }
    return TrialRecords(row, tables, output)


def _counts(execution: Execution) -> dict[str, Any]:
    statuses = Counter(o.status for o in execution.outcomes)
    documents = statuses.total()
    return {
        "documents": documents,
        "ok": statuses[OK],
        "failed": statuses[FAILED],
        "quarantined": statuses[QUARANTINED],
        "success_rate": statuses[OK] / documents if documents else None,
        "bytes_in": sum(o.size_bytes or 0 for o in execution.outcomes),
        "bytes_out": sum(b.part.size_bytes for b in execution.batches if b.part),
        "batches": len(execution.batches),
        "batch_documents_mean": documents / len(execution.batches) if execution.batches else None,
    }


def _times(
    subject: Subject, execution: Execution, samples: list[Sample], seconds_by_node: Mapping[str, float]
) -> dict[str, Any]:
    wall = execution.ended - execution.started
    cpu = used_cpu_seconds(samples)
    p50, p95, p99 = _percentiles([o.seconds for o in execution.outcomes])
    return {
        "wall_seconds": wall,
        "cpu_seconds": cpu,
        "documents_per_second": len(execution.outcomes) / wall,
        "first_result_seconds": None if execution.first is None else execution.first - execution.started,
        "latency_p50_seconds": p50,
        "latency_p95_seconds": p95,
        "latency_p99_seconds": p99,
        "overhead_seconds": wall * subject.threads - sum(seconds_by_node.values()),
        "mean_cpu_percent": 100.0 * cpu / wall,
        "peak_rss_bytes": peak_bytes(samples, lambda process: process != "redis"),
        "driver_growth_bytes": growth_bytes(samples, lambda process: process == "driver"),
        "workers_growth_bytes": growth_bytes(samples, lambda process: process not in ("driver", "redis")),
        "redis_peak_bytes": peak_bytes(samples, lambda process: process == "redis"),
        "redis_used_peak_bytes": peak_used_bytes(samples),
        "redis_evicted": last_evicted(samples),
    }


def _cache(row: Mapping[str, Any], counters: Mapping[str, float]) -> dict[str, Any]:
    hits, misses = _hits(counters), _misses(counters)
    if row.get("cache") in (None, "none"):
        return {"hits": hits, "misses": misses}
    return {
        "hits": hits,
        "misses": misses,
        "hit_rate": hits / (hits + misses) if hits + misses else None,
        "bypassed": int(counters.get("bypassed", 0)),
        "hits_lru": int(counters.get("hits_lru", 0)),
        "hits_redis": int(counters.get("hits_redis", 0)),
        "hits_spill": int(counters.get("hits_spill", 0)),
        **cache_columns(counters),
    }


def _against(
    reference: Reference | None,
    row: Mapping[str, Any],
    subject: Subject,
    execution: Execution,
    output: Output,
) -> dict[str, Any]:
    found: dict[str, Any] = {"output_digest": output.digest}
    if reference is None:
        return found
    lost = {o.position for o in execution.outcomes if o.status == QUARANTINED} & set(reference.output.rows)
    found["lost"] = len(lost - reference.poison)
    found["matches_serial"] = _matches(output, reference, lost)
    if reference.poison:
        found["poison"] = len(reference.poison)
    if row.get("hit_rate") is not None:
        cached = [o.position for o in execution.outcomes if o.cache]
        found["stale"] = sum(output.rows.get(p) != reference.output.rows.get(p) for p in cached)
    if row.get("phase") in (None, "", "cold", "clean"):  # what is answered from a cache has no such limit
        found["ideal_seconds"] = reference.cpu_seconds / subject.threads
        found["efficiency"] = found["ideal_seconds"] / row["wall_seconds"]
    return found


def _matches(output: Output, reference: Reference, lost: set[int]) -> bool:
    """Whether the results are the plain loop's. With poison about, what is lost is counted, not compared."""
    if not reference.poison:
        return output.digest == reference.output.digest
    spared = reference.poison | lost
    ours, theirs = (
        {p: digest for p, digest in rows.items() if p not in spared}
        for rows in (output.rows, reference.output.rows)
    )
    return not output.doubled and ours == theirs


def _recomputed(execution: Execution, output: Output, before: Output) -> int:
    """Documents that were computed, only to come to the result that the arm had in the phase before."""
    computed = (o.position for o in execution.outcomes if not o.cache and o.status == OK)
    return sum(p in before.rows and output.rows.get(p) == before.rows[p] for p in computed)


def _batch_row(row: Mapping[str, Any], batch: BatchResult, started: float) -> dict[str, Any]:
    nodes = batch.node_seconds
    here = batch.worker.rpartition(":")[0] == socket.gethostname()
    return {
        "trial": row["trial"],
        "batch": batch.number,
        "worker": batch.worker,
        "documents": len(batch.outcomes),
        "bytes": sum(o.size_bytes or 0 for o in batch.outcomes),
        "seconds": batch.seconds,
        "cpu_seconds": batch.cpu_seconds,
        # Another machine's clock says nothing here.
        "started_seconds": batch.started - started if here and batch.started else None,
        **{f"{node}_seconds": nodes.get(node, 0.0) for node in _OTHER_NODES},
        "compute_seconds": sum(s for node, s in nodes.items() if node not in _OTHER_NODES),
        "hits": _hits(batch.counters),
        "misses": _misses(batch.counters),
        "failed": sum(o.status != OK for o in batch.outcomes),
    }


def _document_rows(row: Mapping[str, Any], execution: Execution, output: Output) -> list[dict[str, Any]]:
    return [
        {
            "trial": row["trial"],
            "characters": output.characters.get(outcome.position),
            **{name: getattr(outcome, name) for name in _OUTCOME_COLUMNS},
        }
        for outcome in sorted(execution.outcomes, key=lambda o: o.position)
    ]


def _hits(counters: Mapping[str, float]) -> int:
    return int(sum(n for name, n in counters.items() if name.startswith("hits_")))


def _misses(counters: Mapping[str, float]) -> int:
    return int(sum(n for name, n in counters.items() if name.startswith("misses_")))


def _sum(mappings: Iterable[Mapping[str, float]]) -> dict[str, float]:
    total: dict[str, float] = {}
    for mapping in mappings:
        for name, number in mapping.items():
            total[name] = total.get(name, 0.0) + number
    return total


def _percentiles(seconds: Sequence[float]) -> tuple[float | None, float | None, float | None]:
    if not seconds:
        return None, None, None
    import numpy as np

    p50, p95, p99 = (float(p) for p in np.percentile(seconds, [50, 95, 99]))
    return p50, p95, p99
