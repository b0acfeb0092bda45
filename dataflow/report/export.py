"""The CSV files of a run, for spreadsheets."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dataflow.measure.tables import write_text
from dataflow.report.summary import Arm

__all__ = ["write_csv"]

_TIMINGS = (
    "wall_seconds", "cpu_seconds", "first_result_seconds", "latency_p50_seconds", "latency_p95_seconds",
    "latency_p99_seconds", "seconds_saved", "overhead_seconds", "ideal_seconds", "probe_seconds",
)  # fmt: skip
_KEYS = (
    "run_id",
    "trial",
    "suite",
    "workload",
    "scenario",
    "strategy",
    "phase",
    "block",
    "position",
    "cluster",
)


def write_csv(folder: Path, tables: Mapping[str, Any], arms: Sequence[Arm]) -> list[Path]:
    """Write ``csv/metrics.csv``, ``timings.csv`` and ``strategies.csv`` into a run's folder.

    Raises:
        ResultsError: a file can't be written.
    """
    trials = tables["trials"].to_pylist()
    names = tables["trials"].column_names
    timings = [
        [*(row[key] for key in _KEYS), name, row[name]]
        for row in trials
        for name in _TIMINGS
        if row[name] is not None
    ]
    target = folder / "csv"
    return [
        _write(target / "metrics.csv", names, ([row[name] for name in names] for row in trials)),
        _write(target / "timings.csv", (*_KEYS, "timing", "seconds"), timings),
        _write(target / "strategies.csv", _STRATEGIES, map(_strategy, arms)),
    ]


_STRATEGIES = (
    "suite", "workload", "scenario", "strategy", "factor", "level", "phase", "cluster", "blocks", "trials",
    "trials_failed", "disqualified", "documents_per_second_median", "ratio_to_base_median",
    "ratio_to_base_min", "ratio_to_base_max", "wall_seconds_median", "success_rate",
    "hit_rate", "seconds_saved_median",    "peak_rss_bytes_median", "efficiency_median",
)  # fmt: skip


def _strategy(arm: Arm) -> list[Any]:
    return [
        arm.group.suite, arm.group.workload, arm.group.scenario,
        arm.strategy, arm.factor, arm.level, arm.phase,
 arm.cluster, arm.blocks, len(arm.trials), len(arm.errors), arm.disqualified, arm.documents_per_second,
        arm.ratio, min(arm.ratios, default=None), max(arm.ratios, default=None), arm.median("wall_seconds"),
        arm.success_rate, arm.hit_rate, arm.median("seconds_saved"), arm.median("peak_rss_bytes"),
        arm.median("efficiency"),
    ]  # fmt: skip


def _write(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Path:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return write_text(path, text.getvalue())


def _cell(value: Any) -> Any:
    """Spreadsheets run what looks like a formula; a text that begins so gets an apostrophe before it."""
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return f"'{value}"
    return value
