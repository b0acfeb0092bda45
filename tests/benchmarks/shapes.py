"""What the engine costs besides the work: the end of a run, growth with the corpus, scheduling, the ledger's note.

Each function measures once, in a process of its own, and is called by benchmarks.py through `python shapes.py NAME
ARGUMENTS-AS-JSON`; what it returns is printed as JSON.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT)]

_LOOK_EVERY = 50  # batches between two looks at the driver's memory


def tail(corpus: str, batching: str, workers: int) -> dict[str, Any]:
    """How a run on the `processes` cluster spends its workers' time.

    Returns:
        ``seconds``: of wall, from the first batch's start to the last one's end. ``idle_end_share``: workers' time
        between their own last batch and the run's end, as a share of all workers' time. ``between_share``: workers'
        time between batches, likewise. ``driver_cpu_share``: CPU of driver and scheduler, which are one process
        here, as a share of the workers'.
    """
    from dataflow import Pipeline, run
    from dataflow.engine.clusters import open_cluster
    from workloads.chunking import chunk
    from workloads.extraction import extract

    spans: dict[str, list[tuple[float, float]]] = defaultdict(list)
    worked = 0.0

    def see(result: Any) -> None:
        nonlocal worked
        worked += result.cpu_seconds
        if result.started:
            spans[result.worker].append((result.started, result.started + result.seconds))

    pipeline = Pipeline(extract, chunk)
    with open_cluster("processes", workers) as cluster, tempfile.TemporaryDirectory() as folder:
        for name in ("warm", "measured"):
            spans.clear()
            worked = 0.0
            cpu = time.process_time()
            options = {"batching": batching, "output": f"{folder}/{name}", "on_batch": see}
            for _ in run(pipeline, corpus, cluster=cluster.client, **options):
                pass
            cpu = time.process_time() - cpu
    return {**_shares(list(spans.values()), workers), "driver_cpu_share": cpu / max(worked, 1e-9)}


def _shares(workers: list[list[tuple[float, float]]], count: int) -> dict[str, float]:
    start = min(s for spans in workers for s, _ in spans)
    end = max(e for spans in workers for _, e in spans)
    whole = (end - start) * count
    busy = sum(e - s for spans in workers for s, e in spans)
    at_end = sum(end - max(e for _, e in spans) for spans in workers) + (count - len(workers)) * (end - start)
    return {
        "seconds": end - start,
        "idle_end_share": at_end / whole,
        "between_share": max(0.0, 1 - (busy + at_end) / whole),
    }


def scale(documents: int, workers: int) -> dict[str, Any]:
    """So many small documents, of which a thousand files are the contents; with an output.

    Returns:
        ``seconds`` of wall, ``seconds_a_document``, ``driver_cpu_seconds``, and ``rss_bytes`` of driver and scheduler
        (one process here) before the run, at its highest, and after it.
    """
    import psutil
    from cheapest import count_words

    from dataflow import Pipeline, run
    from dataflow.engine.clusters import open_cluster

    me = psutil.Process()
    seen = {"batches": 0, "highest": 0}

    def see(_result: Any) -> None:
        seen["batches"] += 1
        if seen["batches"] % _LOOK_EVERY == 0:
            seen["highest"] = max(seen["highest"], me.memory_info().rss)

    with open_cluster("processes", workers) as cluster, tempfile.TemporaryDirectory() as folder:
        files = _small_files(Path(folder))
        options: dict[str, Any] = {"cluster": cluster.client, "on_batch": see}
        _drain(run(Pipeline(count_words), _listed(files, 1000), output=f"{folder}/warm", **options))
        before = me.memory_info().rss
        cpu, started = time.process_time(), time.perf_counter()
        _drain(run(Pipeline(count_words), _listed(files, documents), output=f"{folder}/out", **options))
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
        after = me.memory_info().rss
    return {
        "documents": documents,
        "seconds": seconds,
        "seconds_a_document": seconds / documents,
        "driver_cpu_seconds": cpu,
        "batches": seen["batches"],
        "rss_bytes": {"before": before, "highest": max(seen["highest"], after), "after": after},
    }


def _small_files(folder: Path) -> list[str]:
    (folder / "files").mkdir()
    paths = []
    for number in range(1000):
        path = folder / "files" / f"{number:04}.txt"
        path.write_text("a few words " * (number % 20))
        paths.append(str(path))
    return paths


def _listed(files: list[str], documents: int) -> Iterator[Any]:
    from dataflow import Document

    for number in range(documents):
        yield Document(files[number % len(files)], 12 * (number % 20), "text/plain")


def _drain(outcomes: Iterator[Any]) -> None:
    for outcome in outcomes:
        assert outcome.status == "ok", outcome


def ledger(notes: int) -> dict[str, Any]:
    """The cost of noting in the ledger which document a thread is at; one note for reading and one a stage."""
    from dataflow.graph.guard import Guard

    with tempfile.TemporaryDirectory() as folder:
        guard = Guard(folder)
        started = time.perf_counter()
        for position in range(notes):
            with guard.at(1, position, 0, 60.0):
                pass
        seconds = time.perf_counter() - started
        guard.close()
    return {"seconds_a_note": seconds / notes}


if __name__ == "__main__":
    # Stages travel to other processes by name, so they must not stand in `__main__`.
    import shapes

    print(json.dumps(getattr(shapes, sys.argv[1])(**json.loads(sys.argv[2]))))
