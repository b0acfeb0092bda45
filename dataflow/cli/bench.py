"""``dataflow bench``: which strategy is best for these documents on this machine."""

from __future__ import annotations

import functools
from typing import Any

import click

from dataflow.cli.options import corpus_options, place_options


@click.command(short_help="Benchmark strategies on a corpus and write a report.")
@click.option(
    "--workload", default="mixed", show_default=True, help="A name, or the path of your own .py file."
)
@corpus_options
@functools.partial(place_options, cluster="local")
@click.option(
    "--suite",
    default="quick",
    show_default=True,
    help="Which experiments: batching, caching, invalidation, parallel, quick, single or streaming.",
)
@click.option(
    "--blocks",
    type=click.IntRange(min=1),
    metavar="N",
    help="How often every strategy runs; by time if left out.",
)
@click.option("--max-seconds", type=float, metavar="SECONDS", help="About how long the trials may take.")
@click.option(
    "--results", default="results", show_default=True, metavar="FOLDER", help="Where the run's folder goes."
)
def bench(workload: str, redis_url: str | None, **options: Any) -> None:
    """Run a workload under every strategy of a suite, in randomised blocks.

    Leaves results/<time>-<workload>-<cluster>/ with Parquet files, Dask's performance reports and
    report.html, and prints the medians.
    """
    from dataflow.bench.experiment import bench as start
    from dataflow.cli.progress import Progress, said
    from dataflow.engine.specs import check_cluster
    from dataflow.measure.tables import check_results
    from dataflow.memo.connect import check_server
    from dataflow.report import build
    from dataflow.report.terminal import print_summary
    from dataflow.workload import load_workload

    loaded = load_workload(workload)
    # What is cheap to find out comes first: generating and warming up take a while.
    check_cluster(options["cluster"], options["workers"])
    if redis_url:
        check_server(redis_url)
    check_results(options["results"])
    with Progress("trials") as bar:
        folder = start(
            loaded,
            redis_url=redis_url,
            progress=lambda p: bar.advance(steps=p.done - bar.done, total=p.total, now=p.arm),
            say=lambda text: click.echo(text, err=True),
            **{k: v for k, v in options.items() if v is not None},
        )
    with said("building the report"):
        build(folder)
    print_summary(folder)
