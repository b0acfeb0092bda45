"""A circuit breaker: what keeps failing is left alone for a while, longer each time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

__all__ = ["Breaker"]


_SUCCESSES = 10  # that make up for a failure


class Breaker:
    """Opens after some failures in a row, or among few successes: what fails one time in ten costs as many time-outs.

    After a pause it lets one try through, and closes when that succeeds: on trial, so that the next failure opens it
    again, and for twice as long, until successes have made up for what failed before.

    Every ``True`` from :meth:`allow` must be followed by :meth:`success` or :meth:`failure`.

    Args:
        failures: to open; each success makes up for a tenth of one.
        pause_seconds: the first pause; each failed try doubles it.
        max_pause_seconds: no pause is longer.
        clock: a monotonic clock in seconds.
    """

    def __init__(
        self,
        failures: int = 3,
        pause_seconds: float = 0.5,
        max_pause_seconds: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit = failures * _SUCCESSES
        self._first_pause = pause_seconds
        self._max_pause = max_pause_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0  # less what has been made up for: in tenths of one
        self._pause = pause_seconds
        self._reopens_at = 0.0
        self._trying = False
        self.opened = 0
        """How many times it has opened."""

    @property
    def is_open(self) -> bool:
        """Whether it is open or on trial."""
        return self._failures >= self._limit

    def allow(self) -> bool:
        """Whether to go ahead. While it is open, one caller at a time is let through after the pause."""
        with self._lock:
            if not self.is_open:
                return True
            if self._trying or self._clock() < self._reopens_at:
                return False
            self._trying = True
            return True

    def success(self) -> bool:
        """What was allowed went well: closed again. Whether it was open until now."""
        with self._lock:
            was_open = self.is_open
            self._failures = self._limit - _SUCCESSES if was_open else max(0, self._failures - 1)
            if not self._failures:
                self._pause = self._first_pause
            self._trying = False
            return was_open

    def failure(self) -> bool:
        """What was allowed failed. Whether that opened it just now."""
        with self._lock:
            was_open = self.is_open
            self._failures += _SUCCESSES
            if not self.is_open:
                return False
            if was_open and not self._trying:
                return False  # a straggler of before: its failure is no news
            self._reopens_at = self._clock() + self._pause
            self._pause = min(self._pause * 2, self._max_pause)
            self._trying = False
            self.opened += not was_open
            return not was_open
