"""Which worker a batch is given to: the one that is predicted to be free for it first.

Dask knows no more of a batch than that it is one. It gives each worker as many, and where one holds twice the work of
the other, the next may wait behind that. What batches are predicted to take is known here.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

__all__ = ["Placing"]

_UNKNOWN_SECONDS = 0.1

_Which = tuple[str, int]
"""A run, and the number of one of its batches."""


@dataclass
class _Line:
    """What a worker has before it: batches with their predicted seconds, and since when it is at the first."""

    waiting: dict[_Which, float] = field(default_factory=dict)
    since: float = 0.0

    def free_in(self, now: float) -> float:
        """Seconds until all is done."""
        if not self.waiting:
            return 0.0
        # What takes longer than was predicted is expected to take as long again.
        first = next(iter(self.waiting.values()))
        return sum(self.waiting.values()) - first + abs(first - (now - self.since))


class Placing:
    """Keeps account of the batches that are with each worker of a cluster, whichever run they are of. Safe among
    threads.

    Args:
        workers: threads by address. Where one has several, Dask does better, and no batch is placed.
        clock: seconds.
    """

    def __init__(
        self, workers: Mapping[str, int] | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._lines: dict[str, _Line] = {}
        self._places: dict[_Which, str] = {}
        self._mean_seconds = 0.0
        self.know(workers or {})

    def know(self, workers: Mapping[str, int]) -> None:
        """See which workers there are: one that died has another address when it is back."""
        alone = len(workers) > 1 and set(workers.values()) == {1}
        with self._lock:
            self._lines = {one: self._lines.get(one) or _Line() for one in workers} if alone else {}

    def place(self, run: str, number: int, seconds: float) -> str | None:
        """The address of the worker that is to have a batch; ``None`` for any.

        Args:
            run: its run.
            number: its number there.
            seconds: what it is predicted to take; 0 where nobody knows.
        """
        with self._lock:
            if not self._lines:
                return None
            now = self._clock()
            place = min(self._lines, key=lambda one: self._lines[one].free_in(now))
            line = self._lines[place]
            if not line.waiting:
                line.since = now
            line.waiting[run, number] = seconds or self._mean_seconds or _UNKNOWN_SECONDS
            self._places[run, number] = place
            return place

    def free_in(self) -> list[float]:
        """For each worker, the predicted seconds until it is through with what it has."""
        with self._lock:
            now = self._clock()
            return [line.free_in(now) for line in self._lines.values()]

    def ended(self, run: str, number: int, seconds: float = 0.0) -> None:
        """A batch is done, after so many seconds, or lost."""
        with self._lock:
            if seconds:
                self._mean_seconds += (0.2 if self._mean_seconds else 1.0) * (seconds - self._mean_seconds)
            self._drop((run, number))

    def expect(self, run: str, number: int, seconds: float) -> None:
        """A batch that was placed is predicted anew: it takes so many seconds, from its begin to its end."""
        with self._lock:
            line = self._lines.get(self._places.get((run, number), ""))
            if line is not None and (run, number) in line.waiting:
                line.waiting[run, number] = seconds

    def forget(self, run: str, numbers: Iterable[int]) -> None:
        """Batches won't end: their run is given up."""
        with self._lock:
            for number in numbers:
                self._drop((run, number))

    def _drop(self, which: _Which) -> None:
        line = self._lines.get(self._places.pop(which, ""))
        if line is not None and line.waiting.pop(which, None) is not None:
            line.since = self._clock()
