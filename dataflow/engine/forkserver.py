"""Worker processes as forks of one process that has imported Dask already.

A worker that is spawned imports Dask for 0.7 s, and tidies up for 0.3 s when it ends; a fork does neither, and one that
died is back in milliseconds. The standard library's fork server is that process. It is started before the driver
imports Dask itself, so that both import at the same time, and it has one thread, so that what it forks is whole.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator, Mapping
from multiprocessing import forkserver, resource_tracker, util
from typing import Any

from dataflow.errors import ClusterError
from dataflow.graph.command import search_path

__all__ = ["begin_forkserver", "forks_workers", "keep_preload", "leave_server", "wake_server"]

_METHOD = "distributed.worker.multiprocessing-method"
_ENVIRON = "distributed.nanny.pre-spawn-environ."
_LONGEST_ADDRESS = 107
_SHORT_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm")
_SERVER: forkserver.ForkServer = forkserver.ensure_running.__self__  # type: ignore[attr-defined]
_begun: dict[str, str] = {}  # the environment of the process that forks
_lock = threading.Lock()  # the environment is the whole process's, and clusters may be opened in threads


def begin_forkserver(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Start the process that workers will be forks of, where a cluster's configuration asks for one.

    Args:
        config: Dask configuration by dotted name.

    Returns:
        The configuration to open the cluster with: with another method where forks couldn't have the environment
        that it asks for.
    """
    if not forks_workers(config):
        return config
    at_start = {k.removeprefix(_ENVIRON): str(v) for k, v in config.items() if k.startswith(_ENVIRON)}
    with _lock:
        environment = {**at_start, **os.environ}  # as Dask has it: what the user has set goes first
        if _begun and not _can_be_told(environment, at_start):
            return {**config, _METHOD: "spawn"}
        forkserver.set_forkserver_preload([f"{__package__}.forked"])
        if not _begun:
            _begun.update(environment)
    _SERVER.ensure_running = _ensure_running  # type: ignore[method-assign]
    _ensure_running()
    return config


def _ensure_running() -> None:
    """Start the process where it doesn't run. The standard library asks too, before each fork: it may have died.

    It is started by `-c`, for which Python would look for modules in the folder at hand first.
    """
    with _lock:
        if _runs():
            return
        at_start = _as_environment({**_begun, **search_path(), "PYTHONSAFEPATH": "1"})
        with at_start, _without_interrupts(), _short_folder():
            forkserver.ForkServer.ensure_running(_SERVER)


def _runs() -> bool:
    # One that has died is a zombie, left to be waited for by the standard library.
    return wake_server() not in (None, "zombie")


def wake_server() -> str | None:
    """Let the server go on if it was stopped: nobody would hear from it that a fork has died, nor get another one.

    Returns:
        How it was, as psutil says it; ``None`` where there is none.
    """
    number = getattr(_SERVER, "_forkserver_pid", None)  # there is no other way to ask
    if number is None:
        return None
    import psutil

    with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
        status = str(psutil.Process(number).status())
        if status == psutil.STATUS_STOPPED:
            os.kill(number, signal.SIGCONT)
        return status
    return None


def forks_workers(config: Mapping[str, Any]) -> bool:
    """Whether workers under this configuration are forks."""
    return config.get(_METHOD) == "forkserver"


def leave_server() -> None:
    """In a fork: let the server end with the driver, and not only when all of its forks have ended too.

    Each is given an open end of the pipe by which the server knows that it is wanted; nothing in a fork uses it, since
    one that forks by the standard library starts a server of its own.
    """
    end = getattr(_SERVER, "_forkserver_alive_fd", None)
    if end is not None and getattr(_SERVER, "_forkserver_pid", None) is None:
        os.close(end)
        _SERVER._forkserver_alive_fd = None  # type: ignore[attr-defined]


def keep_preload() -> None:
    """Tell Dask that what the server imports is settled: it would import pandas here to find out whether it can."""
    import distributed.utils

    distributed.utils._forkserver_preload_set = True


def _can_be_told(environment: Mapping[str, str], at_start: Mapping[str, str]) -> bool:
    """Whether a fork can get there: it is told what is to be set, but some things count only when a process starts."""
    once = {k for k in {*environment, *_begun} if k in at_start or k.startswith(("PYTHON", "LD_"))}
    return set(_begun) <= set(environment) and all(environment.get(k) == _begun.get(k) for k in once)


@contextlib.contextmanager
def _as_environment(environment: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _short_folder() -> Iterator[None]:
    """Have the server's socket in a folder whose name leaves room for it: a socket's may have 107 bytes, and that of
    the folder for temporary files be longer.
    """
    configured: dict[str, Any] = multiprocessing.current_process()._config  # type: ignore[attr-defined]
    before = configured.get("tempdir")
    own = before or f"{tempfile.gettempdir()}/pymp-12345678"
    if len(os.fsencode(f"{own}/listener-12345678")) <= _LONGEST_ADDRESS:
        yield
        return
    short = next((one for one in _SHORT_FOLDERS if os.access(one, os.W_OK | os.X_OK)), None)
    if short is None:
        raise ClusterError(
            f"TMPDIR {tempfile.gettempdir()} is too long for a socket's name: set a shorter one."
        )
    configured["tempdir"] = folder = tempfile.mkdtemp(prefix="pymp-", dir=short)
    util.Finalize(None, shutil.rmtree, args=(folder, True), exitpriority=-100)
    try:
        yield
    finally:
        del configured["tempdir"]
        if before is not None:
            configured["tempdir"] = before


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    """Ctrl-C is the driver's to answer: whatever is started in here inherits that it is blocked."""
    resource_tracker.ensure_running()  # which would let the signal through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
