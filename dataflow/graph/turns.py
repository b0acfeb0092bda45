"""Whose turn it is: the stages that one document goes through together, each on its own clock.

A stage that returns an iterator has done nothing yet: its work is done whenever the stage after it pulls a piece.
So the two run together, turn about. Each turn is timed, noted in the ledger under its stage with what is left of
that stage's time limit, and holds the lock of a stage that is not thread-safe; and what a stage raises while
another pulls at it is its own failure.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from dataflow.graph.groups import end_copy
from dataflow.graph.guard import guard_of, unsafe_lock

if TYPE_CHECKING:
    from dataflow.graph.plan import Plan
    from dataflow.graph.work import Item

__all__ = ["READ", "WRITE", "Pieces", "Turns"]

READ = -1
"""The number of the stage that reads a document, as the ledger has it."""

WRITE = -2
"""That of packing values, or making columns of them: a value's own code may run there."""


class Turns:
    """The turns of a node's documents, one document at a time; to be left as a context manager when all had theirs.

    Args:
        plan: the stages and their limits.
        batch: the batch's number, for the ledger.

    Attributes:
        plan: the stages and their limits.
        batch: the batch's number.
        item: the document whose turns these are.
        seconds: what each of its stages took itself, by its number.
        process: the number of the process that they began in, of which a document may make a copy.
    """

    item: Item

    def __init__(self, plan: Plan, batch: int) -> None:
        self.plan = plan
        self._guard = guard_of(plan.ledger)
        self.batch = batch
        self._limits, self._unsafe = plan.limits, plan.unsafe_stages
        self._number: int | None = None
        self._since = 0.0
        self.seconds: dict[int, float] = {}
        self._raised: tuple[BaseException, int] | None = None
        self.process = os.getpid()

    def __enter__(self) -> Turns:
        return self

    def __exit__(self, *_: object) -> None:
        # Once a node and not once a document: the next one's note takes the place of the last.
        if self._guard:
            self._guard.clear()

    def begin(self, item: Item) -> None:
        """The next document's turns."""
        self.item, self.seconds, self._raised = item, {}, None

    def take(self, number: int, function: Callable[..., Any], *args: Any) -> Any:
        """Call a function in a stage's turn."""
        outer = self._number
        if outer is not None:
            self._book(outer)
        unsafe = number in self._unsafe
        if unsafe:
            self._wait_for_lock()
        self._start(number)
        try:
            return function(*args)
        except StopIteration:
            raise
        except BaseException as error:
            code = error.code if isinstance(error, SystemExit) else 1
            end_copy(self.process, code if isinstance(code, int) else int(code is not None))
            if self._raised is None or self._raised[0] is not error:
                self.blame(error, number)
            raise
        finally:
            end_copy(self.process)
            self._book(number)
            if unsafe:
                unsafe_lock.release()
            if outer is None:
                self._number = None
            else:
                self._start(outer)

    def pieces(self, number: int, iterator: Iterator[Any]) -> Pieces:
        """A stage's result, piece by piece, for the stage after it."""
        return Pieces(self, number, iterator)

    def blame(self, error: BaseException, number: int) -> None:
        """Take an error for one that was raised in a stage's turn."""
        self._raised = (error, number)

    def culprit(self, error: BaseException, otherwise: int) -> int:
        """The number of the stage in whose turn an error was raised."""
        return self._raised[1] if self._raised and self._raised[0] is error else otherwise

    def forget(self) -> None:
        """Let go of what was raised, whose frames hold this object: a circle, and the pieces in it."""
        self._raised = None

    def _start(self, number: int) -> None:
        self._number = number
        self._since = now = time.monotonic()
        if self._guard:
            began = now - self.seconds.get(number, 0.0)  # what it has spent before is spent
            self._guard.note(self.batch, self.item.position, number, self._limits[number], began)

    def _book(self, number: int) -> None:
        self.seconds[number] = self.seconds.get(number, 0.0) + time.monotonic() - self._since

    def _wait_for_lock(self) -> None:
        if unsafe_lock.acquire(blocking=False):
            return
        if self._guard:
            self._guard.clear()  # a document that waits for its turn is not a slow one
        unsafe_lock.acquire()


class Pieces(Iterator[Any]):
    """An iterator each of whose steps is a turn of the stage that it comes from.

    Attributes:
        iterator: the stage's own.
    """

    __slots__ = ("_number", "_turns", "iterator")

    def __init__(self, turns: Turns, number: int, iterator: Iterator[Any]) -> None:
        self._turns, self._number, self.iterator = turns, number, iterator

    def __next__(self) -> Any:
        return self._turns.take(self._number, next, self.iterator)

    def __getattr__(self, name: str) -> Any:
        """What the stage's own iterator has besides: the names of a reader's fields."""
        if name.startswith("_") or name == "iterator":  # which a copy that is being made hasn't yet
            raise AttributeError(name)
        return getattr(self.iterator, name)

    def close(self) -> None:
        """End it early."""
        close = getattr(self.iterator, "close", None)
        if close is not None:
            self._turns.take(self._number, close)
