"""Runs a server for as long as its parent lives, and removes its folder afterwards. A program of its own.

    python -I -S watchdog.py PARENT_PID FOLDER COMMAND...

It is started by exec, so nothing here runs in a forked copy of a threaded parent. The parent is watched by a
process descriptor, which tells of the death of the process (a parent-death signal would tell of the death of
the *thread* that forked), and by standard input, whose end means "stop". The server is bound to this process
by a parent-death signal, so that it is gone even if this process is killed.

Of the standard library it imports what it can't do without: a run waits for it to start.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import sys

_PR_SET_PDEATHSIG = 1
_wakened = -1


class _Server:
    """The server's process, a child of this one."""

    def __init__(self, command: list[str], folder: str) -> None:
        """Start it. Raises OSError if the command can't be run."""
        self._ended = False
        failed, failure = os.pipe()  # its second end is closed by exec, or says that there was none
        self.pid = os.fork()
        if not self.pid:
            _become(command, folder, failure)
        os.close(failure)
        why = os.read(failed, 1)
        os.close(failed)
        if why:
            self.wait()
            raise OSError(f"{command[0]} can't be run")

    def has_ended(self) -> bool:
        if not self._ended:
            self._ended = os.waitpid(self.pid, os.WNOHANG)[0] == self.pid
        return self._ended

    def kill(self) -> None:
        """It holds nothing that it would save; asked to end, it would see so after a tenth of a second."""
        if not self.has_ended():
            os.kill(self.pid, signal.SIGKILL)
            self.wait()

    def wait(self) -> None:
        if not self._ended:
            os.waitpid(self.pid, 0)
            self._ended = True


def main(arguments: list[str]) -> int:
    """Start the server, say its process id on standard output, wait, stop it, clean up."""
    parent, folder, command = int(arguments[0]), arguments[1], arguments[2:]
    try:
        server = _Server(command, folder)
        os.write(1, b"%d\n" % server.pid)
        _wait(parent, server)
        if server.has_ended():
            _tell_why(folder)
        server.kill()
    finally:
        _remove(folder)
    return 0


def _become(command: list[str], folder: str, failure: int) -> None:
    # This process has one thread, so it is safe to run code between fork and exec, and the thread lives on.
    try:
        log = os.open(os.path.join(folder, "server.log"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.chdir(folder)
        os.execv(command[0], command)
    finally:
        os.write(failure, b"x")
        os._exit(127)


def _tell_why(folder: str) -> None:
    # The log goes with the folder. Nobody may be there to read what is said.
    with contextlib.suppress(OSError), open(os.path.join(folder, "server.log"), "rb") as log:
        os.write(1, log.read()[-2000:])


def _wait(parent: int, server: _Server) -> None:
    """Until the parent or the server is gone, standard input ends, or a signal says so."""
    watched = [0, _wakened]
    for pid in (parent, server.pid):
        # Without such descriptors, or with the process gone already, the look at getppid() below tells.
        with contextlib.suppress(AttributeError, OSError):
            watched.append(os.pidfd_open(pid))
    every = None if len(watched) == 4 else 0.2
    while os.getppid() == parent:
        if select.select(watched, [], [], every)[0]:
            return
        if every is not None and server.has_ended():
            return


def _remove(folder: str) -> None:
    with contextlib.suppress(OSError):
        for where, _, names in os.walk(folder, topdown=False):
            for name in names:
                with contextlib.suppress(OSError):
                    os.unlink(os.path.join(where, name))
            os.rmdir(where)


if __name__ == "__main__":
    # Ctrl-C goes to the whole terminal; the parent decides when the server stops.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A signal makes a descriptor readable and interrupts nothing: an exception could hit the cleaning up.
    _wakened, _waker = os.pipe()
    os.set_blocking(_waker, False)
    signal.set_wakeup_fd(_waker)
    signal.signal(signal.SIGTERM, lambda *_: None)
    sys.exit(main(sys.argv[1:]))
