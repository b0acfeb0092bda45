"""The nodes of a batch's graph, as they run on a worker: plain functions with small arguments.

``probe -> lookup -> one compute node a stage -> store -> write``. A document that fails in one of them is
carried along as a failed one; no exception of a document leaves a node.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import socket
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from dataflow.corpus import read_document
from dataflow.errors import one_line
from dataflow.graph import table
from dataflow.graph.guard import guard_of, unsafe_lock
from dataflow.graph.plan import Batch, Plan, plan_of
from dataflow.graph.work import BatchResult, Item, Part, Work
from dataflow.outcome import OK, Outcome

if TYPE_CHECKING:
    from dataflow.pipeline import Stage

__all__ = ["compute", "lookup", "probe", "store", "write", "write_rows"]

_READ = -1
_IN_BATCH = "batch"  # the cache tier of a document whose twin in the batch was computed


def probe(run: str, packed: bytes) -> Work:
    """Read a packed batch's documents and, where something is memoized, digest them."""
    plan = plan_of(run)
    batch = Batch.unpack(packed)
    work = Work(batch, [], time.perf_counter(), time.thread_time())
    with _timed(work, "probe"):
        for index, document in enumerate(batch.documents):
            item = Item(document, batch.positions[index], batch.attempts[index] + 1)
            work.items.append(item)
            payload = batch.payloads[index] if batch.payloads else None
            with _guarded(plan, work, item, "read", _READ, plan.strategy.timeout_seconds):
                item.value = read_document(document.url) if payload is None else payload
                item.size_bytes = len(item.value)
                if plan.memo_stages:
                    from dataflow.memo.keys import digest

                    item.digest = digest(item.value)
    return work


def lookup(run: str, work: Work) -> Work:
    """Ask the memo for the batch's last memoized value: one round trip, equal keys once."""
    from dataflow.memo.base import Found
    from dataflow.memo.keys import memo_key
    from dataflow.memo.spec import open_memo

    plan = plan_of(run)
    with _timed(work, "lookup"):
        first_of: dict[bytes, int] = {}
        for index, item in enumerate(work.items):
            if item.digest is None or item.status != OK:
                continue
            item.key = memo_key(plan.stage_ids, _parameters(plan, item), item.digest)
            if item.key in first_of:
                item.twin = first_of[item.key]
            else:
                first_of[item.key] = index
        found = open_memo(plan.memo).lookup(list(first_of))
        for index, answer in zip(first_of.values(), found, strict=True):
            if isinstance(answer, Found):
                item = work.items[index]
                item.value, item.stage, item.cache = answer.value, plan.memo_stages, answer.tier
                _count(work, f"hits_{answer.tier}", 1)
                _count(work, "bytes_read", answer.blob_bytes)
                _count(work, "compute_seconds_saved", answer.compute_seconds)
            else:
                _count(work, f"misses_{answer.reason}", 1)
    return work


def compute(run: str, index: int, work: Work) -> Work:
    """Run one stage on the documents that have not got it behind them."""
    plan = plan_of(run)
    stage = plan.pipeline.stages[index]
    limit = stage.timeout_seconds or plan.strategy.timeout_seconds
    lock = contextlib.nullcontext() if stage.thread_safe else unsafe_lock
    with _timed(work, stage.name):
        for item in work.items:
            if (
                item.status != OK
                or item.stage > index
                or (item.twin is not None and index < plan.memo_stages)
            ):
                continue
            # The lock comes first: a document that waits for its turn is not a slow one.
            with lock, _guarded(plan, work, item, stage.name, index, limit):
                item.value = _call(stage, item)
                item.stage = index + 1
        if index + 1 == plan.memo_stages:
            _copy_to_twins(work)
    return work


def store(run: str, work: Work) -> Work:
    """Give what was computed to the memo, in one round trip."""
    from dataflow.memo.base import Entry
    from dataflow.memo.spec import open_memo

    plan = plan_of(run)
    with _timed(work, "store"):
        entries = [
            Entry(item.key, item.value, sum(item.stage_seconds.values()))
            for item in work.items
            if item.key and item.cache is None and item.status == OK and item.twin is None
        ]
        kept = open_memo(plan.memo).store(entries) if entries else 0
        _count(work, "stored", kept)
        _count(work, "not_stored", len(entries) - kept)
    return work


def write(run: str, work: Work) -> BatchResult:
    """Write the batch's part where the run has an output, and boil the work down to its result."""
    plan = plan_of(run)
    part, values = None, None
    with _timed(work, "write"):
        if plan.sink is None:
            values = _packed(work)
            outcomes = [i.outcome(work.batch.number) for i in work.items]
        else:
            part, outcomes = write_rows(plan.sink, work.batch.number, work.items)
    return BatchResult(
        number=work.batch.number,
        outcomes=outcomes,
        part=part,
        worker=f"{socket.gethostname()}:{os.getpid()}",
        seconds=time.perf_counter() - work.started,
        cpu_seconds=max(0.0, time.thread_time() - work.cpu_started),
        node_seconds=work.node_seconds,
        counters=work.counters,
        started=work.started,
        values=values,
    )


def _packed(work: Work) -> bytes:
    """The values as bytes; a document whose value can't be packed has failed."""
    try:
        return _pickled([i.value for i in work.items])
    except Exception:
        for item in work.items:
            try:
                _pickled(item.value)
            except Exception as error:
                item.fail(type(error).__name__, f"the result can't be sent: {one_line(error)}")
    return _pickled([i.value for i in work.items])


def _pickled(value: Any) -> bytes:
    try:
        return pickle.dumps(value, protocol=5)
    except Exception:  # a class that only the workload's own file has
        import cloudpickle

        packed: bytes = cloudpickle.dumps(value, protocol=5)
        return packed


def write_rows(sink: table.Sink, batch: int, items: Sequence[Item]) -> tuple[Part, list[Outcome]]:
    """Write one part. An item whose value doesn't fit its column becomes a failed one.

    Raises:
        OSError: the folder's fault, and no document's.
    """
    try:
        return _write_part(sink, batch, items)
    except OSError:
        raise
    except Exception:
        for item in items:
            reason = table.fits(sink, item.value) if item.status == OK else None
            if reason:
                item.fail("UnwritableValue", reason)
        return _write_part(sink, batch, items)


def _write_part(sink: table.Sink, batch: int, items: Sequence[Item]) -> tuple[Part, list[Outcome]]:
    outcomes = [item.outcome(batch) for item in items]
    values = [item.value if item.status == OK else None for item in items]
    name, size = table.write_part(sink, batch, outcomes, values)
    return Part(name, len(outcomes), size), outcomes


def _call(stage: Stage[..., Any], item: Item) -> Any:
    if item.stage == 0 and stage.wants_document:
        return stage.function(item.value, item.document)
    return stage.function(item.value)


def _parameters(plan: Plan, item: Item) -> tuple[Any, ...]:
    """What else the first stage sees of the document, and so it is part of the key."""
    first = plan.pipeline.stages[0]
    return tuple(getattr(item.document, f) for f in first.document_fields) if first.wants_document else ()


def _copy_to_twins(work: Work) -> None:
    for item in work.items:
        if item.twin is not None and item.status == OK:
            first = work.items[item.twin]
            item.value, item.stage = first.value, first.stage
            item.status, item.error_type, item.error = first.status, first.error_type, first.error
            item.cache = first.cache or _IN_BATCH


@contextlib.contextmanager
def _guarded(plan: Plan, work: Work, item: Item, name: str, stage: int, limit: float) -> Iterator[None]:
    """Time what a document takes, note it in the ledger, and make whatever it raises the document's own."""
    guard = guard_of(plan.ledger)
    note = guard.at(work.batch.number, item.position, stage, limit) if guard else contextlib.nullcontext()
    started = time.perf_counter()
    try:
        with note:
            yield
    except (Exception, SystemExit) as error:  # a parser that calls sys.exit() is a bad parser, no bad run
        item.fail(type(error).__name__, one_line(error))
    finally:
        seconds = time.perf_counter() - started
        item.stage_seconds[name] = seconds
        item.seconds += seconds


@contextlib.contextmanager
def _timed(work: Work, node: str) -> Iterator[None]:
    started = time.perf_counter()
    try:
        yield
    finally:
        work.node_seconds[node] = work.node_seconds.get(node, 0.0) + time.perf_counter() - started


def _count(work: Work, counter: str, amount: float) -> None:
    work.counters[counter] = work.counters.get(counter, 0) + amount
