"""A Dask preload: worker processes leave Ctrl-C to the driver, and what is sent to their group reaches them alone.

A terminal sends Ctrl-C to all its processes. A worker that dies of it prints a traceback, takes its batch along,
and is started anew by its nanny, while the driver is closing the cluster in order. And a stage that tidies up by
``os.killpg``, having started a helper without a session of its own, would end the driver, and each one that resumes.

And the driver answers it once what it imports is whole, and what it tidies up has gone.
"""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any

from dataflow.engine.forkserver import leave_server
from dataflow.graph.groups import wake_without_parent

__all__ = ["answered_later", "dask_setup"]


def dask_setup(_worker: Any) -> None:
    """Leave the driver's process group, and ignore the signal, in a process that was started for the worker; elsewhere
    it isn't ours to take.

    A driver that is killed says nothing to a process that is stopped: it would stay for ever, and write its part when
    somebody lets it go on.
    """
    if multiprocessing.parent_process() is None:
        return
    leave_server()
    wake_without_parent()
    with contextlib.suppress(OSError):
        os.setpgid(0, 0)  # and no session, by which a sandbox is known: see `overdue`
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextlib.contextmanager
def answered_later(patience_seconds: float = math.inf) -> Iterator[None]:
    """Ctrl-C during the block is answered at its end.

    An import is no place for it: extension modules, and what Python calls when an object goes, drop the exception. Nor
    is tidying up, in which a second one would break off what the first began.

    Args:
        patience_seconds: for so long; who presses after that is answered at once.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return
    pressed, until = threading.Event(), time.monotonic() + patience_seconds

    def hold(number: int, frame: FrameType | None) -> None:
        pressed.set()
        if time.monotonic() > until:
            signal.signal(signal.SIGINT, before)
            before(number, frame)

    signal.signal(signal.SIGINT, hold)
    try:
        yield
    finally:
        late = signal.getsignal(signal.SIGINT) is before
        signal.signal(signal.SIGINT, before)
        if pressed.is_set() and not late:
            signal.raise_signal(signal.SIGINT)
