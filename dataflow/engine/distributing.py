"""Batches on a Dask cluster: sent as graphs, gathered together, looked after."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import functools
import queue
import time
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, wait
from typing import TYPE_CHECKING, Any

from dataflow.engine.executors import Done
from dataflow.engine.forkserver import wake_server
from dataflow.engine.nannies import Nannies
from dataflow.engine.overdue import OverdueWorkers
from dataflow.engine.placing import Placing
from dataflow.errors import ClusterError, WorkloadError, one_line
from dataflow.graph.build import build
from dataflow.graph.child import ChildDied
from dataflow.graph.plan import Batch, Plan

if TYPE_CHECKING:
    from distributed import Client, Future

    from dataflow.engine.worker import PlanPlugin

__all__ = ["DaskExecutor"]

_LOOK_SECONDS = 1.0
_DELIVERY_SECONDS = 0.003
_WOKEN = -1  # no batch has that number
_RETURN_SECONDS = 0.1  # a worker that died is back in two
_SHORT_SECONDS = 5.0  # longer than a nanny takes to start one again
_TELLINGS = 4


# Plans that workers are loading, in the thread in which they speak, so that runs beside see them silent.
_telling: set[concurrent.futures.Future[Any]] = set()


def _heard(nannies: Nannies, run: str) -> Mapping[int, float]:
    return nannies.heard(run) if all(told.done() for told in list(_telling)) else {}


class _Gone(ConnectionError):
    """A worker has gone that was asked for something."""


class DaskExecutor:
    """Runs batches on the cluster of a ``distributed.Client``.

    Args:
        client: open, and left open.
        nannies: of a cluster that we started: those that give up are replaced.
        placing: where nobody but runs of ours gives the workers anything to do: says which of them a batch is for.
        patience_seconds: how long to wait for a worker when the last one has gone.
    """

    def __init__(
        self,
        client: Client,
        *,
        nannies: Nannies | None = None,
        placing: Placing | None = None,
        patience_seconds: float = 30.0,
    ) -> None:
        self._client = client
        self._patience = patience_seconds
        self._address = client.scheduler_info()["address"]
        self._futures: dict[int, Future[Any]] = {}
        self._ended: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._unsent: dict[int, Exception] = {}  # why a result can't be had
        self._plan: Plan | None = None
        self._overdue = OverdueWorkers(None)
        self._plugin: str | None = None
        self._registered: concurrent.futures.Future[Any] | None = None
        self._alone_since: float | None = None
        self._short_since: float | None = None
        self._nannies, self._looked = nannies, time.monotonic()
        workers = client.nthreads()
        self.slots = max(1, sum(workers.values()))
        self._placing = placing
        if placing is not None:
            placing.know(workers)

    def start(self, plan: Plan) -> None:
        """Send the plan to the workers, and to all that come later; they load it while the driver goes on.

        Raises:
            WorkloadError: the pipeline can't be sent to other processes.
        """
        from dataflow.engine import frames
        from dataflow.engine.worker import PlanPlugin

        frames.register()
        plugin = PlanPlugin(plan)
        self._plan, self._plugin = plan, plugin.name
        nannies = Nannies(getattr(self._client, "cluster", None))
        self._overdue = OverdueWorkers(plan.ledger, functools.partial(_heard, nannies, plan.run))
        self._registered = self._on_loop(self._register(plugin))
        _telling.add(self._registered)
        self._registered.add_done_callback(_telling.discard)

    def ready(self) -> None:
        """Wait until all workers have loaded the plan.

        Raises:
            ClusterError: they can't.
        """
        if self._registered is None:
            return
        try:
            answers = self._wait_for(self._registered)
        except (ClusterError, WorkloadError):
            raise
        except Exception as error:
            self._check_scheduler()
            died = isinstance(error, OSError)
            reason = "it ends their processes" if died else f"{type(error).__name__}: {one_line(error)}"
            raise ClusterError(
                f"the workers can't load the pipeline: {reason}. Install the same packages for the "
                "workers as here, or move what can't be sent to a module that they can import."
            ) from error
        self._registered = None
        for answer in (answers or {}).values():
            if isinstance(answer, dict) and answer.get("status") == "error":
                raise ClusterError(f"the workers can't load the pipeline: {one_line(answer['exception'])}.")

    async def _register(self, plugin: PlanPlugin) -> Any:
        """Tell all workers; again where one dies meanwhile, of which the others know nothing."""
        for attempt in range(_TELLINGS):
            try:
                answers = await self._of_all(self._client.register_plugin(plugin))
                if answers or not attempt:
                    return answers
            except OSError:  # no way to a worker, or none any more
                if attempt + 1 == _TELLINGS or self._client.status != "running":
                    raise
            # If it was the plan that it died of, what is started in its place must not die of it while it starts.
            await self._unregister()
            until = time.monotonic() + self._patience
            while not await self._client.nthreads() and time.monotonic() < until:
                await asyncio.sleep(_RETURN_SECONDS)
        return await self._client.register_plugin(plugin)

    async def _unregister(self) -> None:
        """Take the plan from the workers. Those that have gone have taken it along."""
        with contextlib.suppress(Exception):
            await self._of_all(self._client.unregister_worker_plugin(self._plugin))

    async def _of_all(self, asked: Coroutine[Any, Any, Any]) -> Any:
        """What workers answer. One that goes at the wrong moment, Dask would try to reach for half a minute.

        Raises:
            OSError: one of them has gone meanwhile.
        """
        there = set(await self._client.nthreads())
        answering = asyncio.ensure_future(asked)
        answering.add_done_callback(_look_at)
        while not (await asyncio.wait([answering], timeout=_LOOK_SECONDS))[0]:
            if not there <= set(await self._client.nthreads()):
                answering.cancel()
                raise _Gone("a worker has gone before it answered")
        return answering.result()

    async def _withdraw(self, registered: concurrent.futures.Future[Any]) -> None:
        """Take the plan from the workers once they have it: what comes after it must not overtake it."""
        with contextlib.suppress(Exception):
            await asyncio.wrap_future(registered)
        await self._unregister()

    def _on_loop(self, coroutine: Coroutine[Any, Any, Any]) -> concurrent.futures.Future[Any]:
        loop: Any = self._client.loop
        return asyncio.run_coroutine_threadsafe(coroutine, loop.asyncio_loop)

    def _wait_for(self, asked: concurrent.futures.Future[Any]) -> Any:
        """The answer; the client would go on asking a scheduler that has died for half a minute."""
        while True:
            wait([asked], timeout=_LOOK_SECONDS)
            if asked.done():
                return asked.result()
            self._check_scheduler()
            self._overdue.look()  # a result may lie on a worker that can't hand it out any more

    def submit(self, batches: Sequence[Batch]) -> None:
        """Send their graphs to the scheduler, in one message for each worker that they are for."""
        self.ready()
        assert self._plan is not None
        placed: dict[str | None, list[Batch]] = {}
        for batch in batches:
            where = (
                self._placing.place(self._plan.run, batch.number, batch.seconds) if self._placing else None
            )
            placed.setdefault(where, []).append(batch)
        for worker, some in placed.items():
            self._send(self._plan, some, worker)

    def deliver(self) -> None:
        """Let what was sent go out, for which the threads that send need the interpreter."""
        self._wait_for(self._on_loop(asyncio.sleep(_DELIVERY_SECONDS)))

    def _send(self, plan: Plan, batches: Sequence[Batch], worker: str | None) -> None:
        graphs = [build(plan, batch) for batch in batches]
        merged = {key: task for _, graph in graphs for key, task in graph.items()}
        # Another worker takes them where that one has gone: see dataflow.engine.anywhere.
        where: dict[str, Any] = {"workers": [worker], "allow_other_workers": True} if worker else {}
        try:
            futures = self._client.get(merged, [key for key, _ in graphs], sync=False, **where)
        except Exception:
            self._check_scheduler()
            raise
        for batch, future in zip(batches, futures, strict=True):
            self._expect(batch.number, future)

    def _expect(self, number: int, future: Future[Any]) -> None:
        self._futures[number] = future
        future.add_done_callback(lambda _: self._ended.put(number))

    def wait(self) -> list[Done]:
        """Gather what has ended, together."""
        while True:
            self._look_after()
            first = self._next()
            if first is None:
                return []
            numbers = [first]
            while not self._ended.empty():
                numbers.append(self._ended.get())
            woken = _WOKEN in numbers
            futures = {n: self._futures.pop(n) for n in numbers if n in self._futures}
            results = self._gather({n: f for n, f in futures.items() if f.status == "finished"})
            done = [d for n, f in futures.items() if (d := self._done(n, f, results))]
            self._account(done, len(futures))
            if done or woken:
                return done

    def wake(self) -> None:
        """End a wait."""
        self._ended.put(_WOKEN)

    def _account(self, done: Sequence[Done], ended: int) -> None:
        """See who is free; and which workers there are, where a batch was lost, or a result."""
        if self._placing is None or self._plan is None:
            return
        for one in done:
            self._placing.ended(self._plan.run, one.number, one.result.seconds if one.error is None else 0.0)
        if len(done) < ended or any(one.lost for one in done):
            self._placing.know(self._workers())

    def expect(self, seconds: Mapping[int, float]) -> None:
        """Have that in mind when the next batches are placed."""
        for number, predicted in seconds.items():
            if self._placing is not None and self._plan is not None:
                self._placing.expect(self._plan.run, number, predicted)

    def paused(self) -> Sequence[str]:
        """Their addresses; of a cluster that we start, none is ever paused."""
        try:
            workers = self._client.scheduler_info()["workers"]
        except Exception:  # it is going just now, which is found out elsewhere
            return ()
        return [address for address, worker in workers.items() if worker.get("status") == "paused"]

    def close(self) -> None:
        """Cancel and release everything, and take the plan from the workers."""
        numbers, futures, self._futures = list(self._futures), list(self._futures.values()), {}
        registered, self._registered = self._registered, None
        if self._placing is not None and self._plan is not None:
            self._placing.forget(self._plan.run, numbers)
        if (
            self._client.status != "running"
        ):  # the client would try to reach a lost scheduler for half a minute
            return
        try:
            if futures:
                self._client.cancel(futures, force=True)
            if registered and not registered.done():
                # Not waited for: it may take long to load, and whoever pressed Ctrl-C has waited enough.
                self._on_loop(self._withdraw(registered))
            elif self._plugin:
                self._wait_for(self._on_loop(self._unregister()))
        except Exception:  # the cluster has gone, and all of this with it
            return

    def _look_after(self) -> None:
        """Every few seconds: whether workers can't end themselves, or are missing that should have been back by now."""
        self._overdue.look()
        now = time.monotonic()
        if (self._nannies is None and self._placing is None) or now - self._looked < _LOOK_SECONDS:
            return
        self._looked = now
        if self._client.status != "running":
            self._short_since = None
            return
        wake_server()
        workers = self._workers()
        if self._placing is not None:
            self._placing.know(workers)
        if self._nannies is None or sum(workers.values()) >= self.slots:
            self._short_since = None
        else:
            since = now if self._short_since is None else self._short_since
            long = now - since > _SHORT_SECONDS
            self._short_since = None if long else since
            self._nannies.revive(long)

    def _next(self) -> int | None:
        try:
            number = self._ended.get(timeout=_LOOK_SECONDS)
        except queue.Empty:
            self._check_cluster()
            return None
        self._alone_since = None
        return number

    def _check_cluster(self) -> None:
        self._check_scheduler()
        self._alone_since = None if self._has_workers() else self._alone_since or time.monotonic()
        if self._alone_since and time.monotonic() - self._alone_since > self._patience:
            raise ClusterError(f"no worker is left on {self._address}: start workers and run again.")

    def _check_scheduler(self) -> None:
        if self._client.status != "running":
            raise ClusterError("the scheduler was lost: start the cluster again.")

    def _has_workers(self) -> bool:
        return bool(self._workers())

    def _workers(self) -> Mapping[str, int]:
        """Threads by worker."""
        try:
            found: Mapping[str, int] = self._client.nthreads()
            return found
        except Exception as error:
            raise ClusterError("the scheduler was lost: start the cluster again.") from error

    def _gather(self, futures: dict[int, Future[Any]]) -> dict[int, Any]:
        """Results by batch. A result whose worker died since is computed again, so gathering waits for it.

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

    def _each(self, futures: dict[int, Future[Any]]) -> Iterator[tuple[int, Any]]:
        for number, future in futures.items():
            # Its status says so where it was cancelled, or its worker can't be asked: see _done.
            try:
                if future.exception() is None:
                    yield number, self._fetch([future])[0]
            except (CancelledError, OSError):
                continue
            except ClusterError:
                raise
            except Exception as error:  # a document has left its worker unable to hand anything out
                self._unsent[number] = error

    def _fetch(self, futures: list[Future[Any]]) -> list[Any]:
        """Results. Where one is asked for that has gone meanwhile, which Dask would try to reach for half a minute, all
        are asked for again.
        """
        while True:
            asked = self._on_loop(self._of_all(self._client.gather(futures, asynchronous=True)))
            with contextlib.suppress(_Gone):
                return list(self._wait_for(asked))

    def _done(self, number: int, future: Future[Any], results: Mapping[int, Any]) -> Done | None:
        """What became of a future; ``None`` where it is on its way again, since its result was lost."""
        from distributed.scheduler import KilledWorker

        if number in results:
            return Done(number, results[number])
        if number in self._unsent:
            return Done(number, error=self._unsent.pop(number))
        if future.status == "error":
            error = future.exception()
            return Done(number, error=error, lost=isinstance(error, KilledWorker | ChildDied))
        if future.status == "cancelled":
            self._check_scheduler()
            return Done(number, error=CancelledError("the cluster was restarted"), taken=True)
        self._expect(number, future)
        return None


def _look_at(answer: asyncio.Future[Any]) -> None:
    """So that an error for which nobody waits any more isn't printed."""
    if not answer.cancelled():
        answer.exception()
