"""Who is at which document, and for how long: the ledger, the watchdog and the lock of a worker process.

A worker notes the document it is about to touch in a small file mapped into memory. The note costs a
microsecond and outlives the process, however it dies: the driver reads it and knows the culprit, where it
would otherwise have to halve the batch again and again. A watchdog thread ends a process whose document
overruns its time limit. Where native code holds the interpreter's lock the thread can't run, so the
interpreter's own C timer (``faulthandler``) stands behind it, armed anew at every look.
"""

from __future__ import annotations

import contextlib
import errno
import faulthandler
import itertools
import math
import mmap
import os
import re
import socket
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dataflow.graph.groups import end_own_group

__all__ = [
    "LIMITED_FILES",
    "NOBODY",
    "OUT_OF_FILES",
    "SOMEBODY",
    "Guard",
    "Note",
    "ask_for_stacks",
    "drop_guard",
    "guard_of",
    "has_no_files",
    "innermost_line",
    "read_blame",
    "read_running",
    "unsafe_lock",
]

#: Held while a stage with ``thread_safe=False`` runs. One for the whole process, and not one a stage: two
#: stages may use the same library.
unsafe_lock = threading.RLock()

NOBODY = -1
"""The position of the document in the note of a process that no document in it is known to have ended."""

SOMEBODY = -2
"""The position in the note of one that was at some of its documents at once, or all."""

OUT_OF_FILES = 79
"""The exit status of such a process, for want of file descriptors."""

LIMITED_FILES = 80
"""That of a process in which a stage has set a limit on how long a file may be."""

_RECORD = struct.Struct("<qqddi")  # batch, position, started, limit, stage
_REST = struct.Struct("<qddi")  # all but the batch
_REST_AT = struct.calcsize("<q")
_SLOTS = 512
_SLOT_BYTES = 64
_GRACE_SECONDS = 2.0
_WATCHERS = tuple(("dataflow", "graph", name) for name in ("guard.py", "child.py"))
_WORKING = tuple(("dataflow", "graph", name) for name in ("nodes.py", "steps.py", "turns.py"))
_READ_STAGE = -1  # the stage number of reading the document


@dataclass(frozen=True, slots=True)
class Note:
    """What a ledger says of one thread: the document that it is at, or was at when its process died.

    Attributes:
        batch: the batch's number.
        position: the document's place in the corpus.
        stage: index of the stage, -1 while it was being read.
        seconds: how long ago it was begun.
        limit_seconds: how long it may take.
        worker: ``host-pid`` of the process.
        stack: the process's stacks, where its watchdog wrote them.
    """

    batch: int
    position: int
    stage: int
    seconds: float
    limit_seconds: float
    worker: str
    stack: str

    @property
    def overran(self) -> bool:
        """It was ended by its watchdog, beyond its time limit."""
        return bool(self.stack) and self.seconds >= self.limit_seconds


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
        self._ask_path = path.with_suffix(".ask")
        self._slots = threading.local()
        self._taken = 0
        self._lock = threading.Lock()
        self._active: dict[int, tuple[float, float]] = {}  # slot -> started, limit
        self._stopped = threading.Event()
        if limit_seconds:
            self._look()  # the timer is armed before the first document can take the interpreter's lock
            threading.Thread(target=self._watch, name="dataflow-watchdog", daemon=True).start()

    @contextlib.contextmanager
    def at(self, batch: int, position: int, stage: int, limit_seconds: float) -> Iterator[None]:
        """Note that this thread is at a document, for as long as the block runs."""
        self.note(batch, position, stage, limit_seconds)
        try:
            yield
        finally:
            self.clear()

    def note(
        self, batch: int, position: int, stage: int, limit_seconds: float, began: float | None = None
    ) -> None:
        """Note that this thread is at a document's stage, since now or since a time by the monotonic clock."""
        slot = self._slot()
        if began is None:
            began = time.monotonic()
        _RECORD.pack_into(self._map, slot * _SLOT_BYTES, batch, position, began, limit_seconds, stage)
        self._active[slot] = (began, limit_seconds)

    def clear(self) -> None:
        """Note that this thread is at no document. Of which batch the last one was, stays."""
        slot = self._slot()
        self._active.pop(slot, None)
        _REST.pack_into(self._map, slot * _SLOT_BYTES + _REST_AT, 0, 0.0, 0.0, 0)

    def end(self, batch: int) -> None:
        """End the process, if it may be, where stages have left it no file descriptor: the next one has them all."""
        if self._longest:
            self.note(batch, NOBODY, _READ_STAGE, math.inf)
            os._exit(OUT_OF_FILES)

    def close(self) -> None:
        """Stop the watchdog."""
        self._stopped.set()

    def _slot(self) -> int:
        try:
            slot: int = self._slots.number
        except AttributeError:
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
            self._write_stacks()
            end_own_group()
        # Armed even when nothing runs: the next document may hold the interpreter's lock from the first.
        if self._ask_path.exists():
            self._ask_path.unlink(missing_ok=True)
            self._write_stacks()
        faulthandler.dump_traceback_later(self._longest + _GRACE_SECONDS, exit=True, file=self._stack)
        return min([0.5, *(max(0.01, seconds) for seconds in left)])

    def _write_stacks(self) -> None:
        self._stack.seek(0)
        self._stack.truncate()
        faulthandler.dump_traceback(file=self._stack, all_threads=True)
        self._stack.flush()


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


def has_no_files() -> bool:
    """Whether this process can't open another file: not every error of want of descriptors says so."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return error.errno == errno.EMFILE
    return False


def drop_guard(folder: str | None) -> None:
    """Close this process's guard for a folder, if there is one."""
    with _guards_lock:
        guard = _guards.pop(folder or "", None)
    if guard:
        guard.close()


def was_at(folder: str, batch: int) -> bool:
    """Whether the last document that some thread was at, or is at, is of this batch."""
    for path in Path(folder).glob("*.ledger"):
        with contextlib.suppress(FileNotFoundError):  # the run is ending
            data = path.read_bytes()
            if any(_RECORD.unpack_from(data, at)[0] == batch for at in _slots_of(data)):
                return True
    return False


def _slots_of(data: bytes) -> range:
    return range(0, len(data) - _SLOT_BYTES + 1, _SLOT_BYTES)


def read_blame(folder: str, batch: int) -> list[Note]:
    """The documents of a batch that some process was at when it died. Empty where nothing is known."""
    return [note for note in read_running(folder) if note.batch == batch]


def read_running(folder: str, worker: str = "*") -> list[Note]:
    """What every ledger of the folder says, or that of one ``host-pid``, of processes that live or died."""
    found = []
    now = time.monotonic()
    for path in Path(folder).glob(f"{worker}.ledger"):
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            continue  # the run is ending
        for at in _slots_of(data):
            batch, position, started, limit, stage = _RECORD.unpack_from(data, at)
            if started:
                found.append(Note(batch, position, stage, now - started, limit, path.stem, _stack_of(path)))
    return found


def ask_for_stacks(folder: str) -> None:
    """Ask every process that has a ledger in the folder to write its threads' stacks beside it."""
    for path in Path(folder).glob("*.ledger"):
        path.with_suffix(".ask").touch()


def innermost_line(stack: str) -> str:
    """``file:line in function`` of the innermost frame of the thread that is at a document; or nothing.

    Where none is seen to be, of the first one that doesn't only watch.
    """
    threads = [re.findall(r'File "([^"]+)", line (\d+) in (\S+)', one) for one in re.split(r"\n\s*\n", stack)]
    threads.sort(key=lambda frames: not any(Path(file).parts[-3:] in _WORKING for file, _, _ in frames))
    for file, line, function in itertools.chain(*threads):
        if Path(file).parts[-3:] not in _WATCHERS and Path(file).name != "threading.py":
            return f"{Path(file).name}:{line} in {function}"
    return ""


def _stack_of(ledger: Path) -> str:
    try:
        return ledger.with_suffix(".stack").read_text(errors="replace")
    except OSError:
        return ""
