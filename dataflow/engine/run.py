"""``run()``: a pipeline over a corpus under a strategy on a cluster, as a stream of outcomes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from dataflow.corpus import Corpus, open_corpus, read_document
from dataflow.document import Document
from dataflow.engine.batches import batcher_for
from dataflow.engine.clusters import OpenCluster, open_cluster
from dataflow.engine.cost import CostModel
from dataflow.engine.executors import DaskExecutor, Executor, InlineExecutor
from dataflow.engine.identity import header
from dataflow.engine.manifest import refuse_used
from dataflow.engine.output import Keeper, NewOutput, Output
from dataflow.engine.planning import plan_for
from dataflow.engine.remembered import remember, remembered
from dataflow.engine.resume import forget_runs, resume_output
from dataflow.engine.running import Run, Summary
from dataflow.engine.smalljob import SmallJob, SmallJobExecutor, look_at
from dataflow.engine.stall import Stall
from dataflow.engine.stream import Stream
from dataflow.errors import OutputError
from dataflow.graph.plan import Plan
from dataflow.graph.scratch import scratch_folder
from dataflow.graph.table import sink_for
from dataflow.graph.work import BatchResult
from dataflow.memo.chain import memoized_up_to
from dataflow.pipeline import Pipeline
from dataflow.profile import Cost, Profile
from dataflow.strategy import Strategy

__all__ = ["run", "start"]


def run(
    pipeline: Pipeline,
    corpus: str | os.PathLike[str] | Iterable[str | Document],
    *,
    strategy: Strategy | None = None,
    cluster: Any = "auto",
    workers: int | None = None,
    output: str | os.PathLike[str] | None = None,
    redis_url: str | None = None,
    search_path: Iterable[str] = (),
    namespace: str = "dataflow",
    on_batch: Callable[[BatchResult], None] | None = None,
    on_stall: Callable[[Stall], None] | None = None,
    resume: bool = False,
    recorded: Mapping[str, Any] | None = None,
    profile: Profile | str | os.PathLike[str] | None = None,
    **overrides: Any,
) -> Run:
    """Run a pipeline over a corpus.

    Everything that can be wrong with the arguments is found out before this returns; nothing is written
    before that.

    Args:
        pipeline: the stages.
        corpus: a URL pattern, or any iterable of URLs and documents.
        strategy: how to run; the profile's, or the default strategy, if left out.
        cluster: where: a name, a YAML file, an address, an open ``distributed.Client``, or ``inline`` for
            this very process. ``memory://`` works on any: the bytes travel with the batches. ``auto`` is ``local``,
            or one process where the whole job is predicted to be smaller than starting workers; a note says so.
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
        profile: what a benchmark saved, or the path of it: its strategy, and what documents were seen to cost.
        **overrides: choices of the strategy, such as ``cache="redis"``.

    Returns:
        A :class:`Run`: outcomes, streamed.

    Raises:
        DataflowError: any of its kinds; the message names the mend.
    """
    profiled = (
        Profile.load(profile) if isinstance(profile, str | os.PathLike) else profile or Profile(Strategy())
    )
    chosen = (strategy or profiled.strategy).replace(**overrides)
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
        costs=profiled.costs,
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
    costs: Mapping[str, Cost] | None = None,
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
        numbered = chain([first], numbered)
        if cluster == "auto":
            small, numbered = look_at(numbered, CostModel(costs)) if workers is None else (None, numbered)
            cluster = small or "local"
        opened, executor, in_child = _executor(stack, cluster, workers)
        noted = in_child or (opened and opened.local)
        ledger = stack.enter_context(scratch_folder("ledger")) if noted else None
        plan, why_not = plan_for(
            stack,
            pipeline,
            strategy,
            output.sink,
            ledger,
            redis_url,
            tuple(search_path),
            namespace,
            opened,
            in_child,
        )
        stack.callback(executor.close)
        if opened:
            forget_runs(output.unfinished_runs, opened.client)
        executor.start(plan)
        described = header(plan, documents.name, recorded)  # while the workers import what the plan needs
        executor.ready()
        keeper = output.open(described, documents)
        undo.pop_all()
        output.notes += opened.notes if opened else ()
        output.notes += [str(cluster)] if isinstance(cluster, SmallJob) else []
        if why_not and plan.memo_stages:
            output.notes.append(memoized_up_to(plan.chain, why_not))
        model = CostModel({**remembered(pipeline), **(costs or {})})
        summary = Summary(uncacheable=None if plan.memo_stages else why_not, notes=output.notes)
        # What a cache has answered says nothing of what computing takes.
        stack.callback(lambda: summary.caches or remember(pipeline, model.costs()))
        stream = _stream(
            plan,
            documents,
            numbered,
            executor,
            keeper,
            _counting(summary, on_batch),
            on_stall,
            model,
            summary.mark,
        )
        summary.mark("opened")
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
    model: CostModel,
    on_mark: Callable[[str], None],
) -> Stream:
    read = read_document if documents.process_local and not isinstance(executor, InlineExecutor) else None
    batcher = batcher_for(plan.strategy, iter(()), executor.slots, read, numbered=numbered, model=model)
    return Stream(
        plan,
        batcher,
        executor,
        manifest=keeper,
        on_batch=on_batch,
        on_stall=on_stall,
        on_mark=on_mark,
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
) -> tuple[OpenCluster | None, Executor, bool]:
    """The cluster, what runs graphs on it, and whether documents have to run in processes of their own there."""
    if cluster == "inline":
        return None, InlineExecutor(), False
    if isinstance(cluster, SmallJob):
        return (
            None,
            SmallJobExecutor(lambda own: DaskExecutor(own.enter_context(open_cluster("local")).client)),
            True,
        )
    opened = stack.enter_context(open_cluster(cluster, workers))
    return opened, DaskExecutor(opened.client), not opened.nannies and not opened.in_process


def _local_folder(output: str | os.PathLike[str] | None) -> str | None:
    """The output as an absolute path or a URL: workers may stand in another folder."""
    if output is None:
        return None
    folder = os.fspath(output)
    if not folder:
        raise OutputError("output is an empty name: name a folder.")
    return folder if "://" in folder else str(Path(folder).expanduser().absolute())
