"""From pipeline and strategy to the plan that workers get: what is memoized, under which keys, and where."""

from __future__ import annotations

import contextlib
import os
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING

from dataflow.engine.clusters import OpenCluster
from dataflow.errors import CacheError
from dataflow.graph.plan import Plan
from dataflow.graph.table import Sink
from dataflow.limits import parse_size
from dataflow.pipeline import Pipeline
from dataflow.strategy import Strategy

if TYPE_CHECKING:
    from dataflow.memo.demand import ServerOnDemand
    from dataflow.memo.spec import MemoSpec

__all__ = ["begin_server", "plan_for", "stage_ids", "start_server"]


def begin_server(
    stack: contextlib.ExitStack, strategy: Strategy, redis_url: str | None, notes: list[str]
) -> str | ServerOnDemand | None:
    """What a run's memo is on, if it has a server: its URL, or an embedded one that is started when it is wanted.

    Args:
        stack: where it is stopped.
        notes: where it is said in the end that it couldn't be started.

    Raises:
        CacheError: there is no server program.
    """
    if strategy.cache not in ("redis", "tiered"):
        return None
    from dataflow.memo.demand import ServerOnDemand

    url = redis_url or os.environ.get("REDIS_URL") or None
    if url:
        return url
    server = ServerOnDemand(**strategy.server)
    stack.callback(lambda: notes.extend([_without_server(server)] if server.failure else []))
    stack.callback(server.stop)
    return server


def start_server(server: str | ServerOnDemand | None) -> None:
    """Have what :func:`begin_server` has begun started now, where it is the run's own; it isn't waited for."""
    if server is not None and not isinstance(server, str):
        server.begin()


def _without_server(server: ServerOnDemand) -> str:
    return f"nothing was kept on a server: {server.failure}"


def plan_for(
    stack: contextlib.ExitStack,
    pipeline: Pipeline,
    strategy: Strategy,
    ids: tuple[bytes, ...],
    sink: Sink | None,
    ledger: str | None,
    server: str | ServerOnDemand | None,
    search_path: tuple[str, ...],
    namespace: str,
    opened: OpenCluster | None,
    in_child: bool = False,
) -> Plan:
    """The plan of a run, given the fingerprints of the stages that are memoized: see :func:`stage_ids`.

    Args:
        server: what :func:`begin_server` has begun.

    Raises:
        CacheError: there is no server where one is needed.
    """
    plan = Plan(
        run=secrets.token_hex(4),
        pipeline=pipeline,
        strategy=strategy,
        memo=_memo(stack, strategy if ids else strategy.replace(cache="none"), server, namespace, opened),
        memo_stages=len(ids),
        stage_ids=ids,
        sink=sink,
        ledger=ledger,
        search_path=search_path,
        in_child=in_child,
    )
    if plan.memo.on_demand:  # it is this run's own, and new
        # A process that is alone with it has nobody to agree with on who computes.
        others = opened is not None or in_child
        return replace(plan, untried=True, memo=replace(plan.memo, leases=others))
    return _as_the_server_has_it(plan) if plan.memo.url else plan


def stage_ids(pipeline: Pipeline, strategy: Strategy) -> tuple[tuple[bytes, ...], str | None]:
    """Fingerprints of the stages that a memo would keep, from the first on, and why they end before the last."""
    from dataflow.memo.chain import chain_of

    if strategy.cache == "none":
        return (), None
    chain, why_not = chain_of(pipeline)
    return chain.ids, why_not


def _memo(
    stack: contextlib.ExitStack,
    strategy: Strategy,
    server: str | ServerOnDemand | None,
    namespace: str,
    opened: OpenCluster | None,
) -> MemoSpec:
    from dataflow.memo.secret import cache_secret
    from dataflow.memo.spec import MemoSpec

    if strategy.cache == "none":
        return MemoSpec(kind="none", url=None, secret=b"")
    if server is None or isinstance(server, str):
        url, on_demand = server, None
    else:
        if opened is not None and not opened.local:
            raise CacheError(
                "workers on other machines can't reach an embedded server: set REDIS_URL to one of yours."
            )
        url, on_demand = server.url, str(server.folder)
    spill_url = os.environ.get("DATAFLOW_SPILL_URL") or None
    if spill_url and url:
        stack.callback(_trim, spill_url, _spill_limit())
    return MemoSpec(
        kind=strategy.cache,
        url=url,
        secret=cache_secret(),
        payload=strategy.payload,
        max_bytes=strategy.near_bytes,
        namespace=namespace,
        ttl_seconds=strategy.fresh.ttl_seconds,
        tag=strategy.fresh.tag,
        spill_url=spill_url,
        admission=strategy.admission,
        on_demand=on_demand,
    )


def _as_the_server_has_it(plan: Plan) -> Plan:
    from dataflow.memo.admin import generation_and_marks
    from dataflow.memo.server import PATIENCE_SECONDS

    memo, marks = plan.memo, plan.chain.marks()
    generation, marked = generation_and_marks(memo.url or "", memo.namespace, marks, PATIENCE_SECONDS)
    return replace(plan, memo=replace(memo, generation=generation), untried=not marked)


def _spill_limit() -> int:
    text = os.environ.get("DATAFLOW_SPILL_LIMIT") or "10GiB"
    size = parse_size(text)
    if not size:
        raise CacheError(f"DATAFLOW_SPILL_LIMIT must be a size such as 10GiB, not {text!r}.")
    return size


def _trim(spill_url: str, max_bytes: int) -> None:
    """At a run's end, so that the folder doesn't outgrow what it is worth; it is no run's duty to succeed in it."""
    from dataflow.memo.spill import SpillFolder

    with contextlib.suppress(Exception):
        SpillFolder(spill_url).trim(max_bytes)
