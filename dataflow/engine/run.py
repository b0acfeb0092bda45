"""``run()``: a pipeline over a corpus under a strategy on a cluster, as a stream of outcomes."""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any

from dataflow.corpus import Corpus, open_corpus, read_document
from dataflow.document import Document
from dataflow.engine.batches import batcher_for
from dataflow.engine.clusters import OpenCluster, open_cluster
from dataflow.engine.executors import DaskExecutor, Executor, InlineExecutor
from dataflow.engine.identity import header
from dataflow.engine.manifest import refuse_used
from dataflow.engine.output import Keeper, NewOutput, Output
from dataflow.engine.resume import forget_runs, resume_output
from dataflow.engine.stall import Stall
from dataflow.engine.stream import Stream
from dataflow.errors import CacheError, one_line
from dataflow.graph.plan import Plan
from dataflow.graph.scratch import scratch_folder
from dataflow.graph.table import Sink, sink_for
from dataflow.graph.work import BatchResult
from dataflow.outcome import Outcome
from dataflow.pipeline import Pipeline
from dataflow.strategy import Strategy

__all__ = ["Run", "Summary", "run"]


@dataclass
class Summary:
    """What a run has come to so far.

    Attributes:
        documents: outcomes by status.
        errors: outcomes by error type.
        examples: a document and its message, for each error type.
        caches: outcomes by the cache tier that answered.
        size_bytes: bytes of all documents.
        seconds: wall seconds since the run began.
        counters: the memo's, added up over the batches.
        uncacheable: why nothing is memoized although the strategy asked for it; ``None`` where it is.
        skipped: documents that an earlier run had done, where this one goes on with it.
        notes: what the user should know besides, a line each.
    """

    documents: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    caches: Counter[str] = field(default_factory=Counter)
    size_bytes: int = 0
    seconds: float = 0.0
    counters: dict[str, float] = field(default_factory=dict)
    uncacheable: str | None = None
    skipped: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        """Documents of any status."""
        return sum(self.documents.values())


class Run:
    """A run under way: an iterator of outcomes. Made by :func:`run`.

    It is a context manager too; leaving it early, or :meth:`close`, cancels what is in flight. What was
    committed to the output stays.

    Attributes:
        dashboard_link: Dask's dashboard, or ``None``.
        summary: counts, kept up to date.
    """

    def __init__(
        self,
        stack: contextlib.ExitStack,
        outcomes: Iterable[Outcome],
        documents: Corpus,
        output: Output,
        keeper: Keeper | None,
        summary: Summary,
    ) -> None:
        self._stack, self._documents, self._output, self._keeper = stack, documents, output, keeper
        self._outcomes = iter(outcomes)
        self._committed = output.before
        self._started = time.perf_counter()
        self.summary = summary
        self.dashboard_link: str | None = None

    def __iter__(self) -> Iterator[Outcome]:
        return self

    def __next__(self) -> Outcome:
        try:
            outcome = next(self._outcomes)
        except StopIteration:
            self._finish(complete=True)
            raise
        except BaseException:
            self._finish(complete=False)
            raise
        self._count(outcome)
        return outcome

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self.close()

    @property
    def total(self) -> int | None:
        """Documents of the corpus, once it has been listed to its end."""
        return self._documents.total

    @property
    def to_do(self) -> int | None:
        """Documents that aren't done from an earlier run, once the corpus has been listed to its end."""
        return None if self.total is None else self.total - self._output.skipped

    @property
    def committed(self) -> int:
        """Rows of the output that count, whatever happens next."""
        return self._committed

    def close(self) -> None:
        """Cancel what is in flight and give everything back. Closing twice is fine."""
        self._finish(complete=False)

    def _finish(self, *, complete: bool) -> None:
        keeper, self._keeper = self._keeper, None
        try:
            self._stack.close()  # first, so that no worker writes a part while orphans are collected
        finally:
            if keeper:
                keeper.finish(complete=complete)
                self._committed = keeper.rows
                self.summary.skipped = self._output.skipped
                self.summary.notes += self._output.closing_notes() if complete else ()

    def _count(self, outcome: Outcome) -> None:
        summary = self.summary
        summary.documents[outcome.status] += 1
        if outcome.error_type:
            summary.errors[outcome.error_type] += 1
            summary.examples.setdefault(outcome.error_type, one_line(f"{outcome.document}: {outcome.error}"))
        if outcome.cache:
            summary.caches[outcome.cache] += 1
        summary.size_bytes += outcome.size_bytes or 0
        summary.skipped = self._output.skipped
        self._committed = self._keeper.rows if self._keeper else 0
        summary.seconds = time.perf_counter() - self._started


def run(
    pipeline: Pipeline,
    corpus: str | os.PathLike[str] | Iterable[str | Document],
    *,
    strategy: Strategy | None = None,
    cluster: Any = "local",
    workers: int | None = None,
    output: str | os.PathLike[str] | None = None,
    redis_url: str | None = None,
    search_path: Iterable[str] = (),
    namespace: str = "dataflow",
    on_batch: Callable[[BatchResult], None] | None = None,
    on_stall: Callable[[Stall], None] | None = None,
    resume: bool = False,
    recorded: Mapping[str, Any] | None = None,
    **overrides: Any,
) -> Run:
    """Run a pipeline over a corpus.

    Everything that can be wrong with the arguments is found out before this returns; nothing is written
    before that.

    Args:
        pipeline: the stages.
        corpus: a URL pattern, or any iterable of URLs and documents.
        strategy: how to run; the default strategy if left out.
        cluster: where: a name, a YAML file, an address, an open ``distributed.Client``, or ``inline`` for
            this very process. ``memory://`` works on any: the bytes travel with the batches.
        workers: how many.
        output: folder or URL for Parquet parts; values then stay out of the outcomes.
        redis_url: a server for ``cache="redis"``; ``REDIS_URL`` if left out, else an embedded one.
        search_path: folders that workers add to ``sys.path``.
        namespace: the beginning of the cache's keys; runs share what they cached under the same one.
        on_batch: called with each batch's result, on this thread.
        on_stall: called with each document that a worker is at when nothing has ended for half a minute.
        resume: go on with what an earlier run left in the output's folder: only what it hasn't committed is
            done. The pipeline, its columns and the corpus's name have to be the same; the corpus may have
            grown. A new or empty folder is simply begun.
        recorded: facts for the manifest's header, such as ``{"workload": "batch"}``, which is what
            ``dataflow replay`` loads.
        **overrides: choices of the strategy, such as ``cache="redis"``.

    Returns:
        A :class:`Run`: outcomes, streamed.

    Raises:
        DataflowError: any of its kinds; the message names the mend.
    """
    chosen = (strategy or Strategy()).replace(**overrides)
    documents = open_corpus(corpus)
    target = _output(pipeline, output, documents, resume)
    return start(
        pipeline,
        documents,
        target,
        chosen,
        cluster=cluster,
        workers=workers,
        redis_url=redis_url,
        search_path=search_path,
        namespace=namespace,
        on_batch=on_batch,
        on_stall=on_stall,
        recorded=recorded,
    )


def start(
    pipeline: Pipeline,
    documents: Corpus,
    output: Output,
    strategy: Strategy,
    *,
    cluster: Any,
    workers: int | None = None,
    redis_url: str | None = None,
    search_path: Iterable[str] = (),
    namespace: str = "dataflow",
    on_batch: Callable[[BatchResult], None] | None = None,
    on_stall: Callable[[Stall], None] | None = None,
    recorded: Mapping[str, Any] | None = None,
) -> Run:
    """Start a run whose arguments have been looked at; see :func:`run`.

    Args:
        output: where rows go, and which of the documents are to be done. It is given up if this raises.
    """
    with contextlib.ExitStack() as stack, contextlib.ExitStack() as undo:
        undo.callback(output.release)
        numbered = output.numbered(documents)
        first = next(numbered, None)
        if first is None:  # no cluster is needed to say that nothing is left
            keeper = output.open({}, documents)
            undo.pop_all()
            return Run(stack, (), documents, output, keeper, Summary(notes=output.notes))
        opened, executor = _executor(stack, cluster, workers)
        ledger = stack.enter_context(scratch_folder("ledger")) if opened and opened.local else None
        plan, why_not = _plan(
            stack, pipeline, strategy, output.sink, ledger, redis_url, tuple(search_path), namespace, opened
        )
        stack.callback(executor.close)
        if opened:
            forget_runs(output.unfinished_runs, opened.client)
        executor.start(plan)
        keeper = output.open(header(plan, documents.name, recorded), documents)
        undo.pop_all()
        summary = Summary(uncacheable=why_not, notes=output.notes)
        stream = _stream(
            plan,
            documents,
            chain([first], numbered),
            executor,
            keeper,
            _counting(summary, on_batch),
            on_stall,
        )
        started = Run(stack.pop_all(), stream, documents, output, keeper, summary)
        started.dashboard_link = opened.dashboard_link if opened else None
        return started


def _output(
    pipeline: Pipeline, output: str | os.PathLike[str] | None, documents: Corpus, resume: bool
) -> Output:
    folder = _local_folder(output)
    if folder is None:
        return Output()
    sink = sink_for(pipeline, folder)
    if resume:
        return resume_output(pipeline, sink, documents.name)
    refuse_used(folder)
    return NewOutput(sink)


def _stream(
    plan: Plan,
    documents: Corpus,
    numbered: Iterator[tuple[int, Document]],
    executor: Executor,
    keeper: Keeper | None,
    on_batch: Callable[[BatchResult], None] | None,
    on_stall: Callable[[Stall], None] | None,
) -> Stream:
    read = read_document if documents.process_local and not isinstance(executor, InlineExecutor) else None
    batcher = batcher_for(plan.strategy, iter(()), executor.slots, read, numbered=numbered)
    return Stream(
        plan,
        batcher,
        executor,
        manifest=keeper,
        on_batch=on_batch,
        on_stall=on_stall,
        all_note=bool(plan.ledger),
    )


def _counting(
    summary: Summary, on_batch: Callable[[BatchResult], None] | None
) -> Callable[[BatchResult], None]:
    def see(result: BatchResult) -> None:
        for name, amount in result.counters.items():
            summary.counters[name] = summary.counters.get(name, 0) + amount
        if on_batch:
            on_batch(result)

    return see


def _executor(
    stack: contextlib.ExitStack, cluster: Any, workers: int | None
) -> tuple[OpenCluster | None, Executor]:
    if cluster == "inline":
        return None, InlineExecutor()
    opened = stack.enter_context(open_cluster(cluster, workers))
    return opened, DaskExecutor(opened.client)


def _plan(
    stack: contextlib.ExitStack,
    pipeline: Pipeline,
    strategy: Strategy,
    sink: Sink | None,
    ledger: str | None,
    redis_url: str | None,
    search_path: tuple[str, ...],
    namespace: str,
    opened: OpenCluster | None,
) -> tuple[Plan, str | None]:
    ids, why_not = _stage_ids(pipeline) if strategy.cache != "none" else ((), None)
    plan = Plan(
        run=secrets.token_hex(4),
        pipeline=pipeline,
        strategy=strategy,
        memo=_memo(stack, strategy if ids else strategy.replace(cache="none"), redis_url, namespace, opened),
        memo_stages=len(ids),
        stage_ids=ids,
        sink=sink,
        ledger=ledger,
        search_path=search_path,
    )
    return plan, why_not


def _stage_ids(pipeline: Pipeline) -> tuple[tuple[bytes, ...], str | None]:
    """Fingerprints of the pure stages from the first on, and why there are none."""
    from dataflow.memo.chain import chain_of

    chain, why_not = chain_of(pipeline)
    return chain.ids, why_not


def _memo(
    stack: contextlib.ExitStack,
    strategy: Strategy,
    redis_url: str | None,
    namespace: str,
    opened: OpenCluster | None,
) -> Any:
    from dataflow.memo.admin import generation
    from dataflow.memo.secret import cache_secret
    from dataflow.memo.server import find_server
    from dataflow.memo.spec import MemoSpec

    if strategy.cache == "none":
        return MemoSpec(kind="none", url=None, secret=b"")
    url, current = None, b""
    if strategy.cache in ("redis", "tiered"):
        url = redis_url or os.environ.get("REDIS_URL") or None
        if url is None and opened is not None and not opened.local:
            raise CacheError(
                "workers on other machines can't reach an embedded server: set REDIS_URL to one of yours."
            )
        url = stack.enter_context(find_server(url)).url
        current = generation(url, namespace)
    return MemoSpec(
        kind=strategy.cache,
        url=url,
        secret=cache_secret(),
        payload=strategy.payload,
        namespace=namespace,
        ttl_seconds=strategy.fresh.ttl_seconds,
        tag=strategy.fresh.tag,
        spill_url=os.environ.get("DATAFLOW_SPILL_URL") or None,
        admission=strategy.admission,
        generation=current,
    )


def _local_folder(output: str | os.PathLike[str] | None) -> str | None:
    """The output as an absolute path or a URL: workers may stand in another folder."""
    if output is None:
        return None
    folder = os.fspath(output)
    return folder if "://" in folder else str(Path(folder).expanduser().absolute())
