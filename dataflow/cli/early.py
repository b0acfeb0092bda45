"""Ctrl-C while the command is still being imported: nothing has begun, so it ends at once and without a traceback."""

from __future__ import annotations

import os
import signal
from types import FrameType

__all__ = ["INTERRUPTED", "begin", "end"]

INTERRUPTED = 130  # exit status


def begin() -> None:
    """Answer it from now on; not where it is ignored, or somebody else answers it."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        _set(_leave)


def end() -> None:
    """Leave it to Python again."""
    if signal.getsignal(signal.SIGINT) is _leave:
        _set(signal.default_int_handler)


def _set(handler: signal._HANDLER) -> None:
    try:
        signal.signal(signal.SIGINT, handler)
    except ValueError:
        return  # in a thread, to which it never comes


def _leave(_signal: int, _frame: FrameType | None) -> None:
    # No exception: it would be raised in an import, and whoever imports may take it for a missing module.
    try:
        os.write(2, b"dataflow: stopped.\n")
    finally:
        os._exit(INTERRUPTED)
