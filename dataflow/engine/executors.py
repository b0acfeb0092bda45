"""Where graphs run: on a Dask cluster, or right here. Both look the same to the stream."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import queue
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from dataflow.errors import ClusterError, WorkloadError, one_line
from dataflow.graph.build import GraphKey
from dataflow.graph.child import ChildDied, close_children
from dataflow.graph.plan import Plan, forget_plan, register_plan

if TYPE_CHECKING:
    from distributed import Client, Future

__all__ = ["DaskExecutor", "Done", "Executor", "InlineExecutor"]

_LOOK_SECONDS = 2.0

Graph = tuple[GraphKey, Mapping[GraphKey, Any]]


@dataclass(frozen=True, slots=True)
class Done:
    """A graph that has ended: with its result, or with an error.

    Attributes:
        key: the graph's key.
        result: what its last node returned.
        error: why there is no result.
        lost: its worker died, so the error is no word of the graph's own.
    """

    key: GraphKey
    result: Any = None
    error: BaseException | None = None
    lost: bool = False


class Executor(Protocol):
    """Runs graphs. ``slots`` is how many at the same time."""

    slots: int

    def start(self, plan: Plan) -> None:
        """Begin to make a plan known wherever its graphs will run."""

    def ready(self) -> None:
        """Wait until it is known there: nothing else is to be done before.

        Raises:
            ClusterError: the workers can't take it.
        """

    def submit(self, graphs: Sequence[Graph]) -> None:
        """Queue graphs, in one message."""

    def wait(self) -> list[Done]:
        """All that have ended since the last call; waits for one, and gives up after some seconds.

        Raises:
            ClusterError: nothing can end any more.
        """

    def close(self) -> None:
        """Cancel what has not ended and forget the plan. The cluster itself stays open."""


class InlineExecutor:
    """Runs each graph in this thread when it is waited for. For small jobs, tests and debugging."""

    slots = 1

    def __init__(self) -> None:
        self._graphs: deque[Graph] = deque()
        self._plan: Plan | None = None

    def start(self, plan: Plan) -> None:
        """Register the plan in this process."""
        self._plan = plan
        register_plan(plan)

    def ready(self) -> None:
        """Nothing to wait for."""

    def submit(self, graphs: Sequence[Graph]) -> None:
        """Queue them."""
        self._graphs.extend(graphs)

    def wait(self) -> list[Done]:
        """Run the next one."""
        from dask import get

        key, graph = self._graphs.popleft()
        try:
            return [Done(key, get(dict(graph), key))]
        except Exception as error:
            return [Done(key, error=error, lost=isinstance(error, ChildDied))]

    def close(self) -> None:
        """Drop the queue and the plan."""
        self._graphs.clear()
        if self._plan:
            close_children(self._plan.run)
            forget_plan(self._plan.run)


class DaskExecutor:
    """Runs graphs on the cluster of a ``distributed.Client``.

    Args:
        client: open, and left open.
        patience_seconds: how long to wait for a worker when the last one has gone.
    """

    def __init__(self, client: Client, *, patience_seconds: float = 30.0) -> None:
        self._client = client
        self._patience = patience_seconds
        self._address = client.scheduler_info()["address"]
        self._futures: dict[GraphKey, Future[Any]] = {}
        self._ended: queue.SimpleQueue[GraphKey] = queue.SimpleQueue()
        self._plugin: str | None = None
        self._registered: concurrent.futures.Future[Any] | None = None
        self._alone_since: float | None = None
        self.slots = max(1, sum(client.nthreads().values()))

    def start(self, plan: Plan) -> None:
        """Send the plan to the workers, and to all that come later; they load it while the driver goes on.

        Raises:
            WorkloadError: the pipeline can't be sent to other processes.
        """
        from dataflow.engine.worker import PlanPlugin

        try:
            plugin = PlanPlugin(plan)
        except Exception as error:
            raise WorkloadError(
                f"the pipeline can't be sent to worker processes: {one_line(error)}. "
                "Define its stages at the top of a module and keep open files and locks out of them."
            ) from error
        self._plugin = plugin.name
        thread = ThreadPoolExecutor(1, thread_name_prefix="dataflow-register")
        self._registered = thread.submit(self._client.register_plugin, plugin)
        thread.shutdown(wait=False)

    def ready(self) -> None:
        """Wait until all workers have loaded the plan.

        Raises:
            ClusterError: they can't.
        """
        registered, self._registered = self._registered, None
        if registered is None:
            return
        try:
            answers = registered.result()
        except Exception as error:
            raise ClusterError(
                f"the workers can't load the pipeline: {type(error).__name__}: {one_line(error)}. "
                "Install the same packages for the workers as here."
            ) from error
        for answer in (answers or {}).values():
            if isinstance(answer, dict) and answer.get("status") == "error":
                raise ClusterError(f"the workers can't load the pipeline: {one_line(answer['exception'])}.")

    def submit(self, graphs: Sequence[Graph]) -> None:
        """Send them to the scheduler in one message."""
        self.ready()
        merged = {key: task for _, graph in graphs for key, task in graph.items()}
        keys = [key for key, _ in graphs]
        try:
            futures = self._client.get(merged, keys, sync=False)
        except Exception:
            self._check_scheduler()
            raise
        for key, future in zip(keys, futures, strict=True):
            self._expect(key, future)

    def _expect(self, key: GraphKey, future: Future[Any]) -> None:
        self._futures[key] = future
        future.add_done_callback(lambda _: self._ended.put(key))

    def wait(self) -> list[Done]:
        """Gather what has ended, together."""
        while True:
            first = self._next()
            if first is None:
                return []
            keys = [first]
            while not self._ended.empty():
                keys.append(self._ended.get())
            futures = {k: self._futures.pop(k) for k in keys if k in self._futures}
            results = self._gather({k: f for k, f in futures.items() if f.status == "finished"})
            done = [d for k, f in futures.items() if (d := self._done(k, f, results))]
            if done:
                return done

    def close(self) -> None:
        """Cancel and release everything, and take the plan from the workers."""
        futures, self._futures = list(self._futures.values()), {}
        with contextlib.suppress(ClusterError):  # what comes after it to the workers must not overtake it
            self.ready()
        if (
            self._client.status != "running"
        ):  # the client would try to reach a lost scheduler for half a minute
            return
        try:
            if futures:
                self._client.cancel(futures, force=True)
            if self._plugin:
                self._client.unregister_worker_plugin(self._plugin)
        except Exception:  # the cluster has gone, and all of this with it
            return

    def _next(self) -> GraphKey | None:
        try:
            key = self._ended.get(timeout=_LOOK_SECONDS)
        except queue.Empty:
            self._check_cluster()
            return None
        self._alone_since = None
        return key

    def _check_cluster(self) -> None:
        self._check_scheduler()
        self._alone_since = None if self._has_workers() else self._alone_since or time.monotonic()
        if self._alone_since and time.monotonic() - self._alone_since > self._patience:
            raise ClusterError(f"no worker is left on {self._address}: start workers and run again.")

    def _check_scheduler(self) -> None:
        if self._client.status != "running":
            raise ClusterError("the scheduler was lost: start the cluster again.")

    def _has_workers(self) -> bool:
        try:
            return bool(self._client.nthreads())
        except Exception as error:
            raise ClusterError("the scheduler was lost: start the cluster again.") from error

    def _gather(self, futures: dict[GraphKey, Future[Any]]) -> dict[GraphKey, Any]:
        """Results by key. A result whose worker died since is computed again, so gathering waits for it.

        Raises:
            ClusterError: the scheduler was lost.
        """
        if not futures:
            return {}
        try:
            return dict(zip(futures, self._fetch(list(futures.values())), strict=True))
        except Exception:  # one of them failed after all: ask each by itself
            self._check_scheduler()
            return dict(self._each(futures))

    def _each(self, futures: dict[GraphKey, Future[Any]]) -> Iterator[tuple[GraphKey, Any]]:
        for key, future in futures.items():
            # Its status says so where it was cancelled, or its worker can't be asked: see _done.
            with contextlib.suppress(CancelledError, OSError):
                if future.exception() is None:
                    yield key, self._fetch([future])[0]

    def _fetch(self, futures: list[Future[Any]]) -> list[Any]:
        """As the client's ``gather``, which would go on asking a scheduler that has died for half a minute."""
        loop: Any = self._client.loop
        asked = asyncio.run_coroutine_threadsafe(
            self._client.gather(futures, asynchronous=True), loop.asyncio_loop
        )
        while True:
            wait([asked], timeout=_LOOK_SECONDS)
            if asked.done():
                found: list[Any] = asked.result()
                return found
            self._check_scheduler()

    def _done(self, key: GraphKey, future: Future[Any], results: Mapping[GraphKey, Any]) -> Done | None:
        """What became of a future; ``None`` where it is on its way again, since its result was lost."""
        from distributed.scheduler import KilledWorker

        if key in results:
            return Done(key, results[key])
        if future.status == "error":
            error = future.exception()
            return Done(key, error=error, lost=isinstance(error, KilledWorker | ChildDied))
        if future.status == "cancelled":
            raise ClusterError("the scheduler was lost, and the work on it: start the cluster again.")
        self._expect(key, future)
        return None
