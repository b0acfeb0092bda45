"""The nodes of a batch's graph, as they run on a worker: plain functions with small arguments.

``probe -> lookup -> one compute node a stage -> store -> write``. A document that fails in one of them is
carried along as a failed one; no exception of a document leaves a node.
"""

from __future__ import annotations

import os
import pickle
import socket
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from dataflow.errors import ClusterError, said
from dataflow.graph import recall, table
from dataflow.graph.admit import admit
from dataflow.graph.groups import without_copies
from dataflow.graph.plan import Batch, Plan, is_known, plan_of, writing
from dataflow.graph.settings import as_imported
from dataflow.graph.steps import (
    count,
    end_without_files,
    ending_without_files,
    let_through,
    move_seconds,
    noted,
    read,
    run_stage,
    run_stages,
    timed,
)
from dataflow.graph.trial import pieces
from dataflow.graph.turns import Turns
from dataflow.graph.work import BatchResult, Item, Part, Work
from dataflow.memo.codecs import own_copy
from dataflow.outcome import OK, Outcomes

__all__ = ["compute", "in_order", "lookup", "probe", "rows_of", "run_nodes", "store", "write"]

Node = tuple[str, Callable[..., Any], tuple[Any, ...]]

# Of 1,600 pages, groups of 100 to 400 took 1 to 5% less than all at once, and one at a time 9% more.
_GROUP_DOCUMENTS = 256
_GROUP_BYTES = 4 * 1024**2

_IN_BATCH = "batch"  # the cache tier of a document whose twin in the batch was computed


def in_order(plan: Plan) -> list[Node]:
    """The nodes of a plan's graphs: name, function, and its first arguments; the last is what the node before gave.

    The first node takes the packed batch.
    """
    names = [stage.name for stage in plan.pipeline.stages]
    stages: list[Node] = [(name, compute, (plan.run, i)) for i, name in enumerate(names)]
    given, memo = (plan.run,), plan.memo_stages
    if memo:
        stages = [("lookup", lookup, given), *stages[:memo], ("store", store, given), *stages[memo:]]
    return [("probe", probe, given), *stages, ("write", write, given)]


@without_copies
@as_imported
def run_nodes(run: str, packed: bytes) -> BatchResult:
    """All nodes of a batch one after the other, in this thread: what its graph comes to.

    Where there is no memo to be asked for all of them at once, some documents go through the stages, and then the next:
    what was read is computed on before it has left the processor's caches. Not one document at a time, or each stage's
    code would have left them.
    """
    plan = plan_of(run)
    batch = Batch.unpack(packed)
    work = Work(batch, [], time.perf_counter(), time.thread_time())
    between = in_order(plan)[1:-1]
    for piece in pieces(plan, _taken_on(batch)):
        admitted = _admitted(plan, piece)
        for group in [admitted] if admitted.memoized else admitted.groups(_GROUP_DOCUMENTS, _GROUP_BYTES):
            part = _read(plan, group)
            for _, function, given in between:
                part = function(*given, part)
            work.add(part)
    return write(run, work)


@without_copies
@as_imported
def probe(run: str, packed: bytes) -> Work:
    """Read a packed batch's documents; not those that the memo may know by what the file system says of them."""
    plan = plan_of(run)
    return _read(plan, _admitted(plan, _taken_on(Batch.unpack(packed))))


def _taken_on(batch: Batch) -> Work:
    work = Work(batch, [], time.perf_counter(), time.thread_time())
    with timed(work, "probe"):
        numbers = zip(batch.documents, batch.positions, batch.attempts, strict=True)
        work.items += [Item(document, position, begun + 1) for document, position, begun in numbers]
    return work


def _admitted(plan: Plan, work: Work) -> Work:
    """Say of which documents the memo is to be asked."""
    with timed(work, "probe"):
        admit(plan, work)
        if plan.other_code:
            count(work, "other_code", len(work.items))
    return work


def _read(plan: Plan, work: Work) -> Work:
    """Read its documents; not those that the memo may know without."""
    with timed(work, "probe"):
        unread = recall.prepare(plan, work)
        payloads = work.batch.payloads or (None,) * len(unread)  # with payloads, all are read
        with Turns(plan, work.batch.number) as turns:
            for item, payload in zip(unread, payloads, strict=True):
                read(turns, work, item, payload)
        started = time.perf_counter()
        for item in unread:
            recall.note_content(plan, work, item)
        count(work, "digest_seconds", time.perf_counter() - started)
    return work


@without_copies
@as_imported
def lookup(run: str, work: Work) -> Work:
    """Ask the memo for the batch's last memoized value: one round trip, equal keys once."""
    plan = plan_of(run)
    if not work.memoized:
        return work
    with timed(work, "lookup"):
        recall.recall(plan, work)
    return work


@without_copies
@as_imported
def compute(run: str, index: int, work: Work) -> Work:
    """Run one stage on the documents that have not got it behind them."""
    plan = plan_of(run)
    memoized, name = index < plan.memo_stages, plan.pipeline.stages[index].name
    if memoized and work.recalled:
        work.node_seconds.setdefault(name, 0.0)
        return work
    memoized = memoized and work.memoized
    if memoized:
        recall.resume(plan, work, index)
    with timed(work, name), Turns(plan, work.batch.number) as turns:
        for item in work.items:
            if item.status != OK or item.stage > index or (memoized and (item.twin is not None or item.lost)):
                continue
            others = run_stage(turns, item, index)
            for other, seconds in others.items():
                move_seconds(work, name, other, seconds)
            if memoized:
                recall.keep(plan, work, item, item.stage - 1)
    return work


@without_copies
@as_imported
def store(run: str, work: Work) -> Work:
    """Give what was computed to the memo, in one round trip, and take what others computed meanwhile."""
    plan = plan_of(run)
    with timed(work, "store"):
        recall.settle(plan, work)
        if work.memoized and not work.recalled:
            _copy_to_twins(plan, work)
    return work


@without_copies
@as_imported
def write(run: str, work: Work) -> BatchResult:
    """Write the batch's part where the run has an output, and boil the work down to its result."""
    plan = plan_of(run)
    part, values = None, None
    with timed(work, "write"):
        if plan.sink is None:
            end_without_files(plan, work.batch.number)  # where a part is written, that finds it out
            with noted(plan, work.batch.number):
                values = _packed(work)
                outcomes = _outcomes(work.batch.number, work.items)
                _let_go(work)
        else:
            with noted(plan, work.batch.number):
                rows, outcomes = rows_of(plan.sink, work.batch.number, work.items)
                _let_go(work)
            with writing(run), ending_without_files(plan, work.batch.number):
                name, size = table.write_table(plan.sink, work.batch.number, rows)
            part = Part(name, len(outcomes), size)
            if not is_known(run):  # it took so long, or this process was stopped: orphans have been collected
                table.remove_part(plan.sink, part.name)
                raise ClusterError(f"run {run} ended while batch {work.batch.number} was being written.")
    if work.looked_up:
        work.counters |= recall.costs(work)
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


def _let_go(work: Work) -> None:
    """Drop the values, whose own code may run then."""
    for item in work.items:
        item.value = None


def _packed(work: Work) -> bytes:
    """The values as bytes; a document whose value can't be packed, or taken out again, has failed."""
    try:
        return _sendable([i.value for i in work.items])
    except BaseException as error:
        let_through(error)
        for item in work.items:
            _fail_unless(item, "the result can't be sent", _sendable)
    return _pickled([i.value for i in work.items])


def _fail_unless(item: Item, what: str, works: Callable[[Any], Any]) -> None:
    """Fail a document whose value's own code raises while something is done with it, whatever that is."""
    try:
        works(item.value)
    except BaseException as error:
        let_through(error)
        item.fail(type(error).__name__, f"{what}: {said(error)}")


_CLASS = (
    b"\x93"  # what names a class, or a function, in a pickle; plain data needs none, but a text may hold it
)


def _sendable(value: Any) -> bytes:
    """The value as bytes that it can be made of again, which an exception of two arguments often can't."""
    packed = _pickled(value)
    if _CLASS in packed:
        pickle.loads(packed)
    return packed


def _pickled(value: Any) -> bytes:
    try:
        return pickle.dumps(value, protocol=5)
    except Exception:  # a class that only the workload's own file has
        from dataflow.graph.sending import packed

        return packed(value)


def rows_of(sink: table.Sink, batch: int, items: Sequence[Item]) -> tuple[Any, Outcomes]:
    """A part's rows, and the outcomes. An item whose value doesn't fit its column becomes a failed one."""
    try:
        return _rows(sink, batch, items)
    except BaseException as error:
        let_through(error)
        for item in items:
            if item.status == OK:
                _fail_unless(item, "the result can't be written", partial(_check_fit, sink, item))
        return _rows(sink, batch, items)


def _check_fit(sink: table.Sink, item: Item, value: Any) -> None:
    reason = table.fits(sink, value)
    if reason:
        item.fail("UnwritableValue", reason)


def _rows(sink: table.Sink, batch: int, items: Sequence[Item]) -> tuple[Any, Outcomes]:
    outcomes = _outcomes(batch, items)
    values = [item.value if item.status == OK else None for item in items]
    return table.part_table(sink, outcomes, values), outcomes


def _outcomes(batch: int, items: Sequence[Item]) -> Outcomes:
    return Outcomes.of_rows(item.row(batch) for item in items)


def _copy_to_twins(plan: Plan, work: Work) -> None:
    for item in work.items:
        if item.twin is not None and item.status == OK:
            first = work.items[item.twin]
            if first.changed:  # the value is of what the other document has become
                with Turns(plan, work.batch.number) as turns:
                    run_stages(turns, item, plan.memo_stages)
                continue
            item.value, item.stage = own_copy(first.value), first.stage
            item.digest, item.size_bytes = first.digest, first.size_bytes
            item.status, item.error_type, item.error = first.status, first.error_type, first.error
            item.cache = first.cache or _IN_BATCH
