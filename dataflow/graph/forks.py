"""Processes for batches: forks of one that has imported what they need, the template.

A child that is started by command imports for 0.25 s what every child does, the next one as much again beside it, and
one that takes the place of a dead one once more. So one process imports (:mod:`dataflow.graph.template`), and does
nothing else than to fork. It has one thread of Python's (and those of NumPy and Arrow, which see to forks themselves).
Its forks outlive it: who finds it dead starts another one.

A process inherits what its parent is at that moment. The template stands for this process, so it is used for as long
as a new one would be no other. The command starts it first of all, before it knows whether one is needed, and while
another core idles.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from typing import IO

from dataflow.graph.command import module_command, search_path
from dataflow.graph.groups import end_group, end_left_by

__all__ = [
    "FORK",
    "LOOK",
    "NUMBER",
    "STORES",
    "WRITER",
    "Fork",
    "child_process",
    "foretell",
    "keep_template",
    "leave_template",
    "spare",
]

# What is asked of a template: each is one byte, and is answered by a number where it says so.
FORK = b"F"  # with three descriptors: where to read, to write and to print; answered by the process's number
LOOK = b"L"  # with a number; answered by how that process has ended, or by -1 while it lives
WRITER = b"W"  # to import what writing a part needs
STORES = b"S"  # to import what a memo on a server needs
NUMBER = struct.Struct(">q")

_ALIVE = -1
_UNKNOWN = -signal.SIGKILL  # how a process has ended, if nobody is left to ask
_ANSWER_SECONDS = 300.0  # it may be importing, from a slow disk and beside many others
_LOOK_SECONDS = 1.0
_PAUSE_SECONDS = 0.002
_SAID = "Umask: SigBlk: SigIgn: Uid: Gid: Groups: Cap NoNewPrivs: Seccomp THP_enabled:"
_MASKS = tuple(_SAID.split())
_LIMITS = [getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")]


class _Template:
    """The process that forks, seen from this one."""

    def __init__(self) -> None:
        """Start it. Raises OSError if it can't be."""
        self.inherited = _inheritance()
        ours, theirs = socket.socketpair()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the process
        try:
            self._process = subprocess.Popen(
                module_command("dataflow.graph.template", str(os.getpid())),
                stdin=theirs.fileno(),
                stdout=self._errors,
                stderr=self._errors,
                env={**os.environ, **search_path()},
                start_new_session=True,  # Ctrl-C is the parent's to answer
            )
        except BaseException:
            ours.close()
            self._errors.close()
            raise
        finally:
            theirs.close()
        ours.settimeout(_LOOK_SECONDS)
        self._socket = ours
        self._lock = threading.Lock()
        self._owed: list[Fork] = []  # those whose numbers it hasn't said yet, in order
        self._loaded = b""

    @property
    def serves(self) -> bool:
        """Whether it is there to fork."""
        return self._process.poll() is None

    def load(self, what: bytes) -> None:
        """Have it import something, unless it has been told."""
        with self._lock, contextlib.suppress(OSError):
            if what not in self._loaded:
                self._loaded += what
                self._socket.sendall(what)

    def fork(self) -> Fork:
        """Ask for a process. Its number is known once it is asked for: the template may be importing."""
        errors = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the process
        to_read, stdin = os.pipe()
        stdout, to_write = os.pipe()
        made = Fork(self, os.fdopen(stdin, "wb"), os.fdopen(stdout, "rb"), errors)
        try:
            with self._lock, contextlib.suppress(OSError):  # else its pipes say that it has ended
                socket.send_fds(self._socket, [FORK], [to_read, to_write, errors.fileno()])
                self._owed.append(made)
        finally:
            os.close(to_read)
            os.close(to_write)
        return made

    def number_of(self, fork: Fork) -> int | None:
        """The number of a process that was asked for; ``None`` if it was never made."""
        with self._lock:
            while fork in self._owed:
                self._take_number()
        return fork.number

    def has_said(self, fork: Fork) -> bool:
        """Whether it has said the number of a process that was asked for; nobody waits for it."""
        if not self._lock.acquire(blocking=False):
            return fork.number is not None  # somebody else waits for what it says
        try:
            while fork in self._owed and self._says_more():
                self._take_number()
        finally:
            self._lock.release()
        return fork.number is not None

    def _says_more(self) -> bool:
        try:
            return len(self._socket.recv(NUMBER.size, socket.MSG_PEEK | socket.MSG_DONTWAIT)) == NUMBER.size
        except OSError:
            return False

    def status_of(self, number: int) -> int | None:
        """How a process has ended, as :attr:`subprocess.Popen.returncode` has it; ``None`` while it lives."""
        with self._lock:
            while self._owed:
                self._take_number()
            with contextlib.suppress(OSError):
                self._socket.sendall(LOOK + NUMBER.pack(number))
            status = self._answer()
        if status is not None:
            return None if status == _ALIVE else os.waitstatus_to_exitcode(status)
        try:
            os.kill(number, 0)  # it has gone to another parent, which waits for it
        except OSError:
            return _UNKNOWN
        return None

    def close(self) -> None:
        """End it; what it has forked lives on."""
        self._socket.close()
        self._process.kill()
        self._process.wait()
        self._errors.close()

    def _take_number(self) -> None:
        """The number that it says next is that of the process that was asked for first."""
        number = self._answer()
        self._owed.pop(0).number = number

    def _answer(self) -> int | None:
        """The next number that it says; ``None`` if it has gone, or says none for long."""
        data, until = b"", time.monotonic() + _ANSWER_SECONDS
        while len(data) < NUMBER.size:
            with contextlib.suppress(OSError):
                self._process.send_signal(signal.SIGCONT)  # somebody may have stopped it
            try:
                some = self._socket.recv(NUMBER.size - len(data))
            except TimeoutError:
                if time.monotonic() < until:
                    continue
                some = b""
            except OSError:
                some = b""
            if not some:
                self._process.kill()
                return None
            data += some
        return int(NUMBER.unpack(data)[0])


class Fork:
    """A process that was asked of a template, with as much of :class:`subprocess.Popen` as is needed.

    Attributes:
        stdin: frames go there.
        stdout: frames come from there.
        errors: what it prints.
        number: what the system calls it, once the template has said so.
    """

    def __init__(self, template: _Template, stdin: IO[bytes], stdout: IO[bytes], errors: IO[bytes]) -> None:
        self._template, self.stdin, self.stdout, self.errors = template, stdin, stdout, errors
        self.number: int | None = None
        self._status: int | None = None

    @property
    def pid(self) -> int | None:
        """The process's number; ``None`` if there never was one."""
        return self.number or self._template.number_of(self)

    def poll(self) -> int | None:
        """How it has ended: its exit status, or the number of the signal below zero; ``None`` while it lives."""
        if self._status is None:
            number = self.pid
            self._status = _UNKNOWN if number is None else self._template.status_of(number)
        return self._status

    def wait(self, seconds: float = float("inf")) -> int | None:
        """Wait for its end, for so long; as :meth:`poll`."""
        until = time.monotonic() + seconds
        while self.poll() is None and time.monotonic() < until:
            time.sleep(_PAUSE_SECONDS)
        return self._status

    def end(self) -> None:
        """Kill it, and what it has started; it isn't waited for. One that isn't made yet will find its pipe closed."""
        if self._template.has_said(self) and self.number is not None:
            (end_group if self.poll() is None else end_left_by)(self.number)

    def close(self) -> None:
        """End it, and what it has started."""
        self.end()
        if self.number is not None:
            self.wait()
        for stream in (self.stdin, self.stdout, self.errors):
            with contextlib.suppress(OSError):
                stream.close()


_template: _Template | None = None
_earlier: list[_Template] = []  # whose forks may be in use
_keepers = 0
_lock = threading.Lock()
_spares = 0


def child_process(*loads: bytes) -> Fork:
    """A process that waits to be told where to look for modules, and a plan.

    Args:
        *loads: what it will need: :data:`WRITER`, :data:`STORES`.

    Raises:
        OSError: it can't be started.
    """
    with _lock:
        template = _current()
    for what in loads:
        template.load(what)
    return template.fork()


def foretell(what: bytes) -> None:
    """Have the template, if there is one, import what its forks will need."""
    with _lock:
        if _template is not None:
            _template.load(what)


def _current() -> _Template:
    global _template
    if _template is not None and not (_template.serves and _template.inherited == _inheritance()):
        _earlier.append(_template)
        _template = None
    if _template is None:
        _template = _Template()
    return _template


@contextlib.contextmanager
def keep_template() -> Iterator[None]:
    """Keep the template, if there is one, until the block ends: from then on nobody needs its forks."""
    _keep(1)
    try:
        yield
    finally:
        _keep(-1)


def _keep(more: int) -> None:
    global _keepers, _template
    with _lock:
        _keepers += more
        unused = [] if _keepers else [*_earlier, *([_template] if _template else [])]
        if unused:
            _earlier.clear()
            _template = None
    for one in unused:
        one.close()


@contextlib.contextmanager
def spare() -> Iterator[None]:
    """Start a template that may be needed, which is also asked to load the writer, and end it after the block."""
    global _spares
    _spares += 1
    _keep(1)
    try:
        # Whoever needs one will say why there is none; and not every system says what one inherits.
        with contextlib.suppress(OSError), _lock:
            _current().load(WRITER)
        yield
    finally:
        leave_template()


def leave_template() -> None:
    """End what :func:`spare` keeps, unless somebody else does: whoever may need it has said so by now."""
    global _spares
    if _spares:
        _spares -= 1
        _keep(-1)


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


def _forget() -> None:
    # A forked copy of this process has no template: it is the original's, as are the pipes to its forks.
    global _template, _keepers, _spares, _lock
    _template, _keepers, _spares, _lock = None, 0, 0, threading.Lock()
    _earlier.clear()


os.register_at_fork(after_in_child=_forget)
