"""``dataflow corpus``: look at a corpus, or write a generated one."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import click

from dataflow.errors import OutputError, counted, utf8


@click.group(short_help="Look at a corpus, or generate one.")
def corpus() -> None:
    """Look at the documents under a URL, or generate a corpus to try things on."""


@corpus.command("list", short_help="Count the documents under a URL, by type.")
@click.argument("url")
@click.option("--urls", is_flag=True, help="Print every document's URL instead.")
def list_command(url: str, urls: bool) -> None:
    """Count the documents under URL by media type: a folder, a pattern, zip://, s3://, http://."""
    from dataflow.corpus import open_corpus

    count: Counter[str] = Counter()
    size: Counter[str] = Counter()
    for document in open_corpus(url):
        count[document.media_type] += 1
        size[document.media_type] += document.size_bytes or 0
        if urls:
            click.echo(utf8(document.url))
    if urls:
        return
    click.echo(f"{'documents':>10} {'bytes':>16}  media type")
    for media_type, n in count.most_common():
        click.echo(f"{n:>10} {size[media_type]:>16,}  {media_type}")
    click.echo(f"{count.total():>10} {size.total():>16,}  in all")


@corpus.command("make", short_help="Generate a corpus: same seed, same bytes.")
@click.argument("folder")
@click.option(
    "--workload",
    default="mixed",
    show_default=True,
    help="Whose corpus: single, batch, mixed, or a .py file.",
)
@click.option("--documents", type=click.IntRange(min=1), metavar="N", help="How many.")
@click.option("--seed", type=int, default=0, show_default=True, help="Same seed, same bytes.")
def make_command(folder: str, workload: str, documents: int | None, seed: int) -> None:
    """Write a workload's generated corpus into FOLDER, which must be new or empty."""
    from dataflow.cli.progress import said
    from dataflow.workload import load_workload

    loaded = load_workload(workload)
    target = Path(folder).expanduser()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise OutputError(f"{folder} isn't an empty folder: name a new one.")
    try:
        target.mkdir(parents=True, exist_ok=True)
        with said("generating a corpus"):
            loaded.generate(target, documents=documents, seed=seed)
    except OSError as error:
        raise OutputError(f"{folder} can't be written: {error}.") from error
    made = sum(1 for p in target.rglob("*") if p.is_file())
    click.echo(f"{counted(made, 'document')} in {folder}")
