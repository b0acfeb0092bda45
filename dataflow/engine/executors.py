"""Where graphs run, as the stream sees it, and the simplest place: right here."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from dataflow.graph.build import run_batch
from dataflow.graph.child import ChildDied, close_children
from dataflow.graph.plan import Batch, Plan, forget_plan, register_plan

__all__ = ["Done", "Executor", "InlineExecutor", "run_here"]

_LOOK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Done:
    """A batch that has ended: with its result, or with an error.

    Attributes:
        number: the batch's.
        result: what its last node returned.
        error: why there is no result.
        lost: its worker died, so the error is no word of the batch's own.
        taken: it was taken from its worker by somebody's will, so that nothing is to be looked into.
    """

    number: int
    result: Any = None
    error: BaseException | None = None
    lost: bool = False
    taken: bool = False


class Executor(Protocol):
    """Runs batches."""

    @property
    def slots(self) -> int:
        """How many at the same time."""

    def start(self, plan: Plan) -> None:
        """Begin to make a plan known wherever its batches will run."""

    def ready(self) -> None:
        """Wait until it is known there: nothing else is to be done before.

        Raises:
            ClusterError: the workers can't take it.
        """

    def submit(self, batches: Sequence[Batch]) -> None:
        """Queue batches, in one message."""

    def deliver(self) -> None:
        """Wait some milliseconds, if need be, for what was submitted to be under way: this thread will be busy."""

    def wait(self) -> list[Done]:
        """All that have ended since the last call; waits for one, and gives up after some seconds.

        Raises:
            ClusterError: nothing can end any more.
        """

    def wake(self) -> None:
        """End a wait that is under way, or else the next; for other threads."""

    def expect(self, seconds: Mapping[int, float]) -> None:
        """What batches in flight are predicted to take by now, by number."""

    def paused(self) -> Sequence[str]:
        """The workers that take no more work, since they hold nearly all the memory that they may."""

    def close(self) -> None:
        """Cancel what has not ended and forget the plan. The cluster itself stays open."""


class InlineExecutor:
    """Runs each batch in this thread when it is waited for. For tests and debugging."""

    slots = 1

    def __init__(self) -> None:
        self._batches: deque[Batch] = deque()
        self._plan: Plan | None = None
        self._woken = threading.Event()

    def start(self, plan: Plan) -> None:
        """Register the plan in this process."""
        self._plan = plan
        register_plan(plan)

    def ready(self) -> None:
        """Nothing to wait for."""

    def submit(self, batches: Sequence[Batch]) -> None:
        """Queue them."""
        self._batches.extend(batches)

    def deliver(self) -> None:
        """Nothing goes anywhere."""

    def wait(self) -> list[Done]:
        """Run the next one."""
        assert self._plan is not None
        if not self._batches:
            self._woken.wait(_LOOK_SECONDS)
            self._woken.clear()
            return []
        return [run_here(self._plan, self._batches.popleft())]

    def wake(self) -> None:
        """End a wait for the next."""
        self._woken.set()

    def expect(self, seconds: Mapping[int, float]) -> None:
        """Nothing waits behind another here."""

    def paused(self) -> Sequence[str]:
        """None: there are no workers."""
        return ()

    def close(self) -> None:
        """Drop the queue and the plan."""
        self._batches.clear()
        if self._plan:
            close_children(self._plan.run)
            forget_plan(self._plan.run)


def run_here(plan: Plan, batch: Batch) -> Done:
    """Run a batch in this thread, or in a child of this process where the plan says so."""
    try:
        return Done(batch.number, run_batch(plan, batch))
    except Exception as error:
        return Done(batch.number, error=error, lost=isinstance(error, ChildDied))
