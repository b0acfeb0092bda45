"""Runs a server for as long as its parent lives, and removes its folder afterwards. A program of its own.

    python -I -S watchdog.py PARENT_PID FOLDER COMMAND...

It is started by exec, so nothing here runs in a forked copy of a threaded parent. The parent is watched by a
process descriptor, which tells of the death of the process (a parent-death signal would tell of the death of
the *thread* that forked), and by standard input, whose end means "stop". The server is bound to this process
by a parent-death signal, so that it is gone even if this process is killed.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys
import time

_PR_SET_PDEATHSIG = 1
_STOP_SECONDS = 2.0
_wakened = -1


def main(arguments: list[str]) -> int:
    """Start the server, say its process id on standard output, wait, stop it, clean up."""
    parent, folder, command = int(arguments[0]), arguments[1], arguments[2:]
    try:
        server = _start(command, folder)
        print(server.pid, flush=True)
        _wait(parent, server)
        if server.poll() is not None:
            _tell_why(folder)
        _stop(server)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def _start(command: list[str], folder: str) -> subprocess.Popen[bytes]:
    with open(os.path.join(folder, "server.log"), "wb") as log:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder, preexec_fn=_die_with_parent
        )


def _die_with_parent() -> None:
    # This process has one thread, so it is safe to run code between fork and exec, and the thread lives on.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _tell_why(folder: str) -> None:
    # The log goes with the folder. Nobody may be there to read what is said.
    with contextlib.suppress(OSError), open(os.path.join(folder, "server.log"), "rb") as log:
        os.write(1, log.read()[-2000:])


def _wait(parent: int, server: subprocess.Popen[bytes]) -> None:
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
        if every is not None and server.poll() is not None:
            return


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    end = time.monotonic() + _STOP_SECONDS
    while time.monotonic() < end and server.poll() is None:
        time.sleep(0.01)
    if server.poll() is None:
        server.kill()
    server.wait()


if __name__ == "__main__":
    # Ctrl-C goes to the whole terminal; the parent decides when the server stops.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A signal makes a descriptor readable and interrupts nothing: an exception could hit the cleaning up.
    _wakened, _waker = os.pipe()
    os.set_blocking(_waker, False)
    signal.set_wakeup_fd(_waker)
    signal.signal(signal.SIGTERM, lambda *_: None)
    sys.exit(main(sys.argv[1:]))
