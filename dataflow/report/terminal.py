"""What a benchmark prints at its end: a table, one sentence for each question, and the paths."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dataflow.report.answer import Answer
from dataflow.report.answers import answers
from dataflow.report.numbers import NOTHING, amount, megabytes, percent, times
from dataflow.report.results import load
from dataflow.report.summary import Arm, groups_of

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = ["print_summary"]

_FILES = ("report.html", "profile.yaml", "run.json", "trials.parquet", "csv")


def print_summary(folder: str | os.PathLike[str], console: Console | None = None) -> None:
    """Print the comparison of a run's strategies, the recommendation, and where everything lies.

    Args:
        folder: ``results/<run>``.
        console: where to; standard output if left out.

    Raises:
        ResultsError: the folder can't be read, or holds no trial.
    """
    from rich.console import Console
    from rich.text import Text

    console = console or Console()
    results = load(folder)
    groups = groups_of(results.arms)
    found = answers(results)
    for group, arms in groups.items():
        title = group.label if len(groups) > 1 else ""
        # A suite with a question of its own is answered in its own columns.
        tables = [_answer(a) for a in found[group]] if group in found else [_table(arms, title)]
        for table in tables:
            console.print(table)
    for answer in (a for made in found.values() for a in made):
        for sentence in answer.sentences:
            console.print(Text(sentence))
    for error in dict.fromkeys(f"{arm.label}: {error}" for arm in results.arms for error in arm.errors):
        console.print(Text(f"A trial failed: {error}", style="red"))
    for advice in results.advice:
        console.print(Text(advice.sentence))
    # soft_wrap: a path that is broken over two lines can't be copied
    for path in (Path(folder) / name for name in _FILES):
        if path.exists():
            console.print(Text(f"  {path}"), soft_wrap=True)


def _answer(answer: Answer) -> Table:
    from rich.text import Text

    table = _empty(answer.columns, answer.title)
    for cells in answer.rows:
        table.add_row(*map(Text, cells))
    return table


def _empty(columns: Sequence[str], title: str) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(
        box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title=Text(title) if title else None, title_justify="left"
    )
    table.add_column(columns[0], overflow="fold")
    for name in columns[1:]:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _table(arms: list[Arm], title: str) -> Table:
    from rich.text import Text

    table = _empty(("strategy", "docs/s", "to base", "min-max", "ok", "hits", "memory"), title)
    for arm in arms:
        style = "red" if arm.disqualified else ""
        table.add_row(Text(arm.name, style=style), *map(Text, _cells(arm)))
    return table


def _cells(arm: Arm) -> list[str]:
    ratio, span = times(arm.ratio), NOTHING
    if arm.disqualified:
        ratio, span = NOTHING, "other results"
    elif len(arm.ratios) > 1:
        span = f"{min(arm.ratios):.2f}-{max(arm.ratios):.2f}"
    return [
        amount(arm.documents_per_second), ratio, span, percent(arm.success_rate), percent(arm.hit_rate),
        megabytes(arm.median("peak_rss_bytes")),
    ]  # fmt: skip
