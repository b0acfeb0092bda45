"""The processes below a driver: which is a worker, the scheduler, a nanny, the cache's server."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator

import psutil

__all__ = ["end_all", "find", "send"]


def find(driver: int, kind: str) -> list[int]:
    """Process ids of one kind below a driver, oldest first."""
    found = []
    for process in _below(driver):
        with contextlib.suppress(psutil.Error):
            if _IS[kind](process):
                found.append((process.create_time(), process.pid))
    return [pid for _, pid in sorted(found)]


def _is_worker(process: psutil.Process) -> bool:
    """A worker is spawned or forked by `multiprocessing`, and listens; its other processes don't."""
    return _is_of_multiprocessing(process) and any(
        c.status == psutil.CONN_LISTEN for c in process.net_connections(kind="tcp")
    )


def _is_of_multiprocessing(process: psutil.Process) -> bool:
    said = " ".join(process.cmdline())
    return "spawn_main" in said or "multiprocessing.forkserver" in said


def _forks(process: psutil.Process) -> bool:
    return any(_is_worker(child) for child in process.children())


def _runs(word: str) -> Callable[[psutil.Process], bool]:
    return lambda process: not _is_of_multiprocessing(process) and word in " ".join(process.cmdline())


_IS: dict[str, Callable[[psutil.Process], bool]] = {
    "worker": _is_worker,
    "scheduler": _runs("distributed.Scheduler"),
    "nanny": _runs("distributed.Nanny"),
    # What workers are forks of listens too, but to this machine's driver alone.
    "forkserver": lambda process: (
        _is_of_multiprocessing(process) and not _is_worker(process) and _forks(process)
    ),
    # A server writes its address over its command line, so its program tells.
    "redis": lambda process: os.path.basename(process.exe()) in ("valkey-server", "redis-server"),
}


def send(pid: int, number: signal.Signals) -> bool:
    """Send a signal; false where the process has gone."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def end_all(driver: int) -> None:
    """End a driver and all below it, for a round that is given up."""
    processes = [*_below(driver)]
    with contextlib.suppress(psutil.Error):
        processes.append(psutil.Process(driver))
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.kill()


def _below(driver: int) -> Iterator[psutil.Process]:
    with contextlib.suppress(psutil.Error):
        yield from psutil.Process(driver).children(recursive=True)
