"""A run's folder to its report: reads the tables, writes page, CSV files, profile and what its suite answers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from dataflow.errors import counted
from dataflow.measure.tables import replace_table, write_text
from dataflow.report.answers import answers
from dataflow.report.export import write_csv
from dataflow.report.page import page
from dataflow.report.recommend import profile_of
from dataflow.report.results import Results, load
from dataflow.report.sections import sections

__all__ = ["build"]


def build(folder: str | os.PathLike[str]) -> Path:
    """Write the report of a run, its profile and its CSV files; whatever the run left is enough.

    Args:
        folder: ``results/<run>``.

    Returns:
        The path of ``report.html``.

    Raises:
        ResultsError: the folder can't be read, holds no trial, or can't be written.
    """
    path = Path(folder)
    results = load(path)
    write_csv(path, results.tables, results.arms)
    profile = profile_of(results)
    if profile is not None:
        write_text(path / "profile.yaml", profile.dump())
    numbers = [n.row() for found in answers(results).values() for answer in found for n in answer.numbers]
    if numbers:
        replace_table(path, "answers", numbers)
    name = path.resolve().name
    text = page(name, _subtitle(results), results.advice, _notes(results), sections(results))
    return write_text(path / "report.html", text)


def _notes(results: Results) -> list[str]:
    """What the run noted, and that it didn't come to its end, if so."""
    noted = results.run.get("notes") or []
    notes = list(map(str, noted)) if isinstance(noted, (list, tuple)) else [str(noted)]
    if results.run.get("complete") is False:
        notes.append("The run didn't come to its end: this is what it had until then.")
    return notes


def _subtitle(results: Results) -> str:
    trials = results.tables["trials"]
    rows = trials.to_pylist()
    documents = max((row["documents"] or 0 for row in rows), default=0)
    parts = [
        _names("workload", rows),
        _names("cluster", rows),
        f"{counted(len(rows), 'trial')} of {counted(len(results.arms), 'arm')}",
        f"up to {counted(documents, 'document')} a trial" if documents else "",
    ]
    return " · ".join(filter(None, parts))


def _names(column: str, rows: list[dict[str, Any]]) -> str:
    found = list(dict.fromkeys(row[column] for row in rows if row[column]))
    plural = f"{column}s" if len(found) > 1 else column
    return f"{plural} {', '.join(found)}" if found else ""
