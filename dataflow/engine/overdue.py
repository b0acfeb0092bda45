"""Ends workers that are at a document for longer than they may, and can't end themselves.

A document that stops its worker (``SIGSTOP``) stops the watchdog in it too. Its nanny sees a process that lives, and
Dask's scheduler asks the nanny for another one after five minutes at the soonest. Results that lie on the worker can't
be had meanwhile, so that the driver stood still without a word.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from dataflow.graph.overdue import Overdue

if TYPE_CHECKING:
    import psutil

__all__ = ["OverdueWorkers"]

_LOOK_SECONDS = 2.0


class OverdueWorkers:
    """The workers of one run that were started from this process.

    Args:
        ledger: the folder in which they note the document they are at, or ``None``: nobody is ended.
        clock: monotonic seconds.
    """

    def __init__(self, ledger: str | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._ledger, self._clock, self._looked = ledger, clock, clock()
        self._watched: dict[psutil.Process, Overdue] = {}

    def look(self) -> None:
        """End those that are overdue; looks every few seconds, however often it is called."""
        if self._ledger is None or self._clock() - self._looked < _LOOK_SECONDS:
            return
        import psutil

        self._looked = self._clock()
        for worker in _workers(self._ledger):
            with contextlib.suppress(psutil.Error):  # it has ended
                # Kept from look to look: by it, a process is told from a later one with the same number.
                if self._watched.setdefault(worker, Overdue(worker, self._ledger)).look():
                    worker.kill()


def _workers(ledger: str) -> list[psutil.Process]:
    """The processes below this one that have noted something, and whom nobody else would end."""
    import psutil

    mine = {process.pid: process for process in psutil.Process().children(recursive=True)}
    names = (path.stem.rpartition("-") for path in Path(ledger).glob(f"{socket.gethostname()}-*.ledger"))
    found = [mine[int(number)] for _, _, number in names if int(number) in mine]
    # What leads a session is a sandbox, or a worker's child: whoever started it ends it, and knows why.
    return [process for process in found if not _leads_a_session(process.pid)]


def _leads_a_session(number: int) -> bool:
    try:
        return os.getsid(number) == number
    except ProcessLookupError:  # it has ended, as sandboxes do all the time
        return True
