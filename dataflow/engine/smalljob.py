"""Jobs that are smaller than starting a cluster: one process runs them, chosen by prediction, and said."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from dataclasses import dataclass

from dataflow.document import Document
from dataflow.engine.clusters import usable_cores
from dataflow.engine.cost import CostModel
from dataflow.engine.executors import Done, Executor, Graph, InlineExecutor
from dataflow.errors import counted
from dataflow.graph.child import begin_child, limit_children
from dataflow.graph.plan import Plan

__all__ = ["SmallJob", "SmallJobExecutor", "look_at"]

# Two workers take three seconds more than one process to start, to import what they need, and to end: 1,700 pages of
# 0.4 ms took 3.3-3.7 s by one process and 6.4-10.4 s by two, all included. What workers could save of two seconds' work
# is less than that.
_SMALL_SECONDS = 2.0
_SMALL_DOCUMENTS = 2048
_LISTING_SECONDS = 1.0
_PATIENCE_SECONDS = 3.0
_LOOK_SECONDS = 2.0

_Numbered = tuple[int, Document]


@dataclass(frozen=True)
class SmallJob:
    """A job that was looked at to its end.

    Attributes:
        documents: how many there are.
        seconds: what they are predicted to take.
    """

    documents: int
    seconds: float

    def __str__(self) -> str:
        return (
            f"no cluster was started: {counted(self.documents, 'document')} should take {self.seconds:.1f} s in one "
            "process, less than starting workers does (name a cluster to have one)"
        )


def look_at(
    numbered: Iterator[_Numbered],
    model: CostModel | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[SmallJob | None, Iterator[_Numbered]]:
    """Whether all documents together are a small job, and the documents, all of them still to come.

    A corpus that takes long to list isn't waited for.
    """
    model, until = model or CostModel(), clock() + _LISTING_SECONDS
    looked: list[_Numbered] = []
    seconds = 0.0
    for pair in numbered:
        looked.append(pair)
        seconds += model.predict(pair[1])
        if seconds > _SMALL_SECONDS or len(looked) > _SMALL_DOCUMENTS or clock() > until:
            return None, itertools.chain(looked, numbered)
    return SmallJob(len(looked), seconds), iter(looked)


class SmallJobExecutor:
    """Runs graphs one after the other; on a cluster, once they take much longer than was predicted.

    The plan has to say ``in_child``: what runs here must not be able to end this process.

    Args:
        open_cluster: opens a cluster in the stack that it is given, and makes the executor that takes over then.
    """

    def __init__(self, open_cluster: Callable[[contextlib.ExitStack], Executor]) -> None:
        self.slots = usable_cores()
        self._stack = contextlib.ExitStack()
        self._open_cluster = open_cluster
        self._inline = InlineExecutor()
        self._cluster: Executor | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="dataflow-small-job")
        self._graphs: deque[Graph] = deque()
        self._running: Future[list[Done]] | None = None
        self._plan: Plan | None = None
        self._since = time.monotonic()

    def start(self, plan: Plan) -> None:
        """Register the plan in this process."""
        import psutil

        self._plan, self._since = plan, time.monotonic()
        limit_children(plan.run, psutil.virtual_memory().available)
        self._inline.start(plan)
        begin_child(plan.run)

    def ready(self) -> None:
        """Nothing to wait for."""

    def submit(self, graphs: Sequence[Graph]) -> None:
        """Queue them."""
        if self._cluster is not None:
            self._cluster.submit(graphs)
        else:
            self._graphs.extend(graphs)

    def wait(self) -> list[Done]:
        """Run the next one."""
        if self._running is None and self._cluster is None and self._graphs:
            if time.monotonic() - self._since > _PATIENCE_SECONDS:
                self._go_over()
            else:
                self._inline.submit([self._graphs.popleft()])
                self._running = self._thread.submit(self._inline.wait)
        if self._running is None:
            return self._cluster.wait() if self._cluster is not None else []
        wait_for([self._running], timeout=_LOOK_SECONDS)
        if not self._running.done():
            return []
        done, self._running = self._running.result(), None
        return done

    def close(self) -> None:
        """Drop the queue, end what runs the documents, and forget the plan."""
        self._graphs.clear()
        self._stack.close()
        self._inline.close()
        self._thread.shutdown()

    def _go_over(self) -> None:
        assert self._plan is not None
        cluster = self._open_cluster(self._stack)
        self._stack.callback(cluster.close)
        cluster.start(self._plan)
        self._cluster = cluster
        graphs = list(self._graphs)
        self._graphs.clear()
        cluster.submit(graphs)
