"""``dataflow report``: the report of a run, built again from its Parquet files."""

from __future__ import annotations

import click


@click.command(short_help="Build a run's report again, and print its table.")
@click.argument("folder", required=False)
@click.option(
    "--results",
    default="results",
    show_default=True,
    metavar="FOLDER",
    help="Where to look for the newest run.",
)
def report(folder: str | None, results: str) -> None:
    """Build report.html in FOLDER, a run's folder; the newest run's if left out."""
    from pathlib import Path

    from dataflow.measure.tables import latest
    from dataflow.report import build
    from dataflow.report.terminal import print_summary

    chosen = Path(folder) if folder else latest(Path(results))
    build(chosen)
    print_summary(chosen)
