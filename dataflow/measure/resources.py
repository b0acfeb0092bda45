"""CPU and memory of processes, sampled by a thread while a trial runs.

A sample costs some 50 microseconds (5 times a second: under 0.1% of a core); nothing walks the process table.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

__all__ = [
    "INTERVAL_SECONDS",
    "Look",
    "Sample",
    "Sampler",
    "Seen",
    "growth_bytes",
    "last_evicted",
    "look_at",
    "peak_bytes",
    "peak_used_bytes",
    "used_cpu_seconds",
]

INTERVAL_SECONDS = 0.2
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at one process.

    Attributes:
        at_seconds: since its probe was started.
        process: what it is to the run: ``driver``, ``scheduler``, ``worker-0``, ``pool-0``, ``redis``.
        process_id: as its system numbers it.
        cpu_percent: since the sample before; 100 is one core. ``None`` in the first.
        cpu_seconds: user and system, since its first sample; children that have ended are counted in.
        rss_bytes: resident memory.
        used_memory_bytes: of a Redis server, what its data takes; ``None`` for other processes, as those that follow.
        evicted_keys: how many it has evicted since its probe was started.
        fragmentation_ratio: its resident memory over what it asked for.
    """

    at_seconds: float
    process: str
    process_id: int
    cpu_percent: float | None
    cpu_seconds: float
    rss_bytes: int
    used_memory_bytes: int | None = None
    evicted_keys: int | None = None
    fragmentation_ratio: float | None = None


class Seen(NamedTuple):
    """One look: CPU seconds since whenever, and what a :class:`Sample` says besides."""

    cpu_seconds: float
    rss_bytes: int
    used_memory_bytes: int | None = None
    evicted_keys: int | None = None
    fragmentation_ratio: float | None = None


#: A look at a process: a :class:`Seen`, or its first two alone; ``None`` where it doesn't answer for now.
Look = Callable[[], Seen | tuple[float, int] | None]


class Sampler:
    """A thread that looks at processes at fixed times, and once more when it is stopped.

    Args:
        looks: by process name and id.
        interval_seconds: between two looks.
        clock: monotonic.
    """

    def __init__(
        self,
        looks: Mapping[tuple[str, int], Look],
        *,
        interval_seconds: float = INTERVAL_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._looks, self._interval, self._clock = dict(looks), interval_seconds, clock
        self._samples: list[Sample] = []
        self._first: dict[tuple[str, int], float] = {}
        self._last: dict[tuple[str, int], tuple[float, float]] = {}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="dataflow-sampler", daemon=True)
        self._started = 0.0

    def start(self) -> None:
        """Take the first samples and begin."""
        self._started = self._clock()
        self.look()
        self._thread.start()

    def stop(self) -> list[Sample]:
        """Take the last samples; returns all."""
        self._stopped.set()
        self._thread.join()
        self.look()
        return self._samples

    def look(self) -> None:
        """Sample every process that is still there."""
        for key, look in list(self._looks.items()):
            try:
                answer = look()
            except Exception as error:  # it has ended: what was seen of it stays
                _logger.debug("no further samples of %s: %r", key, error)
                del self._looks[key]
                continue
            if answer is not None:
                self._note(key, Seen(*answer))

    def _note(self, key: tuple[str, int], seen: Seen) -> None:
        now, cpu = self._clock(), seen.cpu_seconds
        percent = None
        if key in self._last:
            then, before = self._last[key]
            percent = 100.0 * (cpu - before) / (now - then) if now > then else None
        self._last[key] = (now, cpu)
        used = cpu - self._first.setdefault(key, cpu)
        self._samples.append(Sample(now - self._started, key[0], key[1], percent, used, *seen[1:]))

    def _run(self) -> None:
        # Due times are fixed, so that a slow look doesn't shift those that follow.
        due = self._started + self._interval
        while not self._stopped.wait(max(0.0, due - self._clock())):
            self.look()
            due = max(due + self._interval, self._clock())


def look_at(process_id: int) -> Look:
    """A look at a process of this machine. Its ended children count: a sandbox is part of the work."""
    import psutil

    process = psutil.Process(process_id)

    def look() -> tuple[float, int]:
        with process.oneshot():
            times = process.cpu_times()
            rss = process.memory_info().rss
        ended = getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
        return times.user + times.system + ended, rss

    return look


def used_cpu_seconds(samples: Iterable[Sample], *, without: str = "redis") -> float:
    """CPU seconds of all sampled processes together, but for the one called ``without``."""
    last = {(s.process, s.process_id): s.cpu_seconds for s in samples if s.process != without}
    return sum(last.values())


def peak_bytes(samples: Iterable[Sample], wanted: Callable[[str], bool]) -> int | None:
    """The largest sum of resident memory at one time, over the processes whose name is ``wanted``.

    Processes are sampled at times of their own, so each counts with what it had when last looked at.
    ``None`` where there is no sample.
    """
    now: dict[tuple[str, int], int] = {}
    peak = 0
    for sample in sorted((s for s in samples if wanted(s.process)), key=lambda s: s.at_seconds):
        now[sample.process, sample.process_id] = sample.rss_bytes
        peak = max(peak, sum(now.values()))
    return peak if now else None


def peak_used_bytes(samples: Iterable[Sample]) -> int | None:
    """The most that a Redis server's data took; ``None`` where none was sampled."""
    return max((s.used_memory_bytes for s in samples if s.used_memory_bytes is not None), default=None)


def last_evicted(samples: Iterable[Sample]) -> int | None:
    """How many keys a Redis server had evicted at its last sample; ``None`` where none was sampled."""
    return next((s.evicted_keys for s in reversed(list(samples)) if s.evicted_keys is not None), None)


def growth_bytes(samples: Iterable[Sample], wanted: Callable[[str], bool]) -> int | None:
    """What :func:`peak_bytes` is above the sum of what each process had at its first sample."""
    some = [s for s in samples if wanted(s.process)]
    first: dict[tuple[str, int], int] = {}
    for sample in sorted(some, key=lambda s: s.at_seconds):
        first.setdefault((sample.process, sample.process_id), sample.rss_bytes)
    peak = peak_bytes(some, lambda process: True)
    return None if peak is None else max(0, peak - sum(first.values()))
