"""Ends workers that are at a document for longer than they may, or at nothing at all, and can't end themselves; and
what dead ones left.

A document that stops its worker (``SIGSTOP``) stops the watchdog in it too. Its nanny sees a process that lives, and
Dask's scheduler asks the nanny for another one after five minutes at the soonest. Results that lie on the worker can't
be had meanwhile, so that the driver stood still without a word. One that a document has broken (it cleared
``sys.modules``) may be connected, and take batches, and do nothing with them: its heart doesn't beat.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable, Mapping, Set
from pathlib import Path
from typing import TYPE_CHECKING

from dataflow.graph.groups import end_group, end_left_by
from dataflow.graph.overdue import Overdue

if TYPE_CHECKING:
    import psutil

__all__ = ["OverdueWorkers"]

_LOOK_SECONDS = 2.0
# A heart beats every two, unless a document's native code keeps it from it, which is noted.
_SILENT_SECONDS = 12.0


class OverdueWorkers:
    """The workers of one run that were started from this process.

    Args:
        ledger: the folder in which they note the document they are at, or ``None``: nobody is ended.
        heard: when each was last heard of, by the number of its process, where that is known.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        ledger: str | None,
        heard: Callable[[], Mapping[int, float]] = dict,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger, self._clock, self._looked = ledger, clock, clock()
        self._silence = _Silence(heard)
        self._watched: dict[psutil.Process, Overdue] = {}
        self._gone: set[int] = set()

    def look(self) -> None:
        """End those that are overdue, and programs that dead ones had started; looks every few seconds, however often
        it is called.
        """
        if self._ledger is None or self._clock() - self._looked < _LOOK_SECONDS:
            return
        import psutil

        before, self._looked = self._looked, self._clock()
        noted = _noted(self._ledger)
        silent = self._silence.look(noted, self._looked - before)
        for number in noted - self._gone:
            if not psutil.pid_exists(number):
                self._gone.add(number)  # once, since later another may have the number
                end_left_by(number)
        for worker in _workers(noted - self._gone):
            with contextlib.suppress(psutil.Error):  # it has ended
                # Kept from look to look: by it, a process is told from a later one with the same number.
                watched = self._watched.setdefault(worker, Overdue(worker, self._ledger))
                if watched.look() or (worker.pid in silent and watched.is_idle()):
                    end_group(worker.pid)


class _Silence:
    """For how long workers have been silent.

    Args:
        heard: see :class:`OverdueWorkers`. Only whether it changes counts: that clock may be set.
    """

    def __init__(self, heard: Callable[[], Mapping[int, float]]) -> None:
        self._heard = heard
        self._last: dict[int, tuple[float, float]] = {}  # when, and for how long that hasn't changed

    def look(self, numbers: Set[int], seconds: float) -> set[int]:
        """Those of some processes that have been silent for too long.

        Args:
            numbers: of processes that have loaded the plan, which may have kept them from speaking.
            seconds: since the last look. A machine that stood still has let nobody speak.
        """
        seconds, heard = min(seconds, 2 * _LOOK_SECONDS), self._heard()
        self._last = {n: (heard[n], self._since(n, heard[n], seconds)) for n in numbers if n in heard}
        return {number for number, (_, silent) in self._last.items() if silent > _SILENT_SECONDS}

    def _since(self, number: int, when: float, seconds: float) -> float:
        last, silent = self._last.get(number, (None, 0.0))
        return silent + seconds if when == last else 0.0


def _noted(ledger: str) -> set[int]:
    """The numbers of the processes of this machine that have a ledger."""
    names = (path.stem.rpartition("-") for path in Path(ledger).glob(f"{socket.gethostname()}-*.ledger"))
    return {int(number) for host, _, number in names if host == socket.gethostname()}


def _workers(noted: set[int]) -> list[psutil.Process]:
    """Those of them that are below this one, and whom nobody else would end."""
    import psutil

    found = [process for process in psutil.Process().children(recursive=True) if process.pid in noted]
    # What leads a session is a sandbox, or a worker's child: whoever started it ends it, and knows why.
    return [process for process in found if not _leads_a_session(process.pid)]


def _leads_a_session(number: int) -> bool:
    try:
        return os.getsid(number) == number
    except ProcessLookupError:  # it has ended, as sandboxes do all the time
        return True
