"""Process groups: what a stage has started ends with the process that ran it.

A stage may call a program (``pdftotext``, ``ffmpeg``), whose hanging is what its document overruns for. Nobody waits
for it once the process that called it was ended: it would take a core for ever. Processes that run documents for us
lead a group of their own each, which what they start is in, unless it leaves on purpose.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar

__all__ = ["end_copy", "end_group", "end_left_by", "end_own_group", "wake_without_parent", "without_copies"]

T = TypeVar("T")
P = ParamSpec("P")


def end_copy(process: int, code: int = 0) -> None:
    """End this process if it isn't the one of that number, but a copy: it would answer for all documents to come."""
    if os.getpid() != process:
        os._exit(code)


def without_copies(function: Callable[P, T]) -> Callable[P, T]:
    """A function from which no copy of the process returns, whichever code of a document's has made it by a fork."""

    @functools.wraps(function)
    def alone(*args: P.args, **kwargs: P.kwargs) -> T:
        process = os.getpid()
        try:
            return function(*args, **kwargs)
        finally:
            end_copy(process)

    return alone


def end_group(leader: int) -> None:
    """Kill a process that has not been waited for yet, and the group that it leads, if it does."""
    try:
        os.killpg(leader, signal.SIGKILL)
    except OSError:
        with contextlib.suppress(OSError):
            os.kill(leader, signal.SIGKILL)


def end_own_group() -> None:
    """Kill this process, and the group that it leads, if it does: no other one, as that of a shell."""
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def end_left_by(leader: int) -> None:
    """Kill what is left of a group whose leader has gone.

    As long as any is, no new process is given the leader's number; where one has it, nothing was left.
    """
    try:
        os.kill(leader, 0)
    except ProcessLookupError:
        with contextlib.suppress(OSError):
            os.killpg(leader, signal.SIGKILL)
    except OSError:
        return  # somebody else's, by now


def wake_without_parent() -> None:
    """Let this process go on, should it be stopped, when the thread ends that has started it (Linux)."""
    if sys.platform != "linux":
        return
    import ctypes

    parent_death_signal = 1
    ctypes.CDLL(None).prctl(parent_death_signal, signal.SIGCONT)
