"""``dataflow cache``: look at what a server of yours holds of earlier runs, and end parts of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

from dataflow.cli.options import redis_url_option
from dataflow.errors import CacheError, CorpusError, counted, one_line, utf8

if TYPE_CHECKING:
    from dataflow.document import Document
    from dataflow.memo.explain import Reason
    from dataflow.pipeline import Pipeline
    from dataflow.strategy import Freshness

__all__ = ["cache"]

F = TypeVar("F", bound=Callable[..., Any])


def _server_options(function: F) -> F:
    """``--redis-url`` and ``--namespace``: whose cache."""
    namespace = click.option(
        "--namespace",
        default="dataflow",
        show_default=True,
        metavar="NAME",
        callback=_namespace,
        help="The beginning of the cache's keys.",
    )
    return redis_url_option(namespace(function))


def _namespace(_context: click.Context, _option: click.Parameter, name: str) -> str:
    from dataflow.memo.namespace import checked_namespace

    return checked_namespace(name)


@click.group(short_help="Look at what a Redis server keeps of earlier runs, and end parts of it.")
def cache() -> None:
    """Look at the results that runs with --cache redis or tiered left on your server, and end parts of them.

    \b
    The server is --redis-url or REDIS_URL. Without one, a run keeps its results on an embedded server that is
    gone with the run: there is nothing to look at afterwards.
    """


@cache.command(short_help="What the server holds and uses.")
@_server_options
def stats(redis_url: str | None, namespace: str) -> None:
    """Count what the namespace holds on the server, and say what the whole server uses."""
    from dataflow.memo.admin import cache_stats

    for name, text in _stats_lines(cache_stats(_named(redis_url), namespace)):
        click.echo(f"{name:<10} {text}")


@cache.command(short_help="Why a document's result would be found, or wouldn't.")
@click.argument("document")
@click.option(
    "--workload", default="batch", show_default=True, help="Whose pipeline: a name, or a .py file's path."
)
@click.option(
    "--freshness",
    default="content",
    show_default=True,
    help="As the run has it: content, stat, ttl:SECONDS or tag:NAME.",
)
@_server_options
def why(document: str, workload: str, freshness: str, redis_url: str | None, namespace: str) -> None:
    """Say whether a run would find DOCUMENT's result, and if not, which parts of its key have changed.

    \b
    A line each, after `hit` or `miss` and the document:
      new         it was never stored, or what was known of it is gone
      content     its bytes changed
      state       its size, time or entity tag changed, its bytes didn't
      code        the code of a stage changed
      stages      the pipeline has other stages
      parameters  what the first stage sees of the document changed, such as its URL
      tag, epoch  another tag; the tag was invalidated
      expired     its time to live is over
      evicted     nothing changed, and the server has lost it all the same
      python      Python is of another version
      uncacheable a stage can't be memoized, or its value can't be kept
      secret      it was sealed with another DATAFLOW_CACHE_KEY
      forged, corrupt, spill, down   the value itself can't be used
    """
    from dataflow.memo.connect import check_server
    from dataflow.strategy import Freshness
    from dataflow.workload import load_workload

    fresh, url = Freshness.parse(freshness), _named(redis_url)
    pipeline = load_workload(workload).pipeline
    found = _one_document(document)
    check_server(url)
    for line in _reason_lines(found, _reasons(url, namespace, pipeline, found, fresh)):
        click.echo(line)


@cache.command(short_help="End what was stored under a tag, or what a stage had a part in.")
@click.option("--tag", metavar="NAME", help="The tag of --freshness tag:NAME. One small write.")
@click.option("--stage", metavar="NAME", help="Every result that the stage had a part in is removed.")
@_server_options
def invalidate(tag: str | None, stage: str | None, redis_url: str | None, namespace: str) -> None:
    """Make runs compute again what was stored under a tag, or what a stage had a part in.

    A tag ends for running workers with their next batch. After --stage they forget what they have in memory
    at the beginning of the next run.
    """
    from dataflow.memo.admin import invalidate_stage, invalidate_tag
    from dataflow.strategy import Freshness

    if (tag is None) == (stage is None):
        raise click.UsageError("name either --tag NAME or --stage NAME.")
    url = _named(redis_url)
    if tag is not None:
        Freshness.parse(f"tag:{tag}")  # what no run can ask for is a slip of the pen
        invalidate_tag(url, tag, namespace)
        click.echo(f"tag {tag} of {namespace} is invalid: what was stored under it isn't found any more")
        return
    removed = invalidate_stage(url, stage or "", namespace)
    click.echo(f"{counted(removed, 'key')} of stage {utf8(stage or '')} removed from {namespace}")


@cache.command(short_help="Remove all that the namespace holds.")
@_server_options
@click.option(
    "--spilled", is_flag=True, help="Remove the files under DATAFLOW_SPILL_URL too, of any namespace."
)
def clear(redis_url: str | None, namespace: str, spilled: bool) -> None:
    """Remove all that the namespace holds on the server, and nothing else that is there."""
    from dataflow.memo.admin import clear as remove

    spill_url = os.environ.get("DATAFLOW_SPILL_URL")
    if spilled and not spill_url:
        raise click.UsageError("--spilled needs the folder of the spilled files: set DATAFLOW_SPILL_URL.")
    removed = remove(_named(redis_url), namespace, spill_url=spill_url if spilled else None)
    click.echo(f"{counted(removed, 'key')} removed from {namespace}")
    if spill_url and not spilled:
        from dataflow.memo.connect import redacted

        # The files are named by their content: other namespaces may point to the same ones.
        click.echo(
            f"spilled files under {redacted(spill_url)} are left, as others may use them: --spilled removes them.",
            err=True,
        )


def _named(redis_url: str | None) -> str:
    """The URL of a server that outlives its runs."""
    if redis_url:
        return redis_url
    raise CacheError(
        "no Redis server is named: set REDIS_URL or add --redis-url (an embedded server is gone with its run)."
    )


def _one_document(url: str) -> Document:
    from itertools import islice

    from dataflow.corpus import open_corpus

    found = list(islice(open_corpus(url), 2))
    if len(found) > 1:
        raise click.UsageError(f"{url} is more than one document: name one, such as {found[0].url}.")
    return found[0]


def _reasons(
    url: str, namespace: str, pipeline: Pipeline, document: Document, fresh: Freshness
) -> list[Reason]:
    from dataflow.memo.admin import is_tag
    from dataflow.memo.chain import chain_of, memoized_up_to
    from dataflow.memo.explain import Reason, explain
    from dataflow.memo.secret import cache_secret
    from dataflow.memo.spec import MemoSpec, close_memos, open_memo

    chain, why_not = chain_of(pipeline, fresh.tag)
    if not chain:
        return [Reason("uncacheable", f"nothing is memoized: {why_not}")]
    after = [Reason("uncacheable", memoized_up_to(chain, why_not))] if why_not else []
    if fresh.tag is not None and not is_tag(url, fresh.tag, namespace):
        # Looking it up would make the tag.
        return [
            Reason("tag", f"nothing is kept under tag {fresh.tag!r}: no run has used it, or it was evicted"),
            *after,
        ]
    spec = MemoSpec(
        "redis",
        url=url,
        secret=cache_secret(),
        namespace=namespace,
        ttl_seconds=fresh.ttl_seconds,
        tag=fresh.tag,
        spill_url=os.environ.get("DATAFLOW_SPILL_URL") or None,
    )
    try:
        return [*explain(open_memo(spec), chain, document, fresh), *after]
    except OSError as error:
        raise CorpusError(f"{document.url} can't be read: {one_line(error)}.") from error
    finally:
        close_memos()


def _reason_lines(document: Document, reasons: list[Reason]) -> Iterator[str]:
    verdict = "hit" if any(reason.part == "hit" for reason in reasons) else "miss"
    yield f"{verdict} {utf8(document.url)}"
    for reason in reasons:
        change = f" ({reason.before} -> {reason.now})" if reason.before is not None else ""
        yield f"  {reason.part}: {utf8(reason.text)}{change}"


def _stats_lines(stats: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    from dataflow.report.numbers import megabytes

    yield "server", f"{stats['shown']} ({stats['program']} {stats['version']})"
    yield "namespace", str(stats["namespace"])
    yield "entries", f"{stats['entries']:,} of {megabytes(stats['entry_bytes'])}"
    yield "tags", utf8(", ".join(stats["tags"])) or "none"
    yield "leases", f"{stats['leases']} being computed now"
    if stats["version"] == "unknown":
        yield "memory", "not known: the server's user may not ask (INFO)"
        return
    limit = megabytes(stats["max_memory_bytes"]) if stats["max_memory_bytes"] else "no limit"
    used, peak = megabytes(stats["used_memory_bytes"]), megabytes(stats["peak_memory_bytes"])
    yield "memory", f"{used} used by the whole server, {peak} at its peak, {limit} allowed"
    yield "lost", f"{stats['evicted_keys']:,} keys evicted, {stats['expired_keys']:,} expired"
    yield "look-ups", f"{stats['keyspace_hits']:,} keys found, {stats['keyspace_misses']:,} not"
