"""``dataflow run``: the production way."""

from __future__ import annotations

import contextlib
import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dataflow.cli.options import corpus_options, place_options
from dataflow.cli.resuming import resumable
from dataflow.errors import counted
from dataflow.graph.forks import spare

if TYPE_CHECKING:
    from dataflow.engine.running import Run, Summary
    from dataflow.profile import Profile
    from dataflow.workload import Workload

# Options that are choices of the strategy, by the choice's name.
_CHOICES = {
    "cache": "cache",
    "freshness": "freshness",
    "batching": "batch",
    "collect": "collect",
    "errors": "errors",
    "payload": "payload",
    "near_memory": "near_memory",
    "server_memory": "server_memory",
    "eviction": "eviction",
    "fuse": "fuse",
    "timeout_seconds": "timeout",
}


@click.command(short_help="Process documents and write their results to Parquet.")
@click.option(
    "--workload", default="batch", show_default=True, help="A name, or the path of your own .py file."
)
@corpus_options
@click.option(
    "--output",
    required=True,
    metavar="FOLDER",
    help="Where the Parquet files go: a new or empty folder, or a URL.",
)
@place_options
@click.option(
    "--cache", default="none", show_default=True, help="none, lru, redis or tiered (lru over redis)."
)
@click.option(
    "--freshness",
    default="content",
    show_default=True,
    help="What makes a cached result count as new: content, stat (reads no known document), ttl:SECONDS, tag:NAME.",
)
@click.option(
    "--batch",
    default="adaptive",
    show_default=True,
    help="adaptive, fixed:N documents or bytes:N (bytes:1MiB).",
)
@click.option("--collect", default="as_completed", show_default=True, help="as_completed, ordered or gather.")
@click.option(
    "--errors", default="bisect", show_default=True, help="bisect, skip or fail: what a bad document does."
)
@click.option(
    "--payload", default="raw", show_default=True, help="raw, lz4 or zstd: values on their way to Redis."
)
@click.option(
    "--near-memory",
    default="128MiB",
    show_default=True,
    metavar="SIZE",
    help="What lru, and the front of tiered, may take in each worker.",
)
@click.option(
    "--server-memory",
    default="512MiB",
    show_default=True,
    metavar="SIZE",
    help="Limit of a server that is started for the run.",
)
@click.option(
    "--eviction",
    default="allkeys-lfu",
    show_default=True,
    metavar="POLICY",
    help="What goes first on it when it is full: a maxmemory-policy of Redis.",
)
@click.option(
    "--fuse/--no-fuse", default=True, help="One Dask task a batch, or every node on its own, to look at."
)
@click.option(
    "--timeout",
    type=float,
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="Limit a document and stage.",
)
@click.option(
    "--resume",
    is_flag=True,
    help="Go on with what an earlier run left in FOLDER; begin where there is nothing.",
)
@click.option(
    "--profile",
    metavar="FILE",
    help="What a benchmark saved: results/RUN/profile.yaml, or `last`. Options that are given go before it.",
)
@click.option("--strict", is_flag=True, help="Exit with status 1 if any document isn't ok.")
@click.pass_context
def run(
    context: click.Context,
    /,
    workload: str,
    corpus: str | None,
    documents: int | None,
    seed: int,
    output: str,
    **options: Any,
) -> int:
    """Process every document of a corpus and write one row a document.

    \b
    Afterwards:
      pandas.read_parquet("FOLDER")     document, status, error, attempts, characters, chunks ...

    A document that can't be parsed is a row with status `failed`, one that kills or hangs its worker is
    `quarantined`; neither ends the run. A run that was interrupted, however, goes on with --resume: only what
    isn't committed is done.
    """
    if options["cluster"] == "auto" and not options["workers"]:
        context.with_resource(spare())

    from dataflow.engine.run import run as start
    from dataflow.engine.specs import check_cluster
    from dataflow.workload import load_workload

    lasting, here = _lasting(workload), os.getcwd()
    loaded = load_workload(workload)
    if os.getcwd() != here:  # by the workload's file; what the command names lies where it was given
        corpus, output = corpus and _below(here, corpus), _below(here, output)
    profile = _profile(options["profile"]) if options["profile"] else None
    given = {name for name in options if _was_given(context, name)}
    if profile and profile.cluster and not {"cluster", "workers"} & given:
        options["cluster"] = profile.cluster
    check_cluster(options["cluster"], options["workers"])
    choices = {choice: options[name] for choice, name in _CHOICES.items() if name in given or not profile}
    place = {k: options[k] for k in ("cluster", "workers", "redis_url", "resume")}
    generated = not corpus and not isinstance(loaded.corpus, str)
    if generated and options["resume"]:
        raise click.UsageError(
            "a generated corpus goes with its run: make it with `dataflow corpus make`, and name it with --corpus."
        )
    recorded = {"workload": lasting}
    with (
        _uncollected() as loaded_all,
        _corpus(loaded, corpus, documents, seed) as source,
        resumable(generated=generated) as begun,
        start(
            loaded.pipeline,
            source,
            profile=profile,
            output=output,
            search_path=loaded.search_path,
            recorded=recorded,
            on_stall=lambda stall: click.echo(str(stall), err=True),
            **place,
            **choices,
        ) as running,
    ):
        begun()
        loaded_all()
        if running.committed:
            click.echo(f"resuming: {_committed(running, output)}", err=True)
        return follow(running, output, options["strict"])


@contextlib.contextmanager
def _uncollected() -> Iterator[Callable[[], None]]:
    """Collect no garbage until told that all is loaded: modules are none, and each round would look at all of them."""
    collects, frozen = gc.isenabled(), gc.get_freeze_count()
    gc.disable()

    def collect_again() -> None:
        gc.freeze()
        if collects:
            gc.enable()

    try:
        yield collect_again
    finally:  # as a program had it that calls the command
        if not frozen:
            gc.unfreeze()
        if collects:
            gc.enable()


def _was_given(context: click.Context, name: str) -> bool:
    from click.core import ParameterSource

    return context.get_parameter_source(name) in (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT)


def _profile(name: str) -> Profile:
    """A profile by its path, or that of the newest run that has one."""
    from dataflow.profile import Profile

    if name != "last":
        return Profile.load(name)
    found = sorted(Path("results").glob("*/profile.yaml"))
    if not found:
        raise click.UsageError(
            "there is no results/*/profile.yaml: make one with `dataflow bench`, or name a file."
        )
    return Profile.load(found[-1])


def _lasting(workload: str) -> str:
    """The workload's name, or its path as it is found from every folder."""
    is_path = workload.endswith(".py") or "/" in workload
    return str(Path(workload).expanduser().resolve()) if is_path else workload


def _below(folder: str, name: str) -> str:
    """A relative path as one that is found from every folder; a URL as it is."""
    return name if ":" in name or name.startswith("~") else os.path.join(folder, name)


@contextlib.contextmanager
def _corpus(workload: Workload, url: str | None, documents: int | None, seed: int) -> Iterator[str]:
    """The corpus that was asked for: a URL, or the workload's own, generated into a temporary folder."""
    if url or isinstance(workload.corpus, str):
        yield url or str(workload.corpus)
        return
    if workload.corpus is None:
        raise click.UsageError(f"workload {workload.name} has no corpus of its own: name one with --corpus.")
    from dataflow.cli.progress import said
    from dataflow.graph.scratch import scratch_folder

    with scratch_folder("corpus") as folder:
        with said("generating a corpus"):
            workload.generate(folder, documents=documents, seed=seed)
        yield folder


def follow(running: Run, output: str, strict: bool) -> int:
    """Show progress to the end, then say what became of the documents."""
    from dataflow.cli.progress import Progress

    if running.dashboard_link:
        click.echo(f"dashboard: {running.dashboard_link}", err=True)
    notes = running.summary.notes
    told = _tell(notes, 0)
    if running.summary.uncacheable:
        click.echo(f"not memoized: {running.summary.uncacheable}.", err=True)
    with Progress("documents") as progress:
        try:
            for outcome in running:
                told = _tell(notes, told)
                progress.advance(bad=outcome.status != "ok", total=running.to_do)
        except KeyboardInterrupt:
            running.close()
            kept = _committed(running, output) if running.committed else "nothing was committed"
            click.echo(f"interrupted: {kept}.", err=True)
            raise
    summary = running.summary
    _tell(notes, told)
    for line in _lines(summary, output):
        click.echo(line)
    return 1 if strict and summary.total != summary.documents["ok"] else 0


def _tell(notes: list[str], told: int) -> int:
    """Say the notes that weren't said yet; returns how many have been."""
    for note in notes[told:]:
        click.echo(f"note: {note}.", err=True)
    return len(notes)


def _committed(running: Run, output: str) -> str:
    verb = "is" if running.committed == 1 else "are"
    return f"{counted(running.committed, 'document')} {verb} committed in {output}"


def _lines(summary: Summary, output: str) -> Iterator[str]:
    if summary.skipped and not summary.total:
        done = "the one document is" if summary.skipped == 1 else f"all {summary.skipped} documents are"
        yield f"nothing to do: {done} done"
        yield f'read it: pandas.read_parquet("{output}")'
        return
    from dataflow.cli.worth import cache_lines

    rate = summary.total / summary.seconds if summary.seconds else 0.0
    counts = ", ".join(f"{n} {status}" for status, n in summary.documents.most_common())
    yield f"{counted(summary.total, 'document')} in {summary.seconds:.1f} s ({rate:.0f}/s): {counts}"
    for error, n in summary.errors.most_common(5):
        yield f"  {n:>6} {error}: {summary.examples[error]}"
    yield from cache_lines(summary)
    yield f'read it: pandas.read_parquet("{output}")'
