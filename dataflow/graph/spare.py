"""The process for batches that is started before anybody knows whether one is needed.

A child imports for a tenth of a second what every child does, and the driver for as long what every run does, while
another core idles. So the command starts one first of all, and the run takes it if it is as good as new: a process
inherits what its parent is at that moment, and a workload's file may change that. More than one would be in the
driver's way: of 8 documents the whole command took 0.27 s with one, 0.32 with two and 0.30 with none.
"""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

from dataflow.graph.command import module_command, search_path
from dataflow.graph.groups import end_group, end_left_by

__all__ = ["ChildProcess", "child_process", "end_spare", "spare"]

_SAID = "Umask: SigBlk: SigIgn: Uid: Gid: Groups: Cap NoNewPrivs: Seccomp THP_enabled:"
_MASKS = tuple(_SAID.split())


@dataclass(frozen=True)
class ChildProcess:
    """A process that waits to be told where to look for modules, and a plan.

    Attributes:
        process: its pipes are for frames.
        errors: what it prints.
    """

    process: subprocess.Popen[bytes]
    errors: IO[bytes]

    def end(self) -> None:
        """Kill it, and what it has started; it isn't waited for."""
        (end_group if self.process.poll() is None else end_left_by)(self.process.pid)

    def close(self) -> None:
        """End it, and what it has started."""
        self.end()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.errors):
            with contextlib.suppress(OSError):
                stream.close()  # type: ignore[union-attr]


_spare: list[tuple[ChildProcess, Any]] = []  # one or none, and what it has inherited


@contextlib.contextmanager
def spare() -> Iterator[None]:
    """Start one, and end it after the block unless somebody has taken it."""
    # Whoever needs one will say why there is none; and not every system says what one inherits.
    with contextlib.suppress(OSError):
        inherited = _inheritance()
        _spare.append((_start(), inherited))
    try:
        yield
    finally:
        end_spare()


def end_spare() -> None:
    """End it, unless somebody has taken it: nobody will."""
    while _spare:
        _spare.pop()[0].close()


def child_process() -> ChildProcess:
    """The one that was started before, if it is as a new one would be; else a new one.

    Raises:
        OSError: it can't be started.
    """
    if _spare and _spare[0][1] == _inheritance():
        return _spare.pop()[0]
    return _start()


def _start() -> ChildProcess:
    errors = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the process
    process = subprocess.Popen(
        module_command("dataflow.graph.child", str(os.getpid())),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        env={**os.environ, **search_path()},
        start_new_session=True,  # Ctrl-C is the parent's to answer
    )
    return ChildProcess(process, errors)


def _inheritance() -> tuple[object, ...]:
    """What a process has of the one that starts it, but for the search path, which it is told.

    Raises:
        OSError: the system doesn't say.
    """
    with open("/proc/self/status", encoding="ascii", errors="replace") as status:
        masks = [line for line in status if line.startswith(_MASKS)]
    limits = [resource.getrlimit(kind) for kind in _LIMITS]
    turns = os.getpriority(os.PRIO_PROCESS, 0), os.sched_getscheduler(0), os.sched_getaffinity(0)
    spaces = [os.readlink(f"/proc/self/ns/{name}") for name in sorted(os.listdir("/proc/self/ns"))]
    with open("/proc/self/oom_score_adj", "rb") as file:
        score = file.read()
    return dict(os.environ), os.getcwd(), masks, limits, turns, spaces, score


_LIMITS = [getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")]
