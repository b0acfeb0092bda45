"""One trial: an arm goes through the corpus once, and what it took becomes plain records for the tables."""

from __future__ import annotations

import contextlib
import logging
import shutil
import socket
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataflow.document import Document
from dataflow.errors import one_line
from dataflow.graph.work import BatchResult
from dataflow.measure.covariates import Watch
from dataflow.measure.digests import Output, read_output
from dataflow.measure.resources import Probe, Sample, peak_bytes, used_cpu_seconds
from dataflow.measure.subject import Execution, Subject
from dataflow.outcome import FAILED, OK, QUARANTINED

if TYPE_CHECKING:
    from dataflow.measure.tables import ResultsFolder

__all__ = ["Reference", "TrialRecords", "run_trial"]

_OTHER_NODES = frozenset({"probe", "lookup", "store", "write"})
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Reference:
    """The plain loop over the same corpus: what has to come out, and what it takes on one core.

    Attributes:
        output: its rows.
        cpu_seconds: of the loop.
    """

    output: Output
    cpu_seconds: float


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


def run_trial(
    subject: Subject,
    documents: Sequence[Document],
    design: Mapping[str, Any],
    *,
    scratch: Path,
    reference: Reference | None = None,
) -> TrialRecords:
    """Run one trial.

    Only the way through the corpus is timed. Sampling begins right before it and ends right after; the
    output is read and digested later still, and then removed.

    Args:
        subject: the arm.
        documents: the corpus, in its order.
        design: columns of the trial's row that are known beforehand; ``trial`` at least.
        scratch: a folder for the output.
        reference: the plain loop's, to compare with.

    Returns:
        The records. A trial that raises has the message in ``error``, and nothing measured.
    """
    row = {**design, "workers": subject.workers, "threads": subject.threads}
    folder = Path(tempfile.mkdtemp(prefix="trial-", dir=scratch))
    watch = Watch()
    row["started"] = datetime.now(UTC)
    samples: list[Sample] = []
    try:
        with _sampled(subject.probes(), samples):
            execution = subject.execute(documents, folder / "output")
        row.update(_covariates(watch))
        output = read_output(folder / "output", execution.parts)
        return _records(row, subject, execution, output, samples, reference)
    except Exception as error:
        _logger.info("trial %s failed", row["trial"], exc_info=True)
        row.update(_covariates(watch), error=f"{type(error).__name__}: {one_line(error)}")
        return TrialRecords(row, {"resources": _resource_rows(row, samples)})
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _sampled(probes: Sequence[Probe], samples: list[Sample]) -> Iterator[None]:
    """Sample while the block runs. What can't be sampled is left out, and said in the log."""
    with contextlib.ExitStack() as stack:
        for probe in probes:
            try:
                probe.start()
            except Exception as error:
                _logger.warning("%s can't be started: %s", type(probe).__name__, one_line(error))
            else:
                stack.callback(_collect, probe, samples)
        yield


def _collect(probe: Probe, samples: list[Sample]) -> None:
    try:
        samples.extend(probe.stop())
    except Exception as error:
        _logger.warning("samples of %s are lost: %s", type(probe).__name__, one_line(error))


def _covariates(watch: Watch) -> dict[str, Any]:
    seen = watch.read()
    return {"steal_percent": seen.steal_percent, "load": seen.load, "probe_seconds": seen.probe_seconds}


def _records(
    row: dict[str, Any],
    subject: Subject,
    execution: Execution,
    output: Output,
    samples: list[Sample],
    reference: Reference | None,
) -> TrialRecords:
    seconds_by_node = _sum(b.node_seconds for b in execution.batches)
    row.update(_counts(execution))
    row.update(_times(subject, execution, samples, seconds_by_node))
    row.update(_cache(row, execution, seconds_by_node))
    row.update(_against(reference, row, subject, execution, output))
    tables = {
        "batches": [_batch_row(row, b, execution.started) for b in execution.batches],
        "documents": _document_rows(row, execution, output),
        "resources": _resource_rows(row, samples),
        "stages": [{"trial": row["trial"], "node": n, "seconds": s} for n, s in seconds_by_node.items()],
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
        "redis_peak_bytes": peak_bytes(samples, lambda process: process == "redis"),
    }


def _cache(
    row: Mapping[str, Any], execution: Execution, seconds_by_node: Mapping[str, float]
) -> dict[str, Any]:
    counters = _sum(b.counters for b in execution.batches)
    hits, misses = _hits(counters), _misses(counters)
    if row.get("cache") in (None, "none"):
        return {"hits": hits, "misses": misses}
    spent = seconds_by_node.get("lookup", 0.0) + seconds_by_node.get("store", 0.0)
    return {
        "hits": hits,
        "misses": misses,
        "hit_rate": hits / (hits + misses) if hits + misses else None,
        "hits_lru": int(counters.get("hits_lru", 0)),
        "hits_redis": int(counters.get("hits_redis", 0)),
        "seconds_saved": counters.get("compute_seconds_saved", 0.0) - spent,
    }


def _against(
    reference: Reference | None, row: Mapping[str, Any], subject: Subject, execution: Execution, output: Output
) -> dict[str, Any]:
    found: dict[str, Any] = {"output_digest": output.digest}
    if reference is None:
        return found
    found["matches_serial"] = output.digest == reference.output.digest
    if row.get("hit_rate") is not None:
        cached = [o.position for o in execution.outcomes if o.cache]
        found["stale"] = sum(output.rows.get(p) != reference.output.rows.get(p) for p in cached)
    if row.get("phase") != "warm":  # what is answered from a cache has no such limit
        found["ideal_seconds"] = reference.cpu_seconds / subject.threads
        found["efficiency"] = found["ideal_seconds"] / row["wall_seconds"]
    return found


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
    names = ("document", "position", "media_type", "size_bytes", "status", "error_type", "error")
    names += ("attempts", "cache", "seconds", "batch")
    return [
        {
            "trial": row["trial"],
            "characters": output.characters.get(outcome.position),
            **{name: getattr(outcome, name) for name in names},
        }
        for outcome in sorted(execution.outcomes, key=lambda o: o.position)
    ]


def _resource_rows(row: Mapping[str, Any], samples: Sequence[Sample]) -> list[dict[str, Any]]:
    return [{"trial": row["trial"], **{n: getattr(s, n) for n in Sample.__slots__}} for s in samples]


def _hits(counters: Mapping[str, float]) -> int:
    return int(sum(n for name, n in counters.items() if name.startswith("hits_")))


def _misses(counters: Mapping[str, float]) -> int:
    return int(sum(n for name, n in counters.items() if name.startswith("misses_")))


def _sum(mappings: Any) -> dict[str, float]:
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
