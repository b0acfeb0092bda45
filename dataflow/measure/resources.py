"""CPU and memory of processes, sampled while a trial runs: here, on every worker, and on the Redis server.

A probe is started right before the timed part and stopped right after it. Each sample costs some 50
microseconds (5 times a second: under 0.1% of a core); nothing walks the process table.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from distributed import Client

__all__ = [
    "INTERVAL_SECONDS",
    "ClusterProbe",
    "Probe",
    "ProcessProbe",
    "RedisProbe",
    "Sample",
    "Sampler",
    "peak_bytes",
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
    """

    at_seconds: float
    process: str
    process_id: int
    cpu_percent: float | None
    cpu_seconds: float
    rss_bytes: int


#: A look at a process: CPU seconds since whenever, and bytes.
Look = Callable[[], tuple[float, int]]


class Probe(Protocol):
    """Something that is sampled while a trial runs."""

    def start(self) -> None:
        """Begin."""

    def stop(self) -> list[Sample]:
        """End, with all samples; those of a process that has gone may be missing."""


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
                cpu, rss = look()
            except Exception as error:  # it has ended: what was seen of it stays
                _logger.debug("no further samples of %s: %r", key, error)
                del self._looks[key]
                continue
            self._note(key, cpu, rss)

    def _note(self, key: tuple[str, int], cpu: float, rss: int) -> None:
        now = self._clock()
        percent = None
        if key in self._last:
            then, before = self._last[key]
            percent = 100.0 * (cpu - before) / (now - then) if now > then else None
        self._last[key] = (now, cpu)
        used = cpu - self._first.setdefault(key, cpu)
        self._samples.append(Sample(now - self._started, key[0], key[1], percent, used, rss))

    def _run(self) -> None:
        # Due times are fixed, so that a slow look doesn't shift those that follow.
        due = self._started + self._interval
        while not self._stopped.wait(max(0.0, due - self._clock())):
            self.look()
            due = max(due + self._interval, self._clock())


def look_at(process_id: int) -> Look:
    """A look at a process of this machine. CPU of its ended children counts: a sandbox is part of the work."""
    import psutil

    process = psutil.Process(process_id)

    def look() -> tuple[float, int]:
        with process.oneshot():
            times = process.cpu_times()
            rss = process.memory_info().rss
        ended = getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
        return times.user + times.system + ended, rss

    return look


def _look_at_driver() -> Look:
    """The driver without its ended children: they are workers, which are sampled by themselves."""
    import psutil

    process = psutil.Process()

    def look() -> tuple[float, int]:
        with process.oneshot():
            times = process.cpu_times()
            return times.user + times.system, process.memory_info().rss

    return look


class ProcessProbe:
    """Samples this process and others of this machine.

    Args:
        others: name and id of further processes.
    """

    def __init__(self, others: Iterable[tuple[str, int]] = ()) -> None:
        self._others = list(others)
        self._sampler: Sampler | None = None

    def start(self) -> None:
        """Begin."""
        looks: dict[tuple[str, int], Look] = {("driver", os.getpid()): _look_at_driver()}
        looks.update({(name, pid): look_at(pid) for name, pid in self._others})
        self._sampler = Sampler(looks)
        self._sampler.start()

    def stop(self) -> list[Sample]:
        """End."""
        sampler, self._sampler = self._sampler, None
        return sampler.stop() if sampler else []


class RedisProbe:
    """Samples a Redis server by asking it.

    Args:
        url: the server's.
        info: asks it; :func:`dataflow.memo.server.server_info` unless a test has its own.
    """

    def __init__(self, url: str, info: Callable[[str], Mapping[str, Any]] | None = None) -> None:
        if info is None:
            from dataflow.memo.server import server_info as info
        self._url, self._info = url, info
        self._sampler: Sampler | None = None

    def start(self) -> None:
        """Begin. A server that doesn't answer has no samples."""
        try:
            process_id = int(self._info(self._url)["process_id"])
        except Exception as error:
            _logger.warning("the Redis server can't be sampled: %s", error)
            return
        self._sampler = Sampler({("redis", process_id): self._look})
        self._sampler.start()

    def stop(self) -> list[Sample]:
        """End."""
        sampler, self._sampler = self._sampler, None
        return sampler.stop() if sampler else []

    def _look(self) -> tuple[float, int]:
        info = self._info(self._url)
        return float(info["cpu_seconds"]), int(info["rss_bytes"])


class ClusterProbe:
    """Samples every worker of a cluster, wherever it runs, and its scheduler if that is a process of its own.

    Each worker samples itself. One that dies takes its samples along, and one that comes later isn't sampled
    before the next trial; neither disturbs the trial.

    Args:
        client: connected to it.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._addresses: list[str] = []

    def start(self) -> None:
        """Begin on all, before the call returns."""
        self._addresses = sorted(self._client.run(_start_here, on_error="ignore", role="worker"))
        try:
            self._client.run_on_scheduler(_start_here, role="scheduler")
        except Exception as error:
            _logger.warning("the scheduler can't be sampled: %s", error)

    def stop(self) -> list[Sample]:
        """End on all. A process that is also the driver is left out: the driver samples itself."""
        by_address = self._client.run(_stop_here, on_error="ignore", role="worker")
        answers = [(f"worker-{i}", by_address.get(a)) for i, a in enumerate(self._addresses)]
        try:
            answers.append(("scheduler", self._client.run_on_scheduler(_stop_here, role="scheduler")))
        except Exception as error:
            _logger.warning("the scheduler's samples are lost: %s", error)
        taken = {(socket.gethostname(), os.getpid())}
        found: list[Sample] = []
        for name, answer in answers:
            if answer is not None and answer[0] not in taken:
                taken.add(answer[0])
                found += [replace(s, process=name) for s in answer[1]]
        return found


# One a role and not one a process: a scheduler may share its process with workers.
_samplers: dict[str, Sampler] = {}


def _start_here(role: str) -> None:
    """Begin to sample this process; a sampler that an interrupted trial left behind is dropped."""
    _stop_here(role)
    _samplers[role] = Sampler({(role, os.getpid()): look_at(os.getpid())})
    _samplers[role].start()


def _stop_here(role: str) -> tuple[tuple[str, int], list[Sample]]:
    """Whose samples, by host and process, and the samples."""
    sampler = _samplers.pop(role, None)
    return (socket.gethostname(), os.getpid()), sampler.stop() if sampler else []


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
