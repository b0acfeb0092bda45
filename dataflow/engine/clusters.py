"""Where it runs: clusters by name, file or address.

``cluster/NAME.yaml`` holds ``class`` (a class of Dask's deploy convention, by its import path),
``options`` (its keyword arguments), ``config`` (Dask configuration while it is open) and ``workers``
(which option ``WORKERS=N`` sets). In an option, ``cores`` and ``workers`` stand for this machine's usable
cores and for the number of workers asked for.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from dataflow.engine.forkserver import begin_forkserver, forks_workers, keep_preload
from dataflow.engine.interrupts import answered_later
from dataflow.errors import ClusterError, counted, one_line
from dataflow.places import known_files, resource_file

if TYPE_CHECKING:
    import logging

    from distributed import Client

__all__ = [
    "ClusterSpec",
    "OpenCluster",
    "check_cluster",
    "cluster_names",
    "load_cluster",
    "open_cluster",
    "prepare_cluster",
]

_ADDRESSES = ("tcp://", "tls://", "ws://", "wss://", "ucx://", "inproc://")
_PATIENCE_SECONDS = 30.0
_CONNECT_SECONDS = 10
_CLOSE_SECONDS = 2
_BEGINNINGS = 4
_IN_THIS_PROCESS = (
    "workers in this very process can't be ended, so no limit on time or memory holds: "
    "take a cluster of processes"
)
_NO_NANNY = "workers without a nanny run documents in processes of their own, which may be ended"
_ONE_MACHINE = ("distributed.LocalCluster", "distributed.deploy.subprocess.SubprocessCluster")
_INTERRUPTS = "dataflow.engine.interrupts"


@dataclass(frozen=True)
class ClusterSpec:
    """A cluster's file, read."""

    name: str
    class_path: str
    options: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    workers_option: str | None = None
    description: str = ""

    def resolve(self, workers: int | None) -> dict[str, Any]:
        """The options with ``cores`` and ``workers`` filled in."""
        words = {"cores": usable_cores(), "workers": workers or usable_cores()}
        if self.class_path in _ONE_MACHINE and words["workers"] > _most_workers():
            raise ClusterError(
                f"WORKERS={workers} is more than this machine can hold: {_most_workers()} at most."
            )
        options = _fill(self.options, words)
        if workers is not None:
            if not self.workers_option:
                raise ClusterError(f"cluster {self.name} has a fixed size: leave WORKERS out.")
            options[self.workers_option] = workers
        return dict(options)


@dataclass(frozen=True)
class OpenCluster:
    """A cluster that is open.

    Attributes:
        client: connected.
        name: as the user named it.
        dashboard_link: where to watch, or ``None``.
        local: all its processes are on this machine.
        notes: what the user should know of it, a line each.
        nannies: whoever starts a worker again when it dies: all workers have one.
        in_process: the workers are threads of this process.
        revive: starts workers in the place of those that nobody starts again; ``None`` where that isn't ours to do.
    """

    client: Client
    name: str
    dashboard_link: str | None
    local: bool
    notes: tuple[str, ...] = ()
    nannies: bool = True
    in_process: bool = False
    revive: Callable[[], None] | None = None

    @property
    def slots(self) -> int:
        """Threads of all workers."""
        return sum(self.client.nthreads().values())


def usable_cores() -> int:
    """Cores that this process may use: affinity and control groups count."""
    from dask.system import CPU_COUNT

    return int(CPU_COUNT)


def _most_workers() -> int:
    return max(64, 16 * usable_cores())


def cluster_names() -> list[str]:
    """The names that ``cluster=`` knows."""
    return sorted(p.stem for p in known_files("cluster", ".yaml"))


def load_cluster(name: str) -> ClusterSpec:
    """Read the file of a cluster, by name or path.

    Raises:
        ClusterError: there is none, or it isn't one.
    """
    import yaml

    path = resource_file("cluster", name, ".yaml")
    if path is None:
        known = ", ".join(cluster_names())
        raise ClusterError(
            f"no cluster is called {name!r}: take one of {known}, a YAML file, or tcp://HOST:PORT."
        )
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
        class_path = data["class"]
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise ClusterError(
            f"cluster file {path} can't be read: {one_line(error)}. It needs a 'class'."
        ) from None
    return ClusterSpec(
        name=path.stem,
        class_path=class_path,
        options=data.get("options") or {},
        config=data.get("config") or {},
        workers_option=data.get("workers"),
        description=data.get("description") or "",
    )


@contextlib.contextmanager
def open_cluster(name: Any, workers: int | None = None) -> Iterator[OpenCluster]:
    """Open a cluster for the length of the block.

    Args:
        name: a name, a path to a YAML file, an address (``tcp://HOST:PORT``), a scheduler file (``.json``),
            or an open ``distributed.Client``, which is left open.
        workers: how many; an address is waited for until it has as many.

    Raises:
        ClusterError: unknown, unreachable or without workers.
    """
    check_cluster(name, workers)
    if not isinstance(name, str | os.PathLike):
        yield _describe(name, "client")
        return
    name = os.fspath(name)
    if _is_address(name):
        with _connect(name, workers) as client:
            yield _describe(client, name)
        return
    spec = load_cluster(name)
    with _deploy(spec, workers) as client:
        opened = _describe(client, spec.name)
        yield replace(opened, revive=functools.partial(_revive, client.cluster)) if opened.nannies else opened


def _revive(cluster: Any) -> None:
    """Replace nannies that gave up: one whose worker is killed while it starts doesn't try again."""
    nannies = getattr(cluster, "workers", {})
    dead = {name: one for name, one in nannies.items() if hasattr(one, "is_alive") and not one.is_alive()}
    for name, nanny in dead.items():
        del nannies[name]
        with contextlib.suppress(Exception):
            cluster.sync(nanny.close, timeout=_CLOSE_SECONDS)
    if dead:
        cluster.scale(len(cluster.worker_spec))  # which starts what is missing


def _describe(client: Client, name: str) -> OpenCluster:
    try:
        link = client.dashboard_link if client.scheduler_info().get("services", {}).get("dashboard") else None
        workers = client.scheduler_info(n_workers=-1)["workers"].values()
    except Exception as error:
        raise ClusterError(f"cluster {name} doesn't answer: {one_line(error)}") from error
    local = {w["host"] for w in workers} <= _own_addresses()
    nannies = all(w.get("nanny") for w in workers)
    in_process = client.scheduler_info()["address"].startswith("inproc:")
    notes = () if nannies else (_IN_THIS_PROCESS if in_process else _NO_NANNY,)
    return OpenCluster(client, name, link, local, notes, nannies, in_process)


def _own_addresses() -> set[str]:
    import psutil

    found = {"127.0.0.1", "::1", "localhost", socket.gethostname(), ""}
    for addresses in psutil.net_if_addrs().values():
        found.update(a.address.partition("%")[0] for a in addresses)
    return found


@contextlib.contextmanager
def _connect(address: str, workers: int | None) -> Iterator[Client]:
    import dask
    from distributed import Client

    where: dict[str, Any] = {"scheduler_file": address} if address.endswith(".json") else {"address": address}
    if address.endswith(".json") and not os.path.isfile(address):
        raise ClusterError(
            f"scheduler file {address} doesn't exist: start `dask scheduler --scheduler-file {address}`."
        )
    patience = f"{_CONNECT_SECONDS}s"
    with dask.config.set({"distributed.comm.timeouts.connect": patience}), _quiet():
        try:
            client = Client(**where, timeout=patience, set_as_default=False)
        except (OSError, TimeoutError, ValueError, RuntimeError) as error:
            raise ClusterError(
                f"no scheduler answers at {address} ({type(error).__name__}): "
                "start `dask scheduler`, and check host and port."
            ) from error
    with contextlib.ExitStack() as stack:
        stack.enter_context(_quiet())
        stack.callback(_close, client)
        wanted = workers or 1
        try:
            client.wait_for_workers(wanted, timeout=_PATIENCE_SECONDS if workers else 10)
        except TimeoutError:
            have = len(client.nthreads())
            raise ClusterError(
                f"{address} has {counted(have, 'worker')}, not {wanted}: start more with `dask worker {address}`."
            ) from None
        yield client


@contextlib.contextmanager
def _deploy(spec: ClusterSpec, workers: int | None) -> Iterator[Client]:
    options = spec.resolve(workers)
    config = begin_forkserver(spec.config)  # which imports Dask while this process does

    with answered_later():
        import dask
        from distributed import Client

    with contextlib.ExitStack() as stack:
        stack.enter_context(dask.config.set(config))
        preloads = dask.config.get("distributed.worker.preload", default=None) or []
        stack.enter_context(dask.config.set({"distributed.worker.preload": [*preloads, _INTERRUPTS]}))
        stack.enter_context(_inherited_config())
        stack.enter_context(_quiet())
        if forks_workers(config) and _starts_processes(spec, options):
            keep_preload()
            # A fork would have the environment of the process that it is a fork of.
            options["env"] = {**os.environ, **(options.get("env") or {})}
        try:
            cluster = _begun(functools.partial(_class(spec), **options))
            stack.callback(_close, cluster)
            client = Client(cluster, set_as_default=False)
            stack.callback(_close, client)
            client.wait_for_workers(_expected(options), timeout=_PATIENCE_SECONDS * 2)
        except ClusterError:
            raise
        except Exception as error:
            raise ClusterError(_cannot_open(spec, error)) from error
        yield client


def _starts_processes(spec: ClusterSpec, options: Mapping[str, Any]) -> bool:
    """Whether workers are processes that this one starts, and not its threads, or somebody else's processes."""
    return spec.class_path == _ONE_MACHINE[0] and options.get("processes") is not False


def _begun(start: Callable[[], Any]) -> Any:
    """A cluster; begun once more where a worker was killed before it had started, which is nobody's mistake."""
    for attempt in range(1, _BEGINNINGS + 1):
        try:
            return _started(start)
        except Exception as error:
            if attempt == _BEGINNINGS or not _is_dead_worker(error):
                raise
    raise AssertionError


def _is_dead_worker(error: Exception) -> bool:
    return "anny failed to start" in str(error)


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
        wait([starting], timeout=_PATIENCE_SECONDS)
        if starting.done() and not starting.exception():
            _close(starting.result())
        raise


def _cannot_open(spec: ClusterSpec, error: Exception) -> str:
    if _is_dead_worker(error):
        # Each worker process imports the main script; one that opens a cluster while imported never ends.
        return (
            f"cluster {spec.name} can't be opened: its workers don't start. Check cluster/{spec.name}.yaml, and, in "
            "a script of your own, that the call stands under `if __name__ == '__main__':`."
        )
    reason = f"{type(error).__name__}: {one_line(error).rstrip('.')}"
    return f"cluster {spec.name} can't be opened: {reason}. Check cluster/{spec.name}.yaml and WORKERS."


def check_cluster(name: Any, workers: int | None = None) -> None:
    """Find out what is wrong with a cluster's name or size without opening it.

    Raises:
        ClusterError: unknown, not readable, or a size that can't be.
    """
    if workers is not None and workers < 1:
        raise ClusterError(f"WORKERS must be a whole number above 0, not {workers}.")
    if not isinstance(name, str | os.PathLike) or name in ("auto", "inline"):
        return
    name = os.fspath(name)
    if not _is_address(name):
        load_cluster(name).resolve(workers)
    elif name.startswith(("tcp://", "tls://")) and not _has_port(name):
        raise ClusterError(f"{name} has no host and port: name both, such as tcp://127.0.0.1:8786.")


def prepare_cluster(name: Any) -> None:
    """Start what opening a cluster will wait for, so that there is time for something else meanwhile.

    Raises:
        ClusterError: unknown, or not readable.
    """
    if (
        isinstance(name, str | os.PathLike)
        and name not in ("auto", "inline")
        and not _is_address(os.fspath(name))
    ):
        begin_forkserver(load_cluster(os.fspath(name)).config)


def _has_port(address: str) -> bool:
    try:
        parts = urlsplit(address)
        return bool(parts.hostname and parts.port)
    except ValueError:
        return False


def _is_address(name: str) -> bool:
    return name.startswith(_ADDRESSES) or name.endswith(".json")


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


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Dask's own log lines (a worker was killed, a port was taken) are told by us, or not at all."""
    import logging
    import warnings

    logger, loop_logger = logging.getLogger("distributed"), logging.getLogger("asyncio")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    loop_logger.addFilter(_is_news)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Port .* is already in use")
            yield
    finally:
        logger.setLevel(level)
        loop_logger.removeFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    """Not so of a worker that a broadcast can't reach: Dask looks at one such error, and the others are logged."""
    from distributed.comm import CommClosedError

    return not (record.exc_info and isinstance(record.exc_info[1], CommClosedError))


def _close(thing: Any) -> None:
    import dask

    # A cluster that has died can't be closed in order, and nobody is helped by hearing it, or by waiting for it.
    with contextlib.suppress(Exception), dask.config.set({"distributed.comm.timeouts.connect": "2s"}):
        thing.close()


def _fill(value: Any, words: Mapping[str, int]) -> Any:
    if isinstance(value, Mapping):
        return {k: _fill(v, words) for k, v in value.items()}
    return words.get(value, value) if isinstance(value, str) else value
