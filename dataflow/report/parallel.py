"""Suite parallel: what more workers are worth on each cluster, against a plain loop and against the ideal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dataflow.errors import counted
from dataflow.report.answer import Answer, Number, number, paired, span
from dataflow.report.numbers import amount, megabytes, percent, times
from dataflow.report.plots import Picture, scaling
from dataflow.report.summary import Arm

if TYPE_CHECKING:
    from dataflow.report.results import Results

__all__ = ["parallel"]

_COLUMNS = ("cluster", "threads", "speed-up", "min-max", "ideal", "cores", "memory")


def parallel(arms: Sequence[Arm], results: Results) -> list[Answer]:
    """Speed-up, efficiency, CPU and memory of each cluster at each size."""
    serial = next((arm for arm in arms if arm.strategy == "serial"), None)
    known = sorted((a for a in arms if a.trials and not a.twin), key=lambda a: (a.cluster, _threads(a)))
    speed_ups = paired(known, serial)
    numbers: list[Number] = []
    rows = []
    for arm in known:
        speed_up = Number(arm, "speed_up", "ratio", speed_ups[arm.strategy])
        efficiency = number(arm, "efficiency", "fraction")
        cores = number(arm, "mean_cpu_percent", "cores", 0.01, "cores_used")
        memory = number(arm, "peak_rss_bytes", "bytes")
        numbers += [speed_up, efficiency, cores, memory]
        rows.append([
            _name(arm), str(_threads(arm)), times(speed_up.value), span(speed_up.values),
            percent(efficiency.value), amount(cores.value), megabytes(memory.value),
        ])  # fmt: skip
    return [
        Answer(
            "What more workers are worth",
            "Speed-up over the plain loop in the same block; share of the ideal, which is the loop's CPU seconds over "
            "the threads; cores that were kept busy; memory of all processes.",
            _COLUMNS,
            rows,
            _sentences(known, numbers, results),
            numbers,
            pictures=[lambda: _picture(known, speed_ups)],
        )
    ]


def _sentences(arms: Sequence[Arm], numbers: Sequence[Number], results: Results) -> list[str]:
    ups = [n for n in numbers if n.measure == "speed_up" and n.value and not n.arm.disqualified]
    best = max(ups, key=lambda n: n.value or 0, default=None)
    if best is None:
        return ["No speed-up is known: the plain loop didn't get through."]
    if best.arm.strategy == "serial":
        return ["The plain loop is the fastest: more workers gain nothing on these documents here."]
    shares = [n.value for n in numbers if n.measure == "efficiency" and n.arm is best.arm]
    share = f", {percent(shares[0])} of the ideal" if shares and shares[0] is not None else ""
    blocks = counted(len(best.values), "block")
    said = [
        f"{best.arm.cluster} with {counted(_threads(best.arm), 'thread')} has the highest "
        f"speed-up over a plain loop: {times(best.value)} ({span(best.values)} over {blocks}){share}."
    ]
    machine = results.run.get("environment", {}).get("machine", {})
    cores = machine.get("cores_affinity") or machine.get("cores")
    if cores and any(_threads(arm) > cores for arm in arms):
        said.append(f"This machine has {counted(cores, 'usable core')}: no more threads can be kept busy.")
    return said


def _picture(arms: Sequence[Arm], speed_ups: dict[str, tuple[float, ...]]) -> Picture | None:
    rows = [
        {"name": arm.cluster, "strategy": arm.label, "x": _threads(arm), "y": value}
        for arm in arms
        for value in speed_ups[arm.strategy]
    ]
    return scaling(rows, "worker threads", "speed-up over a plain loop")


def _name(arm: Arm) -> str:
    return f"{arm.cluster} (other results)" if arm.disqualified else arm.cluster


def _threads(arm: Arm) -> int:
    return max((row.get("threads") or 0 for row in arm.trials), default=0)
