"""A process that runs batches for this one, so that a document can end nothing but that.

Where nobody starts a worker again, a worker must not be ended: one without a nanny, or the driver itself when the whole
job is smaller than starting a cluster. There each thread that runs batches keeps a child process, which is a fork of
the template (:mod:`dataflow.graph.forks`) and told the plan once. Its own watchdog holds the documents' time limits,
this process the limit on memory, and the time limits too where the watchdog can't. When it dies, the task raises
:class:`ChildDied`, the batch counts as lost, and the next one gets a new child.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import gc
import os
import pickle
import select
import signal
import socket
import struct
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import IO

from dataflow.errors import WorkloadError, one_line
from dataflow.graph.command import look_in, looked_in
from dataflow.graph.forks import FORK, LOOK, NUMBER, WRITER, Fork, child_process, keep_template
from dataflow.graph.groups import end_group, end_own_group, wake_without_parent
from dataflow.graph.guard import guard_of
from dataflow.graph.nodes import run_nodes
from dataflow.graph.overdue import Overdue
from dataflow.graph.plan import Plan, plan_of, register_plan
from dataflow.graph.samecode import held_against_code
from dataflow.graph.scratch import scratch_folder
from dataflow.graph.shipping import packed_plan, unpacked_plan
from dataflow.graph.table import load_writer
from dataflow.graph.work import BatchResult

__all__ = [
    "ChildDied",
    "Children",
    "begin_children",
    "children_of",
    "close_children",
    "limit_children",
    "run_in_child",
]

_LENGTH = _NUMBER = struct.Struct(">Q")
_LOOK_SECONDS = 0.1
_ENDING_SECONDS = 1.0
_SHARE_OF_LIMIT = 0.95  # as a nanny has it
_MEND = "Move what can't be sent to a module that other processes can import."


class ChildDied(Exception):
    """The process that ran a batch has ended before the batch did."""


def run_in_child(run: str, packed: bytes) -> BatchResult:
    """Run a packed batch's nodes in a child of this process.

    Raises:
        ChildDied: the child ended, or had to be ended.
        OSError: the output can't be written.
    """
    if not plan_of(run).in_child:
        # On a worker that may be ended: the run has gone over from children to a cluster.
        return run_nodes(run, packed)
    with children_of(run).one() as child:
        return child.run(packed)


class Children:
    """The child processes of one run in this process; each is used by one thread at a time.

    Args:
        plan: the run's.
        memory_bytes: what each may hold resident; ``None`` for no limit.
    """

    def __init__(self, plan: Plan, memory_bytes: int | None = None) -> None:
        self._folders = contextlib.ExitStack()
        if plan.ledger is None or not os.path.isdir(plan.ledger):  # the driver is on another machine
            plan = dataclasses.replace(plan, ledger=self._folders.enter_context(scratch_folder("ledger")))
        assert plan.ledger is not None
        self._folders.enter_context(keep_template())
        self._plan, self._memory_bytes, self._ledger = plan, memory_bytes, plan.ledger
        self._idle: list[_Child] = []
        self._all: set[_Child] = set()
        self._closed = False
        self._lock = threading.Lock()

    @functools.cached_property
    def _packed(self) -> bytes:
        return packed_plan(self._plan)

    def begin(self, count: int) -> None:
        """Start so many, and pack the plan while they import what they need.

        Raises:
            ChildDied: one has ended.
            WorkloadError: the plan can't be sent to them.
        """
        with self._lock:
            self._idle += [self._started() for _ in range(count)]
            for child in self._idle:
                child.tell(self._packed)

    @contextlib.contextmanager
    def one(self) -> Iterator[_Child]:
        """A child for the length of the block.

        Raises:
            ChildDied: all were ended.
            WorkloadError: the plan can't be sent to it.
        """
        with self._lock:
            child = self._idle.pop() if self._idle else self._started()
        try:
            child.tell(self._packed)
            yield child
        except BaseException:
            # Whatever state it is in, nobody else should meet it.
            child.close()
            with self._lock:
                self._all.discard(child)
            raise
        with self._lock:
            self._idle.append(child)

    def _started(self) -> _Child:
        if self._closed:
            raise ChildDied("its processes were ended")
        child = _Child(child_process(writes=self._plan.sink is not None), self._memory_bytes, self._ledger)
        self._all.add(child)
        return child

    def close(self) -> None:
        """End all of them, and start no more."""
        with self._lock:
            self._closed = True
            children, self._all, self._idle = list(self._all), set(), []
        for child in children:
            child.end()  # all at the same time: it takes some milliseconds until one has gone
        for child in children:
            child.close()
        self._folders.close()


class _Child:
    """One process and the pipes to it."""

    def __init__(self, process: Fork, memory_bytes: int | None, ledger: str) -> None:
        self._process, self._memory_bytes, self._ledger = process, memory_bytes, ledger
        self._asked, self._told = 0, False

    @functools.cached_property
    def _pid(self) -> int:
        number = self._process.pid
        if number is None:
            raise ChildDied("its process couldn't be started")
        return number

    @functools.cached_property
    def _overdue(self) -> Overdue:
        import psutil

        return Overdue(psutil.Process(self._pid), self._ledger)

    def tell(self, plan: bytes) -> None:
        """Say where modules are looked for, and send the plan, unless that was done."""
        if not self._told:
            self._told = True
            self._send(pickle.dumps(looked_in(), protocol=5))
            self._send(plan)

    def run(self, packed: bytes) -> BatchResult:
        self._asked += 1
        self._send(_NUMBER.pack(self._asked) + packed)
        self._wait()
        frame = self._receive()
        if frame[: _NUMBER.size] != _NUMBER.pack(self._asked):
            raise ChildDied("its process answered for another batch")
        kind, answer = pickle.loads(memoryview(frame)[_NUMBER.size :])
        if kind == "raised":
            raise answer
        result: BatchResult = answer
        return result

    def end(self) -> None:
        self._process.end()

    def close(self) -> None:
        self._process.close()

    def _send(self, frame: bytes) -> None:
        try:
            _write(self._process.stdin, frame)
        except (OSError, ValueError):
            raise self._died() from None

    def _receive(self) -> bytes:
        try:
            return _read(self._process.stdout)
        except (EOFError, ValueError):
            raise self._died() from None

    def _wait(self) -> None:
        """Until there is an answer, or the process holds more memory than it may, or takes longer."""
        while not select.select([self._process.stdout], [], [], _LOOK_SECONDS)[0]:
            why = ""
            if self._memory_bytes and _resident_bytes(self._pid) > self._memory_bytes:
                why = f"held more than {self._memory_bytes / 2**30:.1f} GiB"
            elif self._is_overdue():
                why = "was at a document for longer than its time limit, and didn't end itself"
            if why:
                end_group(self._pid)
                raise ChildDied(f"its process {why}")

    def _is_overdue(self) -> bool:
        import psutil

        try:
            return self._overdue.look()
        except psutil.NoSuchProcess:
            return False  # its pipe will say so

    def _died(self) -> ChildDied:
        if self._process.wait(_ENDING_SECONDS) is None:
            # It has closed its pipes, or is another program by now, and lives on.
            self._process.end()
            self._process.wait()
        self._process.end()
        self._process.errors.seek(0)
        lines = self._process.errors.read()[-4000:].decode(errors="replace").strip().splitlines()
        return ChildDied(f"its process ended: status {self._process.poll()} {lines[-1] if lines else ''}")


_children: dict[str, Children] = {}
_limits: dict[str, int | None] = {}
_lock = threading.Lock()


def children_of(run: str) -> Children:
    """The children of a run whose plan is known here."""
    with _lock:
        found = _children.get(run)
        if found is None:
            found = _children[run] = Children(plan_of(run), _limits.get(run))
        return found


def begin_children(run: str, count: int) -> None:
    """Start children of a run whose plan is known here: they import what they need before the first batch comes."""
    # What hinders it will hinder the first batch too, which says so.
    with contextlib.suppress(OSError, ChildDied):
        children_of(run).begin(count)


def limit_children(run: str, memory_bytes: float | None) -> None:
    """Say what a run's children in this process may hold, each; to be said before the first."""
    _limits[run] = int(_SHARE_OF_LIMIT * memory_bytes) if memory_bytes else None


def close_children(run: str) -> None:
    """End a run's children in this process."""
    with _lock:
        found, _ = _children.pop(run, None), _limits.pop(run, None)
    if found:
        found.close()


def _resident_bytes(pid: int) -> int:
    import psutil

    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0  # it has ended: the pipe says so in a moment


def _write(stream: IO[bytes], frame: bytes) -> None:
    stream.write(_LENGTH.pack(len(frame)))
    stream.write(frame)
    stream.flush()


def _read(stream: IO[bytes]) -> bytes:
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        raise EOFError
    (length,) = _LENGTH.unpack(head)
    frame = stream.read(length)
    if len(frame) < length:
        raise EOFError
    return frame


def _serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    """What a child does: take the plan, then batches, until the process that needs it closes the pipe."""
    with contextlib.suppress(EOFError):
        look_in(*pickle.loads(_read(requests)))
        answer = _load(_read(requests))
        while True:
            request = _read(requests)
            number, packed = request[: _NUMBER.size], request[_NUMBER.size :]
            _write(answers, number + answer(packed))


def _load(sent: bytes) -> Callable[[bytes], bytes]:
    """Take the plan; what answers batches then."""
    gc.disable()  # nothing that is imported is garbage, and each collection would look at all of it
    try:
        plan = held_against_code(dataclasses.replace(unpacked_plan(sent, own_process=True), in_child=False))
    except Exception as error:  # no document is to blame
        refused = pickle.dumps(("raised", _refusal(error)), protocol=5)
        return lambda packed: refused
    if plan.sink is not None:
        load_writer()
    gc.freeze()
    gc.enable()
    register_plan(plan)
    guard_of(plan.ledger, limit_seconds=plan.longest_seconds)
    return partial(_answer, plan.run)


def _refusal(error: Exception) -> WorkloadError:
    if isinstance(error, WorkloadError):
        return error
    why = f"{type(error).__name__}: {one_line(error).rstrip('.')}"
    return WorkloadError(f"processes can't load the pipeline: {why}. {_MEND}")


def _answer(run: str, packed: bytes) -> bytes:
    try:
        return pickle.dumps(("done", run_nodes(run, packed)), protocol=5)
    except Exception as error:
        try:
            return pickle.dumps(("raised", error), protocol=5)
        except Exception:
            return pickle.dumps(("raised", RuntimeError(f"{type(error).__name__}: {error}")), protocol=5)


class _Driver:
    """The process that needs this one, which a template's forks are no children of."""

    def __init__(self, number: int) -> None:
        """Its number was told: if it died while this process was importing, it isn't our parent any more."""
        self._parent = os.getppid()
        self._end: list[int] = []
        with contextlib.suppress(AttributeError, OSError):  # not every system has it
            self._end.append(os.pidfd_open(number))
        self._gone = os.getppid() != number  # as it was when the descriptor was opened

    def asks(self, control: socket.socket) -> bool:
        """Wait until there is something to read; false if it has gone instead."""
        while not self._has_gone():
            if control.fileno() in select.select([control.fileno(), *self._end], [], [], self._patience)[0]:
                return True
        return False

    def watch(self) -> None:
        """In a fork: end when it has gone. It closes its pipe then, which a process that is busy doesn't look at."""
        self._parent = os.getppid()
        threading.Thread(target=self._end_with_it, daemon=True).start()

    def _end_with_it(self) -> None:
        with contextlib.suppress(OSError):  # a stage may have closed whatever was open
            while not self._has_gone():
                select.select(self._end, [], [], self._patience)
        while not self._gone and os.getppid() == self._parent:
            time.sleep(_LOOK_SECONDS)
        end_own_group()

    @property
    def _patience(self) -> float | None:
        return None if self._end else _LOOK_SECONDS

    def _has_gone(self) -> bool:
        if not self._gone:
            self._gone = (
                bool(select.select(self._end, [], [], 0)[0]) if self._end else os.getppid() != self._parent
            )
        return self._gone


def _serve_as_template(driver: _Driver, control: socket.socket) -> tuple[IO[bytes], IO[bytes]] | None:
    """Fork whenever that is asked for. Returns in each fork, what it reads and writes; and once nobody asks any more.

    Everything is imported, and there is one thread.
    """
    gc.freeze()  # or the forks' collections would look at all of it, and by that copy it
    while driver.asks(control):
        request, files, _, _ = socket.recv_fds(control, 1, 3)
        if not request:
            break
        if request == WRITER:
            load_writer()
            gc.freeze()
        elif request == LOOK:
            control.sendall(NUMBER.pack(_look_at(NUMBER.unpack(_exactly(control, NUMBER.size))[0])))
        elif request == FORK:
            number = _forked()
            if not number:
                return _as_fork(control, *files)
            for file in files:
                os.close(file)
            control.sendall(NUMBER.pack(number))
    return None


def _exactly(control: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        some = control.recv(size - len(data))
        if not some:
            raise EOFError
        data += some
    return data


def _look_at(number: int) -> int:
    try:
        ended, status = os.waitpid(number, os.WNOHANG)
    except ChildProcessError:
        return signal.SIGKILL  # nobody knows
    return status if ended else -1


def _forked() -> int:
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", DeprecationWarning
        )  # threads of NumPy and Arrow, which see to it themselves
        return os.fork()


def _as_fork(control: socket.socket, to_read: int, to_write: int, errors: int) -> tuple[IO[bytes], IO[bytes]]:
    """Become a process of its own, in a session of its own; whatever a stage prints must not get between the frames."""
    os.setsid()
    wake_without_parent()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for standard in (1, 2):
        os.dup2(errors, standard)
    os.close(errors)
    control.close()
    for pipe in (to_read, to_write):
        os.set_inheritable(pipe, False)  # a program that a stage starts holds no end of it
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()  # or all forks would have the same chance; Python's own sees to it
    return os.fdopen(to_read, "rb"), os.fdopen(to_write, "wb")


def _main() -> None:
    gc.disable()  # nothing that is imported is garbage, and each collection would look at all of it
    wake_without_parent()  # or one that was stopped would never see that
    # A terminal's never comes here, so whatever else would raise KeyboardInterrupt is a document's doing.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    driver = _Driver(int(sys.argv[1]))
    control = socket.socket(fileno=os.dup(0))
    with contextlib.suppress(EOFError, ConnectionError):
        pipes = _serve_as_template(driver, control)
        if pipes:
            driver.watch()
            _serve(*pipes)


if __name__ == "__main__":
    _main()
