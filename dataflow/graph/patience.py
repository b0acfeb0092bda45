"""Trying again what a network or a disk refused for a moment."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from typing import TypeVar

__all__ = ["is_passing", "patiently"]

T = TypeVar("T")

_PAUSES_SECONDS = (0.05, 0.25)
_PASSING = frozenset(
    getattr(errno, name)
    for name in (
        "EAGAIN", "EBUSY", "ECONNABORTED", "ECONNREFUSED", "ECONNRESET", "EHOSTUNREACH", "EINTR", "EIO", "ENETDOWN",
        "ENETRESET", "ENETUNREACH", "ENOTCONN", "EPIPE", "EREMOTEIO", "ESTALE", "ETIMEDOUT",
    )
    if hasattr(errno, name)
)  # fmt: skip
_BUSY_STATUSES = (429, 500, 502, 503, 504)


def patiently(action: Callable[[], T], pause: Callable[[float], None] = time.sleep) -> T:
    """Do something, and twice more where the error may have passed by then.

    Args:
        action: reads or writes, and can be done again.
        pause: waits for so many seconds.

    Raises:
        Exception: the last attempt's, or at once one that stays.
    """
    for seconds in _PAUSES_SECONDS:
        try:
            return action()
        except Exception as error:
            if not is_passing(error):
                raise
        pause(seconds)
    return action()


def is_passing(error: BaseException) -> bool:
    """Whether the same may succeed a moment later: not for what is missing, forbidden or full."""
    if getattr(error, "status", None) in _BUSY_STATUSES:  # an HTTP server's answer, as aiohttp raises it
        return True
    if isinstance(error, ConnectionError | TimeoutError):
        return True
    return isinstance(error, OSError) and error.errno in _PASSING
