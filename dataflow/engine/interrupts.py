"""A Dask preload: worker processes leave Ctrl-C to the driver.

A terminal sends Ctrl-C to all its processes. A worker that dies of it prints a traceback, takes its batch along,
and is started anew by its nanny, while the driver is closing the cluster in order.
"""

from __future__ import annotations

import multiprocessing
import signal
import threading
from typing import Any

__all__ = ["dask_setup"]


def dask_setup(_worker: Any) -> None:
    """Ignore the signal in a process that was started for the worker; elsewhere it isn't ours to take."""
    of_its_own = multiprocessing.parent_process() is not None
    if of_its_own and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
