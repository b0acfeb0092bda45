"""Who is at which document, and for how long: the ledger, the watchdog and the lock of a worker process.

A worker notes the document it is about to touch in a small file mapped into memory. The note costs a
microsecond and outlives the process, however it dies: the driver reads it and knows the culprit, where it
would otherwise have to halve the batch again and again. A watchdog thread ends a process whose document
overruns its time limit. Where native code holds the interpreter's lock the thread can't run, so the
interpreter's own C timer (``faulthandler``) stands behind it, armed anew at every look.
"""

from __future__ import annotations

import contextlib
import faulthandler
import mmap
import os
import signal
import socket
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Blame", "Guard", "guard_of", "read_blame", "unsafe_lock"]

#: Held while a stage with ``thread_safe=False`` runs. One for the whole process, and not one a stage: two
#: stages may use the same library.
unsafe_lock = threading.RLock()

_RECORD = struct.Struct("<qqddi")  # batch, position, started, limit, stage
_SLOTS = 512
_SLOT_BYTES = 64
_GRACE_SECONDS = 2.0
_READ_STAGE = -1  # the stage number of reading the document


@dataclass(frozen=True, slots=True)
class Blame:
    """A document that a dead worker was at.

    Attributes:
        position: the document's place in the corpus.
        stage: index of the stage, -1 while it was being read.
        seconds: how long ago it was begun.
        overran: it was beyond its time limit.
        stack: the worker's stacks, where the watchdog ended it.
    """

    position: int
    stage: int
    seconds: float
    overran: bool
    stack: str


class Guard:
    """The ledger of one process and, where the process may be ended, its watchdog.

    Args:
        folder: where the ledger file goes; it has to exist.
        limit_seconds: the longest time limit of any stage, for the C timer; ``None`` to end nothing. A
            process may be ended only where a nanny starts another.
    """

    def __init__(self, folder: str, *, limit_seconds: float | None = None) -> None:
        name = f"{socket.gethostname()}-{os.getpid()}"
        self._longest = limit_seconds or 0.0
        path = Path(folder) / f"{name}.ledger"
        path.write_bytes(bytes(_SLOTS * _SLOT_BYTES))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)
        self._stack_path = path.with_suffix(".stack")
        self._stack = self._stack_path.open("w")
        self._slots = threading.local()
        self._taken = 0
        self._lock = threading.Lock()
        self._active: dict[int, tuple[float, float]] = {}  # slot -> started, limit
        self._stopped = threading.Event()
        if limit_seconds:
            threading.Thread(target=self._watch, name="dataflow-watchdog", daemon=True).start()

    @contextlib.contextmanager
    def at(self, batch: int, position: int, stage: int, limit_seconds: float) -> Iterator[None]:
        """Note that this thread is at a document, for as long as the block runs."""
        slot = self._slot()
        now = time.monotonic()
        _RECORD.pack_into(self._map, slot * _SLOT_BYTES, batch, position, now, limit_seconds, stage)
        self._active[slot] = (now, limit_seconds)
        try:
            yield
        finally:
            self._active.pop(slot, None)
            _RECORD.pack_into(self._map, slot * _SLOT_BYTES, 0, 0, 0.0, 0.0, 0)

    def close(self) -> None:
        """Stop the watchdog."""
        self._stopped.set()

    def _slot(self) -> int:
        slot: int | None = getattr(self._slots, "number", None)
        if slot is None:
            with self._lock:
                slot = self._slots.number = self._taken % _SLOTS
                self._taken += 1
        return slot

    def _watch(self) -> None:
        while not self._stopped.wait(self._look()):
            pass
        faulthandler.cancel_dump_traceback_later()

    def _look(self) -> float:
        """End the process if a document overran; returns the seconds to the next look."""
        now = time.monotonic()
        left = [started + limit - now for started, limit in list(self._active.values())]
        if left and min(left) <= 0:
            faulthandler.dump_traceback(file=self._stack, all_threads=True)
            self._stack.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        # Armed even when nothing runs: the next document may hold the interpreter's lock from the first.
        faulthandler.dump_traceback_later(self._longest + _GRACE_SECONDS, exit=True, file=self._stack)
        return min([0.5, *(max(0.01, seconds) for seconds in left)])


_guards: dict[str, Guard] = {}
_guards_lock = threading.Lock()


def guard_of(folder: str | None, *, limit_seconds: float | None = None) -> Guard | None:
    """This process's guard for a ledger folder; ``None`` where the folder isn't on this machine."""
    if folder is None or not os.path.isdir(folder):
        return None
    with _guards_lock:
        if folder not in _guards:
            _guards[folder] = Guard(folder, limit_seconds=limit_seconds)
        return _guards[folder]


def drop_guard(folder: str | None) -> None:
    """Close this process's guard for a folder, if there is one."""
    with _guards_lock:
        guard = _guards.pop(folder or "", None)
    if guard:
        guard.close()


def read_blame(folder: str, batch: int) -> list[Blame]:
    """The documents of a batch that some process was at when it died. Empty where nothing is known."""
    found = []
    now = time.monotonic()
    for path in Path(folder).glob("*.ledger"):
        data = path.read_bytes()
        for at in range(0, len(data) - _SLOT_BYTES + 1, _SLOT_BYTES):
            number, position, started, limit, stage = _RECORD.unpack_from(data, at)
            if number == batch and started:
                stack_path = path.with_suffix(".stack")
                stack = stack_path.read_text(errors="replace") if stack_path.exists() else ""
                seconds = now - started
                found.append(Blame(position, stage, seconds, bool(stack) and seconds >= limit, stack))
    return found
