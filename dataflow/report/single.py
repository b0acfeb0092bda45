"""Suite single: where each millisecond of one document goes."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from dataflow.report.answer import Answer, Number, number
from dataflow.report.numbers import amount
from dataflow.report.palette import colours
from dataflow.report.plots import Picture, stacks
from dataflow.report.summary import Arm

if TYPE_CHECKING:
    from dataflow.report.results import Results

__all__ = ["single"]

_CLIENT = ("open", "send", "commit", "close")
_WAY = ("to the worker", "back", "to the worker and back")
_OWN = {"probe": "read", "lookup": "lookup", "store": "store", "write": "write", "between nodes": "between"}
_COLUMNS = ("client", "way", "read", "lookup", "stages", "store", "write")


def single(arms: Sequence[Arm], results: Results) -> list[Answer]:
    """The parts of the wall time of each arm, cold and warm."""
    parts = _parts_by_trial(results)
    known = [a for a in arms if not a.twin and any(row["trial"] in parts for row in a.trials)]
    known.sort(key=lambda arm: arm.median("wall_seconds") or 0)
    found = {arm.name: _medians(arm, parts) for arm in known}
    names = list(dict.fromkeys(name for mine in found.values() for name in mine))
    numbers = [
        Number(arm, name, "seconds", _values(arm, parts, name)) for arm in known for name in found[arm.name]
    ]
    rows = [[_label(arm), _total(arm), *_short(found[arm.name])] for arm in known]
    wide = [[arm.label, _total(arm), *(_shown(found[arm.name].get(n)) for n in names)] for arm in known]
    return [
        Answer(
            "Where the milliseconds go",
            "Medians in milliseconds, which add up but for chance. Client: opens the run, sends the batch, commits and "
            "closes. Way: scheduler and network, to the worker and back. Stages: the work itself.",
            ("strategy", "total", *_COLUMNS),
            rows,
            _sentences(known, found),
            [*(number(arm, "wall_seconds", "seconds") for arm in known), *numbers],
            details=(("strategy", "total", *names), wide),
            pictures=[lambda: _picture(known, found, names)],
        )
    ]


def _parts_by_trial(results: Results) -> dict[int, dict[str, float]]:
    found: dict[int, dict[str, float]] = {}
    for row in sorted(results.tables["overheads"].to_pylist(), key=lambda r: (r["trial"], r["step"] or 0)):
        found.setdefault(row["trial"], {})[row["part"]] = row["seconds"] or 0.0
    return found


def _values(arm: Arm, parts: Mapping[int, Mapping[str, float]], name: str) -> tuple[float, ...]:
    return tuple(parts[t][name] for row in arm.trials if name in parts.get(t := row["trial"], {}))


def _medians(arm: Arm, parts: Mapping[int, Mapping[str, float]]) -> dict[str, float]:
    """Median seconds by part, in the order of time."""
    names = dict.fromkeys(n for row in arm.trials for n in parts.get(row["trial"], {}))
    return {name: max(0.0, statistics.median(_values(arm, parts, name))) for name in names}


def _short(found: Mapping[str, float]) -> list[str]:
    """As many columns as a terminal has room for: the client's steps, both ways, and all stages together."""
    sums = dict.fromkeys(_COLUMNS, 0.0)
    for name, seconds in found.items():
        if _column(name) in sums:  # what is between nodes is hardly anything, and stands on the page
            sums[_column(name)] += seconds
    return [_shown(sums[name]) for name in _COLUMNS]


def _column(part: str) -> str:
    return "client" if part in _CLIENT else "way" if part in _WAY else _OWN.get(part, "stages")


def _label(arm: Arm) -> str:
    """The name without its factors, which the levels tell: ``inline tiered · warm``."""
    return arm.label.replace("cluster=", "").replace("cache=", "")


def _total(arm: Arm) -> str:
    return _shown(arm.median("wall_seconds"))


def _shown(seconds: float | None) -> str:
    """Milliseconds, to a tenth."""
    return "-" if not seconds else f"{1000 * seconds:.1f}" if seconds < 0.1 else f"{1000 * seconds:,.0f}"


def _sentences(arms: Sequence[Arm], found: Mapping[str, Mapping[str, float]]) -> list[str]:
    said = []
    for arm in (a for a in arms if a.strategy in ("base", "cluster=inline") and a.phase in ("", "warm")):
        work = sum(s for name, s in found[arm.name].items() if _column(name) == "stages")
        total = arm.median("wall_seconds") or 0.0
        dear = sorted(((s, n) for n, s in found[arm.name].items() if _column(n) != "stages"), reverse=True)[
            :3
        ]
        largest = ", ".join(f"{name} {amount(1000 * s)} ms" for s, name in dear)
        said.append(
            f"{arm.name}: {amount(1000 * work)} of {amount(1000 * total)} ms are the stages; most else: {largest}."
        )
    return said


def _picture(
    arms: Sequence[Arm], found: Mapping[str, Mapping[str, float]], names: Sequence[str]
) -> Picture | None:
    parts = {name: [1000 * found[arm.name].get(name, 0.0) for arm in arms] for name in names}
    return stacks([arm.label for arm in arms], parts, colours(list(names)), "milliseconds")
