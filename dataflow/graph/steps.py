"""What the nodes share: one document read or sent through its stages, guarded, timed and counted."""

from __future__ import annotations

import contextlib
import threading
import time
from asyncio import CancelledError
from collections.abc import Iterator
from typing import Any

from dataflow.corpus import read_document
from dataflow.errors import one_line
from dataflow.graph.files import OpenDocument, digest_content
from dataflow.graph.patience import patiently
from dataflow.graph.plan import Plan
from dataflow.graph.turns import READ, Turns
from dataflow.graph.work import Item, Work
from dataflow.outcome import OK

__all__ = ["count", "move_seconds", "read", "run_stage", "run_stages", "timed"]

_NEVER_LASTING = (MemoryError, TimeoutError, CancelledError, RecursionError)


def read(plan: Plan, work: Work, item: Item, payload: bytes | None) -> None:
    """Read one document; whatever the file system raises is the document's failure.

    One that the first stage takes as an open file is opened when that stage runs; its content is digested here, where
    the memo asks by it.
    """
    if payload is None and plan.pipeline.takes_file and (item.bypassed or not work.memoized):
        return
    turns = Turns(plan, work.batch.number, item)
    with _guarded(plan, item, turns, READ):
        turns.take(READ, _read, plan, work, item, payload)


def _read(plan: Plan, work: Work, item: Item, payload: bytes | None) -> None:
    if payload is None and plan.pipeline.takes_file:
        started = time.perf_counter()
        digest_content(item)
        count(
            work, "digest_seconds", time.perf_counter() - started
        )  # without a memo, nobody would read it here
        return
    url = item.document.url
    item.value = patiently(lambda: read_document(url)) if payload is None else payload
    item.size_bytes = len(item.value)


def run_stages(plan: Plan, work: Work, item: Item, end: int) -> None:
    """Send one document through all stages before the one of that number that it hasn't got behind it."""
    while item.stage < end and item.status == OK:
        run_stage(plan, work, item, item.stage)


def run_stage(plan: Plan, work: Work, item: Item, index: int) -> dict[str, float]:
    """Send one document through one stage; whatever that raises is the document's failure.

    An iterator is no result yet: the stages after it run now as well, until one makes a value of the pieces. Where
    none does before the pipeline's end, or before the end of what the memo keeps, the pieces become a list.

    Returns:
        The seconds of the other stages that ran, by name.
    """
    turns = Turns(plan, work.batch.number, item)
    with _guarded(plan, item, turns, index), contextlib.ExitStack() as stack:
        item.value, item.stage = _run_together(plan, item, turns, index, stack)
        if item.stage > index + 1:
            item.result_digest = None  # that of what went into the first of them
    return {_name(plan, n): seconds for n, seconds in turns.seconds.items() if n != index}


def _run_together(
    plan: Plan, item: Item, turns: Turns, index: int, stack: contextlib.ExitStack
) -> tuple[Any, int]:
    """The value after a stage and those that pull at it, and how many stages it has behind it then."""
    value = item.value
    if index > 0 or not plan.pipeline.takes_file:
        if (
            index == plan.memo_stages > 0
            and isinstance(value, list)
            and plan.pipeline.stages[index - 1].streams
        ):
            value = iter(value)  # a memo keeps the pieces as a list
        return _pulled(plan, item, turns, index, value, stack)
    document = turns.take(READ, OpenDocument, item.document.url, value)
    stack.callback(document.close)
    item.size_bytes = document.size_bytes
    try:
        found = _pulled(plan, item, turns, index, document.file, stack)
    except BaseException as error:
        if document.error is None:
            raise
        turns.blame(document.error, READ)
        if document.error is error:
            raise
        raise document.error from error  # and not what the parser made of it: damage, perhaps
    if document.error:
        turns.blame(document.error, READ)
        raise document.error  # which the parser took for the end
    return found


def _pulled(
    plan: Plan, item: Item, turns: Turns, index: int, value: Any, stack: contextlib.ExitStack
) -> tuple[Any, int]:
    """Call the stages from one on, each with the result of the one before, as long as that is an iterator."""
    stages = plan.pipeline.stages
    end = plan.memo_stages if index < plan.memo_stages else len(stages)
    for number in range(index, end):
        arguments = (value, item.document) if number == 0 and stages[0].wants_document else (value,)
        value = turns.take(number, stages[number].function, *arguments)
        if not isinstance(value, Iterator):
            break
        value = turns.pieces(number, value)
        stack.callback(value.close)
    else:
        value = turns.take(end - 1, list, value.iterator)
    return value, number + 1


@contextlib.contextmanager
def _guarded(plan: Plan, item: Item, turns: Turns, index: int) -> Iterator[None]:
    """Make whatever a document raises its own failure, and book what its stages took."""
    try:
        yield
    except BaseException as error:  # a parser that calls sys.exit() is a bad parser, no bad run
        if isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
            raise  # that one is the user's: on a worker, documents are never on the main thread
        item.fail(type(error).__name__, one_line(error))
        culprit = turns.culprit(error, index)
        item.stage = max(culprit, index, 0)
        lasting = plan.pipeline.stages[culprit].cache_errors if culprit != READ else ()
        item.lasting = isinstance(error, lasting) and not isinstance(error, _NEVER_LASTING)
    finally:
        turns.forget()
        for number, seconds in turns.seconds.items():
            name = _name(plan, number)
            item.stage_seconds[name] = item.stage_seconds.get(name, 0.0) + seconds
            item.seconds += seconds


def _name(plan: Plan, number: int) -> str:
    return "read" if number == READ else plan.pipeline.stages[number].name


@contextlib.contextmanager
def timed(work: Work, node: str) -> Iterator[None]:
    """Add the block's wall seconds to a node's."""
    started = time.perf_counter()
    try:
        yield
    finally:
        work.node_seconds[node] = work.node_seconds.get(node, 0.0) + time.perf_counter() - started


def move_seconds(work: Work, node: str, other: str, seconds: float) -> None:
    """Book seconds that passed in one node as another's; reading is the probe's."""
    other = "probe" if other == "read" else other
    work.node_seconds[node] = work.node_seconds.get(node, 0.0) - seconds
    work.node_seconds[other] = work.node_seconds.get(other, 0.0) + seconds


def count(work: Work, counter: str, amount: float) -> None:
    """Add to one of the batch's counters."""
    work.counters[counter] = work.counters.get(counter, 0) + amount
