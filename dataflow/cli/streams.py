"""The standard streams of the command: where they are closed, full or read by nobody, it ends in order or goes on."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import time
from typing import Any, NoReturn

from dataflow.errors import OutputError, one_line

__all__ = ["STREAMS", "open_files", "open_streams"]

STREAMS = (0, 1, 2)
_ERROR = 2
_OPEN = "/proc/self/fd"
_BROKEN_PIPE = 141  # exit status, as of a command that the signal ends


def open_streams() -> None:
    """Where the command was started with a standard stream closed, open it on nothing; and guard what is written.

    Whatever is opened next would take a closed one's number, and get what is written to it.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) in STREAMS:
        os.set_inheritable(number, True)
    os.close(number)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # it was closed
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
        elif stream is getattr(
            sys, f"__{name}__"
        ):  # else a program has put something of its own in its place
            setattr(sys, name, _guarded(stream))


def open_files() -> dict[str, str]:
    """What this process has open, by number. Each time different where the system doesn't say."""
    found = {}
    try:
        for number in os.listdir(_OPEN):
            with contextlib.suppress(OSError):  # the list itself
                found[number] = os.readlink(f"{_OPEN}/{number}")
    except OSError:
        return {"": str(time.monotonic_ns())}
    return found


def _guarded(stream: Any) -> io.TextIOWrapper:
    """The same stream, buffered as Python has it, on a file that says in its own way that it can't be written."""
    file = _Written(stream.fileno(), "wb", closefd=False)
    return io.TextIOWrapper(
        file if stream.write_through else io.BufferedWriter(file),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


class _Written(io.FileIO):
    """A standard stream."""

    def write(self, data: Any) -> int:
        """Write some of it.

        Raises:
            OutputError: the standard output can't be written.
            SystemExit: nobody reads it any more.
        """
        try:
            # Click writes nothing to find out what kind of stream this is, and drops what that raises.
            return super().write(data) if data else 0
        except OSError as error:
            _lead_nowhere(self.fileno())  # or Python would say as it ends that what is left can't be written
            if self.fileno() != _ERROR:
                _give_up(error)
        return len(data)  # the work goes on though nobody can be told of it


def _give_up(error: OSError) -> NoReturn:
    if isinstance(error, BrokenPipeError):
        raise SystemExit(_BROKEN_PIPE) from None
    reason = one_line(error.strerror or error)
    raise OutputError(f"the standard output can't be written: {reason}. Lead it elsewhere.") from error


def _lead_nowhere(number: int) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)
