"""Trials to arms: medians, and ratios to ``base`` paired within blocks. Pure functions, and no verdicts.

A ratio and its range over the blocks describe what was seen. They are no interval and no test, so nothing
here calls one strategy faster than another: that takes at least :data:`BLOCKS_FOR_A_VERDICT` blocks, since
the smallest two-sided p of a sign-flip test over n blocks is 2 / 2^n.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["BASE", "BLOCKS_FOR_A_VERDICT", "Arm", "Group", "groups_of", "median_of", "summary_rows"]

BASE = "base"
BLOCKS_FOR_A_VERDICT = 6

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Group:
    """Trials that may be compared with each other: the same suite, workload and scenario."""

    suite: str
    workload: str
    scenario: str

    @property
    def label(self) -> str:
        """The three names, each once."""
        return " · ".join(dict.fromkeys(filter(None, (self.suite, self.workload, self.scenario))))


@dataclass(frozen=True)
class Arm:
    """One strategy in one phase, over all its trials.

    Attributes:
        group: which arms it may be compared with.
        strategy, factor, level, phase, cluster: as in the trials.
        trials: its rows that ran to their end.
        errors: why others didn't.
        blocks: how many blocks it has a trial in.
        ratios: documents/s over base's, one for each block that has both.
        disqualified: a trial gave other results than the serial baseline.
    """

    group: Group
    strategy: str
    factor: str
    level: str
    phase: str
    cluster: str
    trials: tuple[Row, ...]
    errors: tuple[str, ...] = ()
    ratios: tuple[float, ...] = field(default=())

    @property
    def label(self) -> str:
        """The name, and whether the arm is disqualified, as pictures and tables show it."""
        return f"{self.name} (other results)" if self.disqualified else self.name

    @property
    def name(self) -> str:
        """Strategy and phase."""
        return f"{self.strategy} · {self.phase}" if self.phase else self.strategy

    @property
    def blocks(self) -> int:
        """Blocks that hold a trial of it."""
        return len({row.get("block") for row in self.trials})

    @property
    def disqualified(self) -> bool:
        """Whether any trial's results differ from the serial baseline's."""
        return any(row.get("matches_serial") is False for row in self.trials)

    @property
    def twin(self) -> bool:
        """Whether it is base once more: how far the two differ is how far equal arms differ by chance."""
        return self.factor == "twin"

    @property
    def ratio(self) -> float | None:
        """Median of the paired ratios to base; ``None`` without a pair, and for base itself."""
        return statistics.median(self.ratios) if self.ratios else None

    @property
    def documents_per_second(self) -> float | None:
        """Median over the trials."""
        return self.median("documents_per_second")

    @property
    def success_rate(self) -> float | None:
        """Outcomes ok / all outcomes, over all trials."""
        return _share(self.total("ok"), self.total("documents"))

    @property
    def hit_rate(self) -> float | None:
        """Hits / lookups over all trials; ``None`` without a lookup."""
        hits = self.total("hits")
        return _share(hits, hits + self.total("misses"))

    def median(self, column: str) -> float | None:
        """Median of a column over the trials that have it."""
        return median_of(row.get(column) for row in self.trials)

    def total(self, column: str) -> float:
        """Sum of a column; what is null counts nothing."""
        return sum(row.get(column) or 0 for row in self.trials)


def summary_rows(trials: Iterable[Row]) -> list[Arm]:
    """One arm for each strategy and phase, within its group the fastest first.

    Args:
        trials: rows of ``trials.parquet``, in any order. A row with an ``error`` counts as no trial.
    """
    found: dict[tuple[Any, ...], list[Row]] = {}
    for row in trials:
        key = (_group(row), _text(row, "strategy"), _text(row, "phase"))
        found.setdefault(key, []).append(row)
    base = _base_speeds(row for rows in found.values() for row in rows)
    arms = [_arm(group, strategy, phase, rows, base) for (group, strategy, phase), rows in found.items()]
    order = {group: number for number, group in enumerate(dict.fromkeys(arm.group for arm in arms))}
    return sorted(arms, key=lambda arm: (order[arm.group], -(arm.documents_per_second or 0), arm.label))


def groups_of(arms: Sequence[Arm]) -> dict[Group, list[Arm]]:
    """Arms by group, in their order."""
    groups: dict[Group, list[Arm]] = {}
    for arm in arms:
        groups.setdefault(arm.group, []).append(arm)
    return groups


def median_of(values: Iterable[Any]) -> float | None:
    """Median of the finite numbers among ``values``; ``None`` if there is none."""
    finite = [float(v) for v in values if v is not None and math.isfinite(v)]
    return statistics.median(finite) if finite else None


def _arm(group: Group, strategy: str, phase: str, rows: list[Row], base: Mapping[Any, list[float]]) -> Arm:
    ended = tuple(row for row in rows if not row.get("error"))
    return Arm(
        group=group,
        strategy=strategy,
        factor=_text(rows[0], "factor"),
        level=_text(rows[0], "level"),
        phase=phase,
        cluster=_text(rows[0], "cluster"),
        trials=ended,
        errors=tuple(str(row["error"]) for row in rows if row.get("error")),
        ratios=() if strategy == BASE else _ratios(group, phase, ended, base),
    )


def _ratios(
    group: Group, phase: str, rows: Sequence[Row], base: Mapping[Any, list[float]]
) -> tuple[float, ...]:
    """Speed over base's in the same block: base in the same phase, or else the base that has none."""
    speeds: dict[Any, list[float]] = {}
    for row in rows:
        if (speed := _speed(row)) is not None:
            speeds.setdefault(row.get("block"), []).append(speed)
    ratios = []
    for block, own in sorted(speeds.items(), key=lambda item: (item[0] is None, item[0])):
        phases = (phase, "", "cold")
        reference = next((base[key] for p in phases if (key := (group, p, block)) in base), None)
        if reference:
            ratios.append(statistics.median(own) / statistics.median(reference))
    return tuple(ratios)


def _base_speeds(rows: Iterable[Row]) -> dict[Any, list[float]]:
    speeds: dict[Any, list[float]] = {}
    for row in rows:
        speed = _speed(row)
        if _text(row, "strategy") == BASE and not row.get("error") and speed is not None:
            speeds.setdefault((_group(row), _text(row, "phase"), row.get("block")), []).append(speed)
    return speeds


def _speed(row: Row) -> float | None:
    speed = row.get("documents_per_second")
    return float(speed) if speed is not None and math.isfinite(speed) and speed > 0 else None


def _group(row: Row) -> Group:
    return Group(_text(row, "suite"), _text(row, "workload"), _text(row, "scenario"))


def _text(row: Row, column: str) -> str:
    return str(row.get(column) or "")


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None
