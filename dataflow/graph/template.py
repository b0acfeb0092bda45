"""The process that processes for batches are forks of, and what such a fork does: a program of its own.

It imports all that is needed, and then does nothing but fork, so that there is one thread; see
:mod:`dataflow.graph.forks` for who asks it to. A fork takes a plan, and then batches, from the process that needs it.
"""

from __future__ import annotations

import contextlib
import dataclasses
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
from collections.abc import Callable
from functools import partial
from typing import IO

from dataflow.errors import WorkloadError, one_line
from dataflow.graph.command import look_in
from dataflow.graph.forks import FORK, LOOK, NUMBER, STORES, WRITER
from dataflow.graph.groups import end_own_group, wake_without_parent
from dataflow.graph.guard import guard_of
from dataflow.graph.nodes import run_nodes
from dataflow.graph.plan import register_plan
from dataflow.graph.samecode import held_against_code
from dataflow.graph.shipping import unpacked_plan
from dataflow.graph.table import load_writer
from dataflow.memo.spec import load_stores

__all__ = ["BATCH_NUMBER", "read_frame", "write_frame"]

BATCH_NUMBER = _LENGTH = struct.Struct(">Q")
_LOOK_SECONDS = 0.1
_LOADS = {WRITER: load_writer, STORES: load_stores}
_MEND = "Move what can't be sent to a module that other processes can import."


def write_frame(stream: IO[bytes], frame: bytes) -> None:
    """Send bytes as one piece."""
    stream.write(_LENGTH.pack(len(frame)))
    stream.write(frame)
    stream.flush()


def read_frame(stream: IO[bytes]) -> bytes:
    """Receive such a piece. Raises EOFError where the other side has gone."""
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
        look_in(*pickle.loads(read_frame(requests)))
        answer = _load(read_frame(requests))
        while True:
            request = read_frame(requests)
            number, packed = request[: BATCH_NUMBER.size], request[BATCH_NUMBER.size :]
            write_frame(answers, number + answer(packed))


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
        if request in _LOADS:
            _LOADS[request]()
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
        # Of threads: they are NumPy's and Arrow's, which see to forks themselves.
        warnings.simplefilter("ignore", DeprecationWarning)
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
