"""Suite streaming: how soon the first result is there, what has to be held for it, and what the whole takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dataflow.report.answer import Answer, Number, number
from dataflow.report.numbers import megabytes, seconds
from dataflow.report.plots import Picture, pairs
from dataflow.report.summary import Arm

if TYPE_CHECKING:
    from dataflow.report.results import Results

__all__ = ["streaming"]

_NAMES = ("first result", "all results")


def streaming(arms: Sequence[Arm], results: Results) -> list[Answer]:
    """Time to the first result, total, and memory, for each way to load and to collect."""
    known = [a for a in arms if a.trials and not a.twin]
    firsts = {arm.label: number(arm, "first_result_seconds", "seconds") for arm in known}
    known.sort(key=lambda arm: firsts[arm.label].value or 0)
    rows, numbers = [], []
    for arm in known:
        first, total = firsts[arm.label], number(arm, "wall_seconds", "seconds")
        driver = number(arm, "driver_growth_bytes", "bytes")
        workers = number(arm, "workers_growth_bytes", "bytes")
        peak = number(arm, "peak_rss_bytes", "bytes")
        numbers += [first, total, driver, workers, peak]
        rows.append([
            arm.label, seconds(first.value), seconds(total.value), megabytes(driver.value),
            megabytes(workers.value), megabytes(peak.value),
        ])  # fmt: skip
    return [
        Answer(
            "First result, total and memory",
            "Results come back to the driver, which looks at each and drops it (the baselines write theirs). "
            "Memory: how much driver and workers grow over the trial, and the peak of all processes.",
            ("strategy", _NAMES[0], "total", "driver +", "workers +", "peak"),
            rows,
            _sentences(numbers),
            numbers,
            pictures=[lambda: _picture(known)],
        )
    ]


def _sentences(numbers: Sequence[Number]) -> list[str]:
    engines = [
        n for n in numbers if n.arm.factor != "baseline" and n.value is not None and not n.arm.disqualified
    ]
    said = []
    for measure, what, show in (
        ("first_result_seconds", "first result", seconds),
        ("driver_growth_bytes", "growth of the driver", megabytes),
        ("workers_growth_bytes", "growth of the workers", megabytes),
    ):
        found = sorted((n for n in engines if n.measure == measure), key=lambda n: n.value or 0)
        if len(found) > 1:
            low, high = found[0], found[-1]
            said.append(
                f"Median {what}: from {show(low.value)} ({_name(low)}) to {show(high.value)} ({_name(high)})."
            )
    if not any(_loading(n.arm) != "whole" for n in engines):
        said.append(
            "This workload loads documents whole only: it has no variant that loads them page by page."
        )
    return said


def _name(found: Number) -> str:
    return found.arm.label


def _loading(arm: Arm) -> str:
    return str(next((row["loading"] for row in arm.trials if row.get("loading")), "whole"))


def _picture(arms: Sequence[Arm]) -> Picture | None:
    rows = [
        (arm.label, first, total)
        for arm in arms
        if (first := arm.median("first_result_seconds")) and (total := arm.median("wall_seconds"))
    ]
    return pairs(rows, _NAMES, "seconds since the start")
