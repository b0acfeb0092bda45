"""What the nodes share: one document read or sent through one stage, guarded, timed and counted."""

from __future__ import annotations

import contextlib
import threading
import time
from asyncio import CancelledError
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from dataflow.corpus import read_document
from dataflow.errors import one_line
from dataflow.graph.guard import guard_of, unsafe_lock
from dataflow.graph.patience import patiently
from dataflow.graph.plan import Plan
from dataflow.graph.work import Item, Work

if TYPE_CHECKING:
    from dataflow.pipeline import Stage

__all__ = ["count", "moved", "read", "run_stage", "timed"]

_READ = -1
_NEVER_LASTING = (MemoryError, TimeoutError, CancelledError, RecursionError)


def read(plan: Plan, work: Work, item: Item, payload: bytes | None) -> None:
    """Read one document; whatever the file system raises is the document's failure."""
    with _guarded(plan, work, item, "read", _READ, plan.strategy.timeout_seconds):
        url = item.document.url
        item.value = patiently(lambda: read_document(url)) if payload is None else payload
        item.size_bytes = len(item.value)


def run_stage(plan: Plan, work: Work, item: Item, index: int) -> None:
    """Send one document through one stage; whatever that raises is the document's failure."""
    stage = plan.pipeline.stages[index]
    limit = stage.timeout_seconds or plan.strategy.timeout_seconds
    lock = contextlib.nullcontext() if stage.thread_safe else unsafe_lock
    # The lock comes first: a document that waits for its turn is not a slow one.
    with lock, _guarded(plan, work, item, stage.name, index, limit, stage.cache_errors):
        item.value = _call(stage, item)
        item.stage = index + 1


def _call(stage: Stage[..., Any], item: Item) -> Any:
    if item.stage == 0 and stage.wants_document:
        return stage.function(item.value, item.document)
    return stage.function(item.value)


@contextlib.contextmanager
def _guarded(
    plan: Plan,
    work: Work,
    item: Item,
    name: str,
    stage: int,
    limit: float,
    lasting: tuple[type[Exception], ...] = (),
) -> Iterator[None]:
    """Time what a document takes, note it in the ledger, and make whatever it raises the document's own."""
    guard = guard_of(plan.ledger)
    note = guard.at(work.batch.number, item.position, stage, limit) if guard else contextlib.nullcontext()
    started = time.perf_counter()
    try:
        with note:
            yield
    except BaseException as error:  # a parser that calls sys.exit() is a bad parser, no bad run
        if isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
            raise  # that one is the user's: on a worker, documents are never on the main thread
        item.fail(type(error).__name__, one_line(error))
        item.lasting = isinstance(error, lasting) and not isinstance(error, _NEVER_LASTING)
    finally:
        seconds = time.perf_counter() - started
        item.stage_seconds[name] = seconds
        item.seconds += seconds


@contextlib.contextmanager
def timed(work: Work, node: str) -> Iterator[None]:
    """Add the block's wall seconds to a node's."""
    started = time.perf_counter()
    try:
        yield
    finally:
        work.node_seconds[node] = work.node_seconds.get(node, 0.0) + time.perf_counter() - started


def moved(work: Work, seconds: float, node: str, to: str) -> None:
    """Seconds that were spent inside one node are another's."""
    for name, change in ((node, -seconds), (to, seconds)):
        work.node_seconds[name] = work.node_seconds.get(name, 0.0) + change


def count(work: Work, counter: str, amount: float) -> None:
    """Add to one of the batch's counters."""
    work.counters[counter] = work.counters.get(counter, 0) + amount
