"""An answer: what a suite was asked, as sentences, a table, numbers for Parquet, and perhaps a picture."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dataflow.report.numbers import finite
from dataflow.report.plots import Picture
from dataflow.report.summary import Arm

__all__ = ["Answer", "Number", "number", "paired", "span"]


@dataclass(frozen=True)
class Number:
    """One number of an answer, as a row of ``answers.parquet``.

    Attributes:
        arm: whose it is.
        measure: what it is, such as ``speed_up``.
        unit: its unit.
        values: one a block, or a trial.
        verdict: what may be said of it; empty where nothing was tested.
    """

    arm: Arm
    measure: str
    unit: str
    values: tuple[float, ...]
    verdict: str = ""

    @property
    def value(self) -> float | None:
        """Median; ``None`` without a value."""
        return statistics.median(self.values) if self.values else None

    def row(self) -> dict[str, Any]:
        """As a row of the table."""
        arm = self.arm
        return {
            "suite": arm.group.suite,
            "workload": arm.group.workload,
            "strategy": arm.strategy,
            "factor": arm.factor,
            "level": arm.level,
            "phase": arm.phase,
            "cluster": arm.cluster,
            "measure": self.measure,
            "unit": self.unit,
            "value": self.value,
            "lowest": min(self.values, default=None),
            "highest": max(self.values, default=None),
            "values": len(self.values),
            "verdict": self.verdict or None,
        }


@dataclass(frozen=True)
class Answer:
    """What is said to one question.

    Attributes:
        title: the question, or what is shown.
        lead: how to read it.
        columns, rows: a table that an ordinary terminal has room for.
        sentences: what follows from it.
        numbers: what stands in the table, for Parquet.
        details: columns and rows of a wider table, for the page; the same table if left out.
        pictures: made only for the page.
    """

    title: str
    lead: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    sentences: Sequence[str]
    numbers: Sequence[Number] = ()
    details: tuple[Sequence[str], Sequence[Sequence[str]]] | None = None
    pictures: Sequence[Callable[[], Picture | None]] = field(default=())


def number(arm: Arm, column: str, unit: str, factor: float = 1.0, measure: str = "") -> Number:
    """A column of the arm's trials, times ``factor``."""
    known = (finite(row.get(column)) for row in arm.trials)
    return Number(arm, measure or column, unit, tuple(factor * v for v in known if v is not None))


def paired(
    arms: Iterable[Arm], against: Arm | None, column: str = "wall_seconds"
) -> dict[str, tuple[float, ...]]:
    """By strategy, the other arm's median in a block over the arm's own: above 1 where the arm needs less."""
    theirs = by_block(against, column) if against else {}
    found: dict[str, tuple[float, ...]] = {}
    for arm in arms:
        own = by_block(arm, column)
        found[arm.strategy] = tuple(theirs[b] / own[b] for b in sorted(own) if b in theirs and own[b])
    return found


def by_block(arm: Arm, column: str) -> Mapping[int, float]:
    """Median of a column in each block."""
    values: dict[int, list[float]] = {}
    for row in arm.trials:
        if (value := finite(row.get(column))) is not None:
            values.setdefault(row.get("block") or 0, []).append(value)
    return {block: statistics.median(found) for block, found in values.items()}


def span(values: Sequence[float], digits: int = 2) -> str:
    """Lowest to highest; a dash for fewer than two."""
    return f"{min(values):.{digits}f}-{max(values):.{digits}f}" if len(values) > 1 else "-"
