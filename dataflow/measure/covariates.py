"""What else went on around a trial: stolen CPU, load, pressure, and how fast a fixed piece of work was."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Covariates", "Watch", "probe_seconds"]

_PROBE_ROUNDS = 400_000


@dataclass(frozen=True, slots=True)
class Covariates:
    """The surroundings of one trial.

    Attributes:
        steal_percent: share of all cores' time that the hypervisor gave to others; ``None`` where unknown.
        load: the 1-minute load average at the start; ``None`` where there is none.
        pressure_percent: share of the trial in which some task waited for a core (Linux's PSI).
        probe_seconds: what a fixed piece of work took on one core right before.
    """

    steal_percent: float | None
    load: float | None
    pressure_percent: float | None
    probe_seconds: float


class Watch:
    """Notes the surroundings when it is made, and what became of them when :meth:`read`."""

    def __init__(self) -> None:
        self._probe = probe_seconds()
        self._load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
        self._pressure = _pressure_seconds()
        self._cpu = _cpu_times()
        self._started = time.monotonic()

    def read(self) -> Covariates:
        """The covariates of the time since this was made."""
        seconds = time.monotonic() - self._started
        return Covariates(
            steal_percent=_steal_percent(self._cpu, _cpu_times()),
            load=self._load,
            pressure_percent=_percent(self._pressure, _pressure_seconds(), seconds),
            probe_seconds=self._probe,
        )


def probe_seconds() -> float:
    """Wall seconds of a fixed piece of pure Python work on one core: some 30 to 100 ms."""
    started = time.perf_counter()
    state = 1
    for _ in range(_PROBE_ROUNDS):
        state = (state * 1103515245 + 12345) & 0x7FFFFFFF
    return time.perf_counter() - started


def _cpu_times() -> tuple[float, float | None]:
    """Seconds of all cores in every state, and those that were stolen."""
    import psutil

    times = psutil.cpu_times()
    # A guest's time is counted in its user's too.
    total = sum(getattr(times, n) for n in times._fields if not n.startswith("guest"))
    return total, getattr(times, "steal", None)


def _steal_percent(before: tuple[float, float | None], after: tuple[float, float | None]) -> float | None:
    return _percent(before[1], after[1], after[0] - before[0])


def _percent(before: float | None, after: float | None, whole: float) -> float | None:
    if before is None or after is None or whole <= 0:
        return None
    return max(0.0, 100.0 * (after - before) / whole)


def _pressure_seconds(path: str = "/proc/pressure/cpu") -> float | None:
    try:
        text = Path(path).read_text()
    except OSError:
        return None
    line = next((x for x in text.splitlines() if x.startswith("some ")), "")
    total = line.rpartition("total=")[2]
    return int(total) / 1e6 if total.isdigit() else None
