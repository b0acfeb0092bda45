"""Jobs that are smaller than starting a cluster: a process or a few run them, chosen by prediction, and said."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from queue import Empty, SimpleQueue

from dataflow.document import Numbered
from dataflow.engine.cost import CostModel
from dataflow.engine.executors import Done, Executor, run_here
from dataflow.engine.listing import Listing
from dataflow.engine.specs import UNDER_MAIN, imports_the_script, usable_cores
from dataflow.errors import ClusterError, counted
from dataflow.graph.child import begin_children, close_children, limit_children
from dataflow.graph.plan import Batch, Plan, forget_plan, register_plan

__all__ = ["SmallJob", "SmallJobExecutor", "look_at"]

# A cluster's workers begin half a second later than these processes, for which the driver and what workers are forks of
# import Dask on two cores. A prediction before anything was seen was three times too high for 1,700 pages; where one is
# too low, a cluster takes over, and what these have done by then is done.
_SMALL_SECONDS = 10.0  # of each core
_SMALL_DOCUMENTS = 8192
_LISTING_SECONDS = 1.0
_PATIENCE_SECONDS = 5.0
_WORTH_SECONDS = 3.0  # of work that is left: for less, a cluster isn't started any more
_SECONDS_A_PROCESS = 0.25  # starting one takes more
_LOOK_SECONDS = 2.0
_GLANCE_SECONDS = 0.05
_LOOKED_AT_ONCE = 256


@dataclass(frozen=True)
class SmallJob:
    """A job that was looked at to its end.

    Attributes:
        documents: how many there are.
        seconds: what they are predicted to take.
    """

    documents: int
    seconds: float

    @property
    def processes(self) -> int:
        """How many it is worth starting."""
        return min(usable_cores(), self.most_processes)

    @property
    def most_processes(self) -> int:
        """How many it would be, had this process all of the machine."""
        worth = 1 + int(self.seconds / _SECONDS_A_PROCESS)
        return max(1, min(os.cpu_count() or 1, self.documents, worth))

    def __str__(self) -> str:
        where = "one process does" if self.processes == 1 else f"{self.processes} processes do"
        return (
            f"no cluster was started: {where} {counted(self.documents, 'document')}; if much isn't begun after "
            f"{_PATIENCE_SECONDS:.0f} s, a cluster takes it over (name one to have it from the start)"
        )


def look_at(
    listing: Listing,
    model: CostModel | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> SmallJob | None:
    """The small job that all documents together are, if they are one; all of them are still to come.

    A corpus that takes long to list isn't waited for.
    """
    model, until = model or CostModel(), clock() + _LISTING_SECONDS
    looked: list[Numbered] = []
    seconds, most_seconds = 0.0, _SMALL_SECONDS * usable_cores()
    while seconds <= most_seconds and len(looked) <= _SMALL_DOCUMENTS and clock() <= until:
        if not listing.wait(max(0.0, until - clock())) and listing.ended:
            break
        some = listing.take(_LOOKED_AT_ONCE)
        looked += some
        seconds += sum(model.predict_all(some))
    small = listing.ended and seconds <= most_seconds and len(looked) <= _SMALL_DOCUMENTS
    listing.put_back(looked)
    return SmallJob(len(looked), seconds) if small else None


class SmallJobExecutor:
    """Runs batches in a few processes of this one; on a cluster, once they take much longer than was predicted.

    The plan has to say ``in_child``: what runs here must not be able to end this process.

    Args:
        job: how many processes it is worth.
        open_cluster: opens a cluster in the stack that it is given, and makes the executor that takes over then what
            isn't begun; ``None`` where it can't be opened, so that all is done here.
        clock: seconds, by which it is told whether it takes long.
    """

    def __init__(
        self,
        job: SmallJob,
        open_cluster: Callable[[contextlib.ExitStack], Executor | None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._job, self._clock = job, clock
        self._stack = contextlib.ExitStack()
        self._open_cluster = open_cluster
        self._threads = ThreadPoolExecutor(thread_name_prefix="dataflow-small-job")
        self._cluster: Executor | None = None
        self._batches: deque[Batch] = deque()
        # How many documents each has; those that have ended, until that was seen.
        self._running: dict[Future[Done], int] = {}
        self._free = job.processes
        self._lock = threading.RLock()  # for what the threads look at that have run a batch
        self._ended: SimpleQueue[Future[Done] | None] = SimpleQueue()
        self._done = 0
        self._plan: Plan | None = None
        self._waited = 0.0  # seconds; a consumer that takes its time is no long job

    @property
    def slots(self) -> int:
        """As many as the cluster that may take over has."""
        return usable_cores()

    def start(self, plan: Plan) -> None:
        """Register the plan in this process, and start those that will need it.

        Raises:
            ClusterError: this process is a worker that is being started, and imports the script of the one that opens
                the cluster: it would do the whole job once more, while that one waits for it.
        """
        import psutil

        if imports_the_script():
            raise ClusterError(UNDER_MAIN)
        self._plan = plan
        register_plan(plan)
        limit_children(plan.run, psutil.virtual_memory().available / self._job.most_processes)
        begin_children(plan.run, self._job.processes)

    def ready(self) -> None:
        """Nothing to wait for."""

    def submit(self, batches: Sequence[Batch]) -> None:
        """Queue them, and begin what there is a process for."""
        if self._cluster is not None:
            self._cluster.submit(batches)
        else:
            with self._lock:
                self._batches.extend(batches)
                self._begin()

    def deliver(self) -> None:
        """They are written to their processes by threads of their own, at once."""

    def wait(self) -> list[Done]:
        """What has ended since; waits for one, and gives up after some seconds."""
        if self._batches and self._is_long():
            self._go_over()
        if self._running or self._cluster is None:
            ended = self._next(_LOOK_SECONDS if self._cluster is None else _GLANCE_SECONDS)
            if ended or self._cluster is None:
                return ended
        return self._cluster.wait()

    def wake(self) -> None:
        """End a wait."""
        self._ended.put(None)
        if self._cluster is not None:
            self._cluster.wake()

    def expect(self, seconds: Mapping[int, float]) -> None:
        """Tell the cluster that has taken over; here whoever is free takes the next batch."""
        if self._cluster is not None:
            self._cluster.expect(seconds)

    def paused(self) -> Sequence[str]:
        """Those of the cluster that has taken over."""
        return self._cluster.paused() if self._cluster is not None else ()

    def close(self) -> None:
        """Drop the queue, end what runs the documents, and forget the plan."""
        with self._lock:
            self._batches.clear()
        self._stack.close()
        if self._plan:
            # First, or a thread that only now begins a batch had a child started for it.
            forget_plan(self._plan.run)
            close_children(self._plan.run)
        self._threads.shutdown()

    def _begin(self) -> None:
        """Begin as many as there are processes for; the lock is held."""
        assert self._plan is not None
        while self._batches and self._free:
            batch = self._batches.popleft()
            self._free -= 1
            future = self._threads.submit(run_here, self._plan, batch)
            self._running[future] = len(batch)
            future.add_done_callback(self._go_on)

    def _go_on(self, ended: Future[Done]) -> None:
        """Begin the next one at once, in the thread that has run a batch: the driver may be at something else."""
        with self._lock:
            self._free += 1
            self._begin()
        self._ended.put(ended)

    def _next(self, seconds: float) -> list[Done]:
        """What has ended here since; waits for one, or to be woken, for so long at most."""
        began, ended = self._clock(), list[Future[Done] | None]()
        with contextlib.suppress(Empty):
            ended.append(self._ended.get(timeout=seconds))
            while True:
                ended.append(self._ended.get_nowait())
        self._waited += self._clock() - began
        futures = [future for future in ended if future is not None]
        self._done += sum(self._running.pop(future) for future in futures)
        return [future.result() for future in futures]

    def _is_long(self) -> bool:
        """Whether it takes much longer than was predicted, and will for a while."""
        left = (self._job.documents - self._done) * self._waited / max(1, self._done)
        return self._waited > _PATIENCE_SECONDS and left > _WORTH_SECONDS

    def _go_over(self) -> None:
        assert self._plan is not None
        cluster = self._open_cluster(self._stack)
        if cluster is None:
            self._waited = -math.inf  # it isn't tried again
            return
        self._stack.callback(cluster.close)
        cluster.start(dataclasses.replace(self._plan, in_child=False))
        self._cluster = cluster
        with self._lock:
            batches = list(self._batches)
            self._batches.clear()
        cluster.submit(batches)
