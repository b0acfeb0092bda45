"""How a run is started: where it runs is chosen, its plan made known there, its output begun, its stream set up."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from dataflow.corpus import Corpus
from dataflow.engine.batches import SMALL_CORPUS, batcher_for
from dataflow.engine.clusters import OpenCluster, open_cluster
from dataflow.engine.cost import CostModel
from dataflow.engine.deploy import prepare_cluster
from dataflow.engine.executors import Executor, InlineExecutor
from dataflow.engine.identity import foresee, header
from dataflow.engine.listing import Listing
from dataflow.engine.output import Keeper, Output
from dataflow.engine.planning import begin_server, plan_for, stage_ids, start_server
from dataflow.engine.remembered import remember, remembered
from dataflow.engine.resume import forget_runs
from dataflow.engine.running import Run, Summary
from dataflow.engine.smalljob import SmallJob, SmallJobExecutor, look_at
from dataflow.engine.stall import Stall
from dataflow.engine.stream import Stream
from dataflow.errors import ClusterError, one_line
from dataflow.graph.forks import STORES, foretell, leave_template
from dataflow.graph.plan import Plan
from dataflow.graph.scratch import scratch_folder
from dataflow.graph.work import BatchResult
from dataflow.memo.chain import memoized_up_to
from dataflow.pipeline import Pipeline
from dataflow.places import temporary_folder
from dataflow.profile import Cost
from dataflow.reading import read_document
from dataflow.strategy import Strategy

__all__ = ["start"]

_LISTED_FIRST = 128


def start(
    pipeline: Pipeline,
    listing: Listing,
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
    """Start a run whose arguments have been looked at; see :func:`dataflow.run`.

    Args:
        listing: the corpus.
        output: where rows go, and which of the documents are to be done. It is given up, and the listing closed, if
            this raises.
    """
    with contextlib.ExitStack() as stack, contextlib.ExitStack() as undo:
        undo.callback(output.release)
        stack.callback(listing.close)
        documents = listing.corpus
        listing.number(output.numbered)
        if not listing.wait():
            listing.check()
            # no cluster is needed to say that nothing is left
            keeper = output.open(dict, documents)
            undo.pop_all()
            return Run(stack.pop_all(), (), documents, output, keeper, Summary(notes=output.notes))
        temporary_folder()  # it is wanted wherever that will run
        known = {**remembered(pipeline), **(costs or {})}
        cluster = _where(cluster, workers, listing, known)
        if isinstance(cluster, SmallJob) and strategy.cache != "none":
            foretell(STORES)
        waits = not isinstance(cluster, SmallJob) and prepare_cluster(cluster)
        server = begin_server(stack, strategy, redis_url, output.notes)
        # First of all that asks for fingerprints: workers, which ask for nothing else, are to find the same.
        ids, why_not = stage_ids(pipeline, strategy)
        if waits and output.sink is not None:
            foresee(pipeline, ids)  # while what workers are forks of imports Dask
        opened, executor, in_child = _executor(stack, cluster, workers, output.notes)
        ledger = stack.enter_context(scratch_folder("ledger")) if in_child or _is_local(opened) else None
        where = (output.sink, ledger, server, tuple(search_path), namespace)
        plan = plan_for(stack, pipeline, strategy, ids, *where, opened, in_child)
        stack.callback(executor.close)
        listing.foresee(_LISTED_FIRST)
        keeper = _begin(plan, executor, opened, output, documents, recorded)
        undo.pop_all()
        output.notes += _notes(opened, cluster, plan, why_not)
        summary = Summary(uncacheable=None if plan.memo_stages else why_not, notes=output.notes)
        model = CostModel(known)
        stack.callback(_learn, pipeline, model, summary)
        see, mark = _counting(summary, on_batch), summary.mark
        stream = _stream(plan, listing, executor, keeper, see, on_stall, model, mark)
        if plan.memo.on_demand and listing.ends_within(SMALL_CORPUS):
            start_server(server)  # of a small corpus all is kept
        summary.mark("opened")
        started = Run(stack.pop_all(), stream, documents, output, keeper, summary, stream.stop)
        started.dashboard_link = opened.dashboard_link if opened else None
        return started


def _learn(pipeline: Pipeline, model: CostModel, summary: Summary) -> None:
    if not summary.caches:  # what a cache has answered says nothing of what computing takes
        remember(pipeline, model.costs())


def _where(cluster: Any, workers: int | None, listing: Listing, costs: Mapping[str, Cost]) -> Any:
    """What ``auto`` comes to: a small job, or the local cluster."""
    if cluster != "auto":
        return cluster
    small = look_at(listing, CostModel(costs)) if workers is None else None
    return small or "local"


def _is_local(opened: OpenCluster | None) -> bool:
    return opened is not None and opened.local


def _begin(
    plan: Plan,
    executor: Executor,
    opened: OpenCluster | None,
    output: Output,
    documents: Corpus,
    recorded: Mapping[str, Any] | None,
) -> Keeper | None:
    """Make the plan known, and begin the output meanwhile; where that fails, nothing is left of it."""
    if opened:
        forget_runs(output.unfinished_runs, opened.client)
    executor.start(plan)
    leave_template()
    keeper = output.open(lambda: header(plan, documents.name, recorded), documents)
    try:
        executor.ready()
    except BaseException:
        if keeper:
            keeper.finish(complete=False)
        raise
    if keeper and isinstance(executor, InlineExecutor):
        keeper.describe()  # before stages run in this very process, and not while
    return keeper


def _notes(opened: OpenCluster | None, cluster: Any, plan: Plan, why_not: str | None) -> Iterator[str]:
    """What the user should know of where it runs, and of what isn't memoized."""
    yield from opened.notes if opened else ()
    if isinstance(cluster, SmallJob):
        yield str(cluster)
    if why_not and plan.memo_stages:
        yield memoized_up_to(plan.chain, why_not)


def _stream(
    plan: Plan,
    listing: Listing,
    executor: Executor,
    keeper: Keeper | None,
    on_batch: Callable[[BatchResult], None] | None,
    on_stall: Callable[[Stall], None] | None,
    model: CostModel,
    on_mark: Callable[[str], None],
) -> Stream:
    elsewhere = listing.corpus.process_local and not isinstance(executor, InlineExecutor)
    batcher = batcher_for(
        plan.strategy, listing, executor.slots, read_document if elsewhere else None, model=model
    )
    listing.on_news = executor.wake
    return Stream(
        plan,
        batcher,
        executor,
        manifest=keeper,
        on_batch=on_batch,
        on_stall=on_stall,
        on_mark=on_mark,
        all_note=bool(plan.ledger),
        check=listing.check,
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
    stack: contextlib.ExitStack, cluster: Any, workers: int | None, notes: list[str]
) -> tuple[OpenCluster | None, Executor, bool]:
    """The cluster, what runs graphs on it, and whether documents have to run in processes of their own there."""
    if cluster == "inline":
        return None, InlineExecutor(), False
    if isinstance(cluster, SmallJob):
        return None, SmallJobExecutor(cluster, functools.partial(_on_a_cluster, notes)), True
    opened = stack.enter_context(open_cluster(cluster, workers))
    return opened, _on(opened), not opened.nannies and not opened.in_process


def _on_a_cluster(notes: list[str], stack: contextlib.ExitStack) -> Executor | None:
    try:
        opened = stack.enter_context(open_cluster("local"))
    except ClusterError as error:  # who has begun can go on
        notes.append(f"no cluster has taken over what wasn't begun: {one_line(error).rstrip('.')}")
        return None
    seen = f", to be watched at {opened.dashboard_link}" if opened.dashboard_link else ""
    notes.append(f"a cluster has taken over what wasn't begun{seen}")
    return _on(opened)


def _on(opened: OpenCluster) -> Executor:
    # Imported here: a small job has no need of it, and is half done in the time.
    from dataflow.engine.distributing import DaskExecutor

    return DaskExecutor(opened.client, nannies=opened.own, placing=opened.placing)
