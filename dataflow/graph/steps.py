"""What the nodes share: one document read or sent through its stages, guarded, timed and counted."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from functools import partial
from types import MappingProxyType, NoneType
from typing import Any

from dataflow.errors import said
from dataflow.graph.files import OpenDocument, digest_content
from dataflow.graph.groups import end_copy
from dataflow.graph.guard import SOMEBODY, guard_of, has_no_files
from dataflow.graph.patience import patiently
from dataflow.graph.plan import Plan
from dataflow.graph.turns import READ, WRITE, Turns
from dataflow.graph.work import Item, Work
from dataflow.outcome import OK
from dataflow.reading import read_document

__all__ = [
    "count",
    "end_without_files",
    "ending_without_files",
    "let_through",
    "move_seconds",
    "noted",
    "read",
    "run_stage",
    "run_stages",
    "timed",
]

_NO_OTHERS: Mapping[str, float] = MappingProxyType({})
# Of these a look at the type says so, which takes less than to ask an abstract class.
_NO_ITERATORS = frozenset((str, bytes, dict, list, tuple, NoneType))
_NEVER_LASTING = (MemoryError, TimeoutError, RecursionError)


def read(turns: Turns, work: Work, item: Item, payload: bytes | None) -> None:
    """Read one document; whatever the file system raises is the document's failure.

    One that the first stage takes as an open file is opened when that stage runs; its content is digested here, where
    the memo asks by it.
    """
    later = payload is None and turns.plan.pipeline.takes_file
    if later and (item.bypassed or not work.memoized):
        return
    turns.begin(item)
    try:
        if later:
            turns.take(READ, _digest, work, item)
        else:
            if payload is None:
                payload = turns.take(READ, patiently, partial(read_document, item.document.url))
            item.value = payload
            item.size_bytes = len(item.value)
    except BaseException as error:
        if isinstance(error, OSError):
            end_without_files(turns.plan, turns.batch)
        _fail(turns, error, READ)
    finally:
        _book(turns)


def _digest(work: Work, item: Item) -> None:
    started = time.perf_counter()
    digest_content(item)
    # Without a memo, nobody would read it here.
    count(work, "digest_seconds", time.perf_counter() - started)


def run_stages(turns: Turns, item: Item, end: int) -> None:
    """Send one document through all stages before the one of that number that it hasn't got behind it."""
    while item.stage < end and item.status == OK:
        run_stage(turns, item, item.stage)


def run_stage(turns: Turns, item: Item, index: int) -> Mapping[str, float]:
    """Send one document through one stage; whatever that raises is the document's failure.

    An iterator is no result yet: the stages after it run now as well, until one makes a value of the pieces. Where
    none does before the pipeline's end, or before the end of what the memo keeps, the pieces become a list.

    Returns:
        The seconds of the other stages that ran, by name.
    """
    turns.begin(item)
    try:
        if index == 0 and turns.plan.pipeline.takes_file:
            item.value, item.stage = _run_on_file(turns, item)
        else:
            item.value, item.stage = _run_together(
                turns, item, index, _as_given(turns.plan, index, item.value)
            )
        if item.stage > index + 1:
            item.result_digest = None  # that of what went into the first of them
    except BaseException as error:
        _fail(turns, error, index)
    finally:
        _book(turns)
    if len(turns.seconds) == 1:
        return _NO_OTHERS
    return {turns.plan.stage_names[n]: seconds for n, seconds in turns.seconds.items() if n != index}


def _as_given(plan: Plan, index: int, value: Any) -> Any:
    """A stage's argument: pieces are an iterator again where the memo has kept them as a list."""
    if index != plan.memo_stages or index == 0 or not isinstance(value, list):
        return value
    return iter(value) if plan.pipeline.stages[index - 1].streams else value


def _run_on_file(turns: Turns, item: Item) -> tuple[Any, int]:
    """As :func:`_run_together`, for a first stage that takes the open document."""
    with ending_without_files(turns.plan, turns.batch):
        document = turns.take(READ, OpenDocument, item.document.url, item.value)
    try:
        item.size_bytes = document.size_bytes
        found = _run_together(turns, item, 0, document.file)
    except BaseException as error:
        if document.error is None:
            raise
        turns.blame(document.error, READ)
        if document.error is error:
            raise
        raise document.error from error  # and not what the parser made of it: damage, perhaps
    finally:
        failed = document.error
        document.close()
    if failed:
        turns.blame(failed, READ)
        raise failed  # which the parser took for the end
    return found


def _run_together(turns: Turns, item: Item, index: int, value: Any) -> tuple[Any, int]:
    """Call the stages from one on, each with the result of the one before, as long as that is an iterator.

    Returns:
        The value, and how many stages it has behind it.
    """
    plan = turns.plan
    stages = plan.pipeline.stages
    arguments = (value, item.document) if index == 0 and stages[0].wants_document else (value,)
    value = turns.take(index, stages[index].function, *arguments)
    if type(value) in _NO_ITERATORS or not isinstance(value, Iterator):
        return value, index + 1
    end = plan.memo_stages if index < plan.memo_stages else len(stages)
    with contextlib.ExitStack() as stack:
        for number in range(index + 1, end):
            # A file is read as the next stage likes, and not only line by line.
            pieces = value if isinstance(value, io.IOBase) else turns.pieces(number - 1, value)
            stack.callback(pieces.close)
            value = turns.take(number, stages[number].function, pieces)
            if not isinstance(value, Iterator):
                return value, number + 1
        stack.callback(turns.pieces(end - 1, value).close)
        return turns.take(end - 1, list, value), end


def let_through(error: BaseException) -> None:
    """Raise the user's Ctrl-C; all else is a document's own: a parser that calls ``sys.exit()`` is no bad run."""
    if isinstance(error, KeyboardInterrupt) and _user_may_interrupt():
        raise error


def _fail(turns: Turns, error: BaseException, index: int) -> None:
    """Make what a document raised its own failure."""
    let_through(error)
    item, culprit = turns.item, turns.culprit(error, index)
    item.fail(type(error).__name__, said(error))
    end_copy(turns.process)  # what the error says of itself is its own code
    item.stage = max(culprit, index, 0)
    lasting = turns.plan.pipeline.stages[culprit].cache_errors if culprit != READ else ()
    item.lasting = (
        isinstance(error, lasting) and not isinstance(error, _NEVER_LASTING) and not _cancelled(error)
    )


def _user_may_interrupt() -> bool:
    """Whether Ctrl-C would be raised in this thread.

    On a worker, documents aren't on the main thread; and processes that are started for documents ignore the signal.
    """
    on_main = threading.current_thread() is threading.main_thread()
    return on_main and signal.getsignal(signal.SIGINT) is not signal.SIG_IGN


def _cancelled(error: BaseException) -> bool:
    """Whether it is asyncio's word for it, which needn't be imported to say that nobody has raised it."""
    exceptions = sys.modules.get("asyncio.exceptions")
    return exceptions is not None and isinstance(error, exceptions.CancelledError)


def _book(turns: Turns) -> None:
    """Add what its stages took to the document's clocks."""
    turns.forget()
    item, names = turns.item, turns.plan.stage_names
    for number, seconds in turns.seconds.items():
        name = names[number]
        item.stage_seconds[name] = item.stage_seconds.get(name, 0.0) + seconds
        item.seconds += seconds


@contextlib.contextmanager
def timed(work: Work, node: str) -> Iterator[None]:
    """Add the block's wall seconds to a node's."""
    started = time.perf_counter()
    try:
        yield
    finally:
        work.node_seconds[node] = work.node_seconds.get(node, 0.0) + time.perf_counter() - started


@contextlib.contextmanager
def noted(plan: Plan, batch: int) -> Iterator[None]:
    """Hold the block, in which the values' own code may run, to the time limit that a document has to be read.

    Not a document at a time, which would take longer than what is done with most. Where it overruns, the batch is
    halved until one document is left.
    """
    guard, process = guard_of(plan.ledger), os.getpid()
    if guard:
        guard.note(batch, SOMEBODY, WRITE, plan.limits[WRITE])
    stays = False
    try:
        yield
    except (SystemExit, KeyboardInterrupt):
        stays = True  # they end the process, and the note says where
        raise
    finally:
        end_copy(process)  # the note is its original's, and so is the part to be written
        if guard and not stays:
            guard.clear()


@contextlib.contextmanager
def ending_without_files(plan: Plan, batch: int) -> Iterator[None]:
    """Where the block finds no file descriptor left, end this process if it may be: no document in it is to blame."""
    try:
        yield
    except OSError as error:
        end_without_files(plan, batch, error)
        raise


def end_without_files(plan: Plan, batch: int, error: OSError | None = None) -> None:
    """End this process if it may be and has no file descriptor left: it can't even be asked for its results. Also if
    an error says that stages have set a limit on how long a file may be, since no part is that long.
    """
    limited = error is not None and error.errno == errno.EFBIG
    guard = guard_of(plan.ledger) if limited or has_no_files() else None
    if guard:
        guard.end(batch)


def move_seconds(work: Work, node: str, other: str, seconds: float) -> None:
    """Book seconds that passed in one node as another's; reading is the probe's."""
    other = "probe" if other == "read" else other
    work.node_seconds[node] = work.node_seconds.get(node, 0.0) - seconds
    work.node_seconds[other] = work.node_seconds.get(other, 0.0) + seconds


def count(work: Work, counter: str, amount: float) -> None:
    """Add to one of the batch's counters."""
    work.counters[counter] = work.counters.get(counter, 0) + amount
