"""Processes that should have ended themselves by now, and can't: a watchdog is stopped with the process it watches.

A document may stop its process (``SIGSTOP``), put another program in its place, or take the interpreter's timer away.
What its process noted in the ledger stays there, so whoever is above it sees how long it has been at it.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import time
from typing import TYPE_CHECKING

from dataflow.graph.guard import Note, read_running

if TYPE_CHECKING:
    import psutil

__all__ = ["Overdue"]

_SLACK_SECONDS = 5.0  # more than a process's own watchdogs take, which leave a stack behind
_STOPPED_SECONDS = 1.0  # less than the interpreter's timer, which runs on, would let it live for


class Overdue:
    """Looks whether a process of this machine has to be ended from outside.

    Args:
        process: the one.
        ledger: the folder in which it notes the document it is at.
    """

    def __init__(self, process: psutil.Process, ledger: str) -> None:
        self._process, self._ledger = process, ledger
        self._name = f"{socket.gethostname()}-{process.pid}"
        self._late: set[tuple[int, int, int]] = set()
        self._stopped_since: float | None = None

    def look(self) -> bool:
        """Whether it is at a document for longer than it may, and hasn't ended itself.

        One that is stopped between two documents, where it has no time limit to overrun, is let go on: the signal that
        a document sends to its process may come when the document is done.
        """
        notes = read_running(self._ledger, self._name)
        before, self._late = self._late, {_place(note) for note in notes if _is_late(note)}
        if not notes and self._stopped_seconds() > _STOPPED_SECONDS:
            self._process.send_signal(signal.SIGCONT)
        return bool(before & self._late)  # seen twice, since a note may be read while it is written

    def is_idle(self) -> bool:
        """Whether it is at no document."""
        return not read_running(self._ledger, self._name)

    def _stopped_seconds(self) -> float:
        import psutil

        stopped = False
        with contextlib.suppress(psutil.Error):  # it has ended
            stopped = self._process.status() == psutil.STATUS_STOPPED
        now = time.monotonic()
        self._stopped_since = (self._stopped_since or now) if stopped else None
        return now - self._stopped_since if self._stopped_since else -1.0


def _is_late(note: Note) -> bool:
    return note.seconds > note.limit_seconds + _SLACK_SECONDS


def _place(note: Note) -> tuple[int, int, int]:
    return note.batch, note.position, note.stage
