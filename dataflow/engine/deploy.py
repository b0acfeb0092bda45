"""Clusters that we start: from their file to a client, and back to nothing."""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import re
import resource
import signal
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING, Any

from dataflow.engine.forkserver import begin_forkserver, forks_workers, keep_preload
from dataflow.engine.interrupts import answered_later
from dataflow.engine.nannies import Nannies
from dataflow.engine.placing import Placing
from dataflow.engine.quiet import quiet
from dataflow.engine.specs import (
    UNDER_MAIN,
    ClusterSpec,
    forget_script_without_file,
    imports_the_script,
    is_address,
    load_cluster,
)
from dataflow.errors import ClusterError, one_line
from dataflow.graph.groups import end_left_by
from dataflow.places import temporary_folder

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["close_quietly", "deploy", "placing_of", "prepare_cluster"]

_PATIENCE_SECONDS = 60.0
_LOOK_SECONDS = 2.0
_BEGINNINGS = 4
_FILES, _FILES_EACH = 48, 12
_UNIQUE = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")  # as Dask names it, and no user
_INTERRUPTS = "dataflow.engine.interrupts"
# Messages of the client to a scheduler in this process: Dask holds each for 10 ms after another.
_APART_SECONDS = 0.001


def prepare_cluster(name: Any) -> bool:
    """Start what opening a cluster will wait for, where that is something; then there is time for else meanwhile.

    Raises:
        ClusterError: unknown, or not readable.
    """
    if not isinstance(name, str | os.PathLike) or name in ("auto", "inline") or is_address(os.fspath(name)):
        return False
    begin_forkserver(load_cluster(os.fspath(name)).config)
    return True


@contextlib.contextmanager
def deploy(spec: ClusterSpec, workers: int | None) -> Iterator[Client]:
    """A client of a cluster that is started for the length of the block.

    Raises:
        ClusterError: it can't be opened; the message names the mend.
        OutputError: there is no room for temporary files.
    """
    temporary_folder()
    if imports_the_script():
        # Each worker that it started would do the same. The one that started this process says what it means.
        raise SystemExit(UNDER_MAIN)
    forget_script_without_file()
    options = spec.resolve(workers)
    if _starts_processes(spec, options):
        _want_files(spec, _expected(options))
    config = begin_forkserver(spec.config)  # which imports Dask while this process does

    with answered_later():
        import dask
        import distributed  # noqa: F401

    with contextlib.ExitStack() as stack:
        stack.enter_context(dask.config.set(config))
        preloads = dask.config.get("distributed.worker.preload", default=None) or []
        stack.enter_context(dask.config.set({"distributed.worker.preload": [*preloads, _INTERRUPTS]}))
        stack.enter_context(_inherited_config())
        stack.enter_context(quiet())
        if forks_workers(config) and _starts_processes(spec, options):
            keep_preload()
            # A fork would have the environment of the process that it is a fork of.
            options["env"] = {**os.environ, **(options.get("env") or {})}
        try:
            cluster = _begun(functools.partial(_class(spec), **options))
            stack.callback(_close, cluster, _starts_processes(spec, options))
            client = _client(cluster)
            stack.callback(close_quietly, client)
            _await_workers(client, cluster, _expected(options))
            _place(client, cluster)
        except ClusterError:
            raise
        except Exception as error:
            # Dask's own account of a worker that didn't start has three tracebacks, and not why.
            raise ClusterError(_cannot_open(spec, error)) from (None if _is_dead_worker(error) else error)
        yield client


def _close(cluster: Any, has_processes: bool) -> None:
    """Close a cluster; what stages had started and not waited for ends with its workers that are processes here."""
    workers = [getattr(nanny, "pid", None) for nanny in cluster.workers.values()] if has_processes else []
    close_quietly(cluster)
    for number in filter(None, workers):
        end_left_by(number)
    # A scheduler process says by a file where it can be reached, which Dask leaves behind.
    named = getattr(getattr(cluster, "scheduler", None), "scheduler_kwargs", {}).get("scheduler_file") or ""
    if os.path.dirname(named) == tempfile.gettempdir() and _UNIQUE.fullmatch(os.path.basename(named)):
        with contextlib.suppress(OSError):
            os.remove(named)


_placings: weakref.WeakKeyDictionary[Client, Placing] = weakref.WeakKeyDictionary()


def placing_of(client: Client) -> Placing | None:
    """The account of a cluster that :func:`deploy` started, which only runs give any work; ``None`` for others."""
    return _placings.get(client)


def _place(client: Client, cluster: Any) -> None:
    """Begin an account, where the scheduler is in this process and can be told what that takes."""
    from distributed import Scheduler

    from dataflow.engine.anywhere import Anywhere

    scheduler = getattr(cluster, "scheduler", None)
    if not isinstance(scheduler, Scheduler):
        return

    async def plug() -> None:
        scheduler.add_plugin(Anywhere(scheduler))

    cluster.sync(plug)
    _placings[client] = Placing()


def _client(cluster: Any) -> Client:
    """A client of a cluster; without a socket, and with no pause between messages, where the scheduler is in this very
    process.

    Of the eleven messages that a batch takes five are between the two: through queues, the driver's loop has a quarter
    less to do. Batches for two workers are two messages, the second of which would wait.
    """
    from distributed import Client, Scheduler

    scheduler = getattr(cluster, "scheduler", None)
    if not isinstance(scheduler, Scheduler) or not scheduler.address.startswith("tcp://"):
        return Client(cluster, set_as_default=False)
    cluster.sync(scheduler.listen, "inproc://")
    client = Client(scheduler.listeners[-1].contact_address, loop=cluster.loop, set_as_default=False)
    client.cluster = cluster
    if client.scheduler_comm is not None:
        client.scheduler_comm.interval = _APART_SECONDS
    return client


def _await_workers(client: Client, cluster: Any, count: int) -> None:
    """Wait until all are there. Raises TimeoutError."""
    until = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            return client.wait_for_workers(count, timeout=_LOOK_SECONDS)
        except TimeoutError:
            if time.monotonic() > until:
                raise
            Nannies(cluster).revive(long=False)


def _starts_processes(spec: ClusterSpec, options: Mapping[str, Any]) -> bool:
    """Whether workers are processes that this one starts, and not its threads, or somebody else's processes."""
    return spec.class_path == "distributed.LocalCluster" and options.get("processes") is not False


def _want_files(spec: ClusterSpec, workers: int) -> None:
    """See to it that this process may open what a cluster's connections and pipes take.

    Without, Dask's servers say so for each connection that they can't accept, without end. Measured: 72 files for two
    workers and a dashboard, 112 for six.

    Raises:
        ClusterError: the system forbids it.
    """
    need = _FILES + _FILES_EACH * workers
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= need:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (need, hard))
    except (ValueError, OSError):
        raise ClusterError(
            f"cluster {spec.name} of {workers} workers needs {need} open files, and this process may open {soft}: "
            f"say `ulimit -n {max(1024, need)}`, or take fewer WORKERS or --cluster threads."
        ) from None


def _begun(start: Callable[[], Any]) -> Any:
    """A cluster; begun anew where a process of it was killed before it had started, which is nobody's mistake."""
    for _ in range(_BEGINNINGS - 1):
        try:
            return _started(start)
        except Exception as error:
            if not (_is_dead_worker(error) or _is_killed_scheduler(error)):
                raise
    return _started(start)


def _is_dead_worker(error: Exception) -> bool:
    return "anny failed to start" in str(error)


def _is_killed_scheduler(error: Exception) -> bool:
    return "Scheduler failed to start and exited with code -" in str(error)  # the number of a signal


def _started(start: Callable[[], Any]) -> Any:
    """A cluster, started in a thread that Ctrl-C doesn't reach: one that is half started can't be closed in order."""
    from multiprocessing import resource_tracker

    starting: Future[Any] = Future()
    resource_tracker.ensure_running()  # which would let the signal through again to the thread that needs it first

    def work() -> None:
        # Whatever is started from here inherits it: a worker would print a traceback before it can ignore the signal.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            starting.set_result(start())
        except BaseException as error:
            starting.set_exception(error)

    try:
        threading.Thread(target=work, name="dataflow-cluster", daemon=True).start()
        return starting.result()
    except KeyboardInterrupt:
        wait([starting], timeout=_PATIENCE_SECONDS / 2)
        if starting.done() and not starting.exception():
            close_quietly(starting.result())
        raise


def _cannot_open(spec: ClusterSpec, error: Exception) -> str:
    if _is_dead_worker(error):
        # Each worker process imports the main script; one that opens a cluster while imported never ends.
        return (
            f"cluster {spec.name} can't be opened: its workers don't start. Check cluster/{spec.name}.yaml, and, in "
            "a script of your own, that the call stands under `if __name__ == '__main__':`."
        )
    if _is_killed_scheduler(error):
        return f"cluster {spec.name} can't be opened: its scheduler is killed while it starts. Run again."
    reason = f"{type(error).__name__}: {one_line(error).rstrip('.')}"
    return f"cluster {spec.name} can't be opened: {reason}. Check cluster/{spec.name}.yaml and WORKERS."


def _expected(options: Mapping[str, Any]) -> int:
    count = options.get("n_workers", 1)
    return count if isinstance(count, int) and count > 0 else 1


def _class(spec: ClusterSpec) -> Any:
    module, _, name = spec.class_path.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ClusterError(
            f"cluster {spec.name} needs {spec.class_path}: {one_line(error)}. Install its package."
        ) from None


@contextlib.contextmanager
def _inherited_config() -> Iterator[None]:
    """Let processes that are started as commands see the configuration that is set in this one."""
    import dask
    from dask.config import serialize

    before = os.environ.get("DASK_INTERNAL_INHERIT_CONFIG")
    os.environ["DASK_INTERNAL_INHERIT_CONFIG"] = serialize(dask.config.global_config)
    os.environ["DATAFLOW_PARENT"] = str(os.getpid())
    try:
        yield
    finally:
        os.environ.pop("DATAFLOW_PARENT", None)
        if before is None:
            os.environ.pop("DASK_INTERNAL_INHERIT_CONFIG", None)
        else:
            os.environ["DASK_INTERNAL_INHERIT_CONFIG"] = before


def close_quietly(thing: Any) -> None:
    """Close a client or a cluster, whatever has become of it."""
    import dask

    # A cluster that has died can't be closed in order, and nobody is helped by hearing it, or by waiting for it.
    with contextlib.suppress(Exception), dask.config.set({"distributed.comm.timeouts.connect": "2s"}):
        thing.close()
