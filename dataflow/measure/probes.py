"""What is sampled in a trial: this process and its children, every worker of a cluster, the Redis server.

A probe is started right before the timed part and stopped right after it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from dataflow.errors import CacheError
from dataflow.measure.resources import Look, Sample, Sampler, Seen, look_at

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["ClusterProbe", "Probe", "ProcessProbe", "RedisProbe"]

_logger = logging.getLogger(__name__)


class Probe(Protocol):
    """Something that is sampled while a trial runs."""

    def start(self) -> None:
        """Begin."""

    def stop(self) -> list[Sample]:
        """End, with all samples; those of a process that has gone may be missing."""


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
        give_memory_back()
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
        from dataflow.memo.server import server_info

        self._url, self._info = url, info or server_info
        self._sampler: Sampler | None = None
        self._evicted_before = 0

    def start(self) -> None:
        """Begin. A server that doesn't answer has no samples."""
        try:
            info = self._info(self._url)
            process_id, self._evicted_before = int(info["process_id"]), int(info.get("evicted_keys", 0))
        except Exception as error:
            _logger.warning("the Redis server can't be sampled: %s", error)
            return
        self._sampler = Sampler({("redis", process_id): self._look})
        self._sampler.start()

    def stop(self) -> list[Sample]:
        """End."""
        sampler, self._sampler = self._sampler, None
        return sampler.stop() if sampler else []

    def _look(self) -> Seen | None:
        """What it says; nothing where it is away, since it may come back."""
        try:
            info = self._info(self._url)
        except CacheError:
            return None
        return Seen(
            float(info["cpu_seconds"]),
            int(info["rss_bytes"]),
            int(info["used_memory_bytes"]),
            max(0, int(info["evicted_keys"]) - self._evicted_before),
            float(info["fragmentation_ratio"]),
        )


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
    give_memory_back()
    _samplers[role] = Sampler({(role, os.getpid()): look_at(os.getpid())})
    _samplers[role].start()


def _stop_here(role: str) -> tuple[tuple[str, int], list[Sample]]:
    """Whose samples, by host and process, and the samples."""
    sampler = _samplers.pop(role, None)
    return (socket.gethostname(), os.getpid()), sampler.stop() if sampler else []


def give_memory_back() -> None:
    """Return freed memory to the system, so that a peak isn't that of the trial before (glibc only)."""
    import ctypes

    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # another C library has no such function
            ctypes.CDLL(None).malloc_trim(0)
