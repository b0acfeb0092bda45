"""Everything a report is made of, read from a run's folder."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dataflow.measure.tables import read_results, read_run
from dataflow.report.advice import Advice, advice
from dataflow.report.summary import Arm, summary_rows

__all__ = ["Results", "load"]


@dataclass(frozen=True)
class Results:
    """What a report is made of: the tables, ``run.json``, the arms and what may be said about them."""

    tables: Mapping[str, Any]
    run: Mapping[str, Any]
    arms: Sequence[Arm]
    advice: Sequence[Advice]


def load(folder: str | os.PathLike[str]) -> Results:
    """Read a run and summarise its trials.

    Raises:
        ResultsError: the folder can't be read, or holds no trial.
    """
    tables = read_results(folder)
    arms = summary_rows(tables["trials"].to_pylist())
    return Results(tables, read_run(folder), arms, advice(arms))
