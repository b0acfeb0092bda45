"""What everything is compared with: a plain loop, and ``multiprocessing.Pool``, both without Dask.

Both run the same stages, read the same way and write the same rows. Their processes are kept warm, as the
clusters are. They are spawned and not forked: this process runs Dask's threads, and a fork copies locks that
no thread of the child would ever release. The loop has a process of its own as well. So a document that ends
its process costs one trial and not the benchmark, and the scheduler's heartbeats don't take its time.
"""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

from dataflow.document import Document
from dataflow.errors import ClusterError, one_line
from dataflow.graph.nodes import rows_of
from dataflow.graph.shipping import packed_pipeline, unpacked_pipeline
from dataflow.graph.table import Sink, sink_for, write_table
from dataflow.graph.work import BatchResult, Item, Part
from dataflow.measure.probes import Probe, ProcessProbe
from dataflow.measure.subject import Execution
from dataflow.outcome import Outcomes
from dataflow.pipeline import Pipeline
from dataflow.reading import open_document, read_document

__all__ = ["CHUNKSIZES", "PoolSubject", "Processes", "SerialSubject", "tuned_chunksize"]

#: Chunk sizes that are tried; the fastest is taken.
CHUNKSIZES = (1, 8, 64)
_ROWS_A_PART = 512
_LOOK_SECONDS = 1.0
_PATIENCE_AT_THE_END = 10.0
_A_DOCUMENT_SECONDS = 0.5  # a chunk says nothing before its end: this is what its documents may take each

Chunk = tuple[int, Sequence[tuple[int, Document]]]


class Processes:
    """Warm processes that know the pipeline. They are started when first needed, and anew after one has died.

    Args:
        count: how many.
        pipeline: what they run.
        search_path: folders that they need on ``sys.path``.
        patience_seconds: how long no chunk may end before all are given up, and half a second a document more.
    """

    def __init__(
        self,
        count: int,
        pipeline: Pipeline,
        search_path: Iterable[str] = (),
        *,
        patience_seconds: float = 60.0,
    ) -> None:
        self.count, self.pipeline = count, pipeline
        self._knowledge = (packed_pipeline(pipeline), tuple(search_path))
        self._patience = patience_seconds
        self._pool: Any = None
        self._ids: list[int] = []

    def ids(self) -> list[int]:
        """The process ids; starts them if need be."""
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            before = _children()
            self._pool = context.Pool(self.count, _begin, self._knowledge)
            self._ids = sorted(_children() - before)
        return self._ids

    def map(self, sink: Sink, chunks: Iterable[Chunk]) -> Iterator[BatchResult]:
        """Run chunks, and yield results as they come.

        Raises:
            ClusterError: a process died, or none has finished a chunk for too long.
        """
        self.ids()
        jobs = [(sink, *chunk) for chunk in chunks]
        patience = self._patience + _A_DOCUMENT_SECONDS * max((len(j[2]) for j in jobs), default=0)
        results = self._pool.imap_unordered(_run_chunk, jobs)
        waited = 0.0
        while True:
            try:
                yield results.next(timeout=_LOOK_SECONDS)
                waited = 0.0
            except StopIteration:
                return
            except multiprocessing.TimeoutError:
                waited += _LOOK_SECONDS
                self._check(waited, patience)

    def close(self) -> None:
        """End the processes."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        # One of its processes that died while it waited took a lock along, for which terminate() waits for ever.
        ending = threading.Thread(target=pool.terminate, daemon=True)
        ending.start()
        ending.join(_PATIENCE_AT_THE_END)
        for process in multiprocessing.active_children():
            if process.pid in self._ids:
                process.kill()

    def _check(self, waited: float, patience: float) -> None:
        # A Pool replaces a process that died, and waits for its result for ever.
        if not all(_is_running(i) for i in self._ids):
            self.close()
            raise ClusterError("a document ended the baseline's process, and nobody looks after it.")
        if waited > patience:
            self.close()
            raise ClusterError(f"the baseline came no further for {waited:.0f} seconds: a document hangs.")


class SerialSubject:
    """A plain loop: read, call the stages, write; in one process. Its time is taken in that process."""

    workers = threads = 1

    def __init__(self, processes: Processes) -> None:
        self._processes = processes

    def execute(self, documents: Sequence[Document], folder: Path) -> Execution:
        """Run the loop."""
        folder.mkdir(parents=True)
        sink = sink_for(self._processes.pipeline, str(folder))
        numbered = list(enumerate(documents))
        results = list(self._processes.map(sink, [(1, numbered)]))
        execution = Execution(results[0].started)
        _fill(execution, results)
        # What comes back is told from process to process, which a plain loop wouldn't do.
        execution.ended = results[0].started + results[0].seconds
        execution.first = results[0].started + results[0].counters["first_seconds"]
        return execution

    def probes(self) -> list[Probe]:
        """The driver, and the process of the loop."""
        return [ProcessProbe([(f"serial-{i}", pid) for i, pid in enumerate(self._processes.ids())])]


class PoolSubject:
    """``multiprocessing.Pool`` with ``imap_unordered`` over chunks.

    Args:
        processes: of the pool.
        chunksize: documents a chunk.
    """

    def __init__(self, processes: Processes, chunksize: int) -> None:
        self.workers = self.threads = processes.count
        self._processes, self._chunksize = processes, chunksize

    def execute(self, documents: Sequence[Document], folder: Path) -> Execution:
        """Run all chunks."""
        execution = Execution(time.perf_counter())
        folder.mkdir(parents=True)
        sink = sink_for(self._processes.pipeline, str(folder))
        results = []
        for result in self._processes.map(sink, _chunks(documents, self._chunksize)):
            if execution.first is None:
                execution.first = time.perf_counter()
            results.append(result)
        execution.ended = time.perf_counter()
        _fill(execution, results)
        return execution

    def probes(self) -> list[Probe]:
        """The driver, and each process of the pool."""
        return [ProcessProbe([(f"pool-{i}", pid) for i, pid in enumerate(self._processes.ids())])]


def tuned_chunksize(processes: Processes, documents: Sequence[Document], scratch: Path) -> int:
    """The fastest of :data:`CHUNKSIZES`: the best of two untimed runs each, on the corpus itself.

    That is generous to the pool: it has seen the corpus. Sizes that leave a process without a chunk are left
    out.
    """
    most = max(1, len(documents) // processes.count)
    best: dict[int, float] = {}
    for attempt in range(2):
        for size in (s for s in CHUNKSIZES if s <= most):
            folder = scratch / f"chunks-of-{size}-{attempt}"
            execution = PoolSubject(processes, size).execute(documents, folder)
            seconds = execution.ended - execution.started
            best[size] = min(seconds, best.get(size, seconds))
    return min(best, key=lambda size: best[size])


def _chunks(documents: Sequence[Document], size: int) -> list[Chunk]:
    numbered = list(enumerate(documents))
    starts = range(0, len(numbered), size)
    return [(number, numbered[at : at + size]) for number, at in enumerate(starts, start=1)]


def _fill(execution: Execution, results: Iterable[BatchResult]) -> None:
    for result in results:
        execution.batches.append(result)
        execution.outcomes += result.outcomes
        execution.parts += result.part.name.split("\n") if result.part else []


# What follows runs in the processes.

_known: list[Pipeline] = []


def _begin(pipeline: bytes, search_path: Sequence[str]) -> None:
    # Ctrl-C goes to all processes of a terminal; the driver decides what becomes of it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for folder in search_path:
        if folder not in sys.path:
            sys.path.append(folder)
    _known[:] = [unpacked_pipeline(pipeline)]


def _run_chunk(job: tuple[Sink, int, Sequence[tuple[int, Document]]]) -> BatchResult:
    sink, number, documents = job
    started, cpu_started = time.perf_counter(), time.thread_time()
    items: list[Item] = []
    parts: list[Part] = []
    seconds = {"probe": 0.0, **{s.name: 0.0 for s in _known[0].stages}, "write": 0.0}
    first = 0.0
    for position, document in documents:
        items.append(_processed(document, position, seconds))
        first = first or time.perf_counter() - started
        if len(items) % _ROWS_A_PART == 0:
            parts.append(_written(sink, number, items[-_ROWS_A_PART:], seconds))
    left = len(items) % _ROWS_A_PART
    if left:
        parts.append(_written(sink, number, items[-left:], seconds))
    return BatchResult(
        number=number,
        outcomes=Outcomes.of_rows(i.row(number) for i in items),
        part=_joined(parts),
        worker=f"{socket.gethostname()}:{os.getpid()}",
        seconds=time.perf_counter() - started,
        cpu_seconds=time.thread_time() - cpu_started,
        node_seconds=seconds,
        counters={"first_seconds": first},
        started=started,
    )


def _joined(parts: Sequence[Part]) -> Part:
    """The parts of one chunk as one: a line a name."""
    names = "\n".join(p.name for p in parts)
    return Part(names, sum(p.rows for p in parts), sum(p.size_bytes for p in parts))


def _processed(document: Document, position: int, seconds: dict[str, float]) -> Item:
    """Read one document and call the stages; what it raises is its own."""
    item = Item(document, position, 1)
    name, before = "probe", time.perf_counter()
    try:
        if _known[0].takes_file:  # its stages take turns: all their time is said to be the first one's
            name = _known[0].stages[0].name
            with io.BufferedReader(cast(io.RawIOBase, open_document(document.url))) as file:
                item.size_bytes = file.seek(0, io.SEEK_END)
                file.seek(0)
                item.value = _known[0](file, document)
        else:
            item.value = read_document(document.url)
            item.size_bytes = len(item.value)
            for stage in _known[0].stages:
                now = time.perf_counter()
                seconds[name] += now - before
                item.seconds += now - before
                name, before = stage.name, now
                item.value = stage(item.value, document) if stage.wants_document else stage(item.value)
    except BaseException as error:  # this process leaves Ctrl-C to its parent
        item.fail(type(error).__name__, one_line(error))
    took = time.perf_counter() - before
    seconds[name] += took
    item.seconds += took
    return item


def _written(sink: Sink, number: int, items: list[Item], seconds: dict[str, float]) -> Part:
    """Write rows, and let go of their values."""
    before = time.perf_counter()
    rows, _ = rows_of(sink, number, items)
    name, size = write_table(sink, number, rows)
    for item in items:
        item.value = None
    seconds["write"] += time.perf_counter() - before
    return Part(name, len(items), size)


def _children() -> set[int]:
    return {p.pid for p in multiprocessing.active_children() if p.pid}


def _is_running(process_id: int) -> bool:
    import psutil

    with contextlib.suppress(psutil.Error):
        process = psutil.Process(process_id)
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False
