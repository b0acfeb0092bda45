"""Which documents of a batch the memo is asked for, and what the batch teaches about whether that pays."""

from __future__ import annotations

from collections.abc import Sequence

from dataflow.graph import steps
from dataflow.graph.plan import Plan, admission_of
from dataflow.graph.work import Item, Work
from dataflow.outcome import OK

__all__ = ["admit", "observe", "worth"]

_TOO_CHEAP_SECONDS = 1e-5
_NONE_DEAR_SECONDS = 1e-4


def admit(plan: Plan, work: Work) -> None:
    """Say of which documents the memo is asked: not of kinds for which it doesn't pay, unless the corpus is small."""
    if not plan.memo_stages:
        return
    if work.batch.small:
        work.memoized = True
        return
    kinds = work.kinds()
    admission = admission_of(plan)
    asked, dear = admission.asks(kinds), admission.dear.known or set()
    bypassed = len(work.items) - sum(asked.values())
    if bypassed and (dear or bypassed < len(work.items)):
        for item in work.items:
            kind = item.document.media_type
            item.bypassed = not asked[kind] and item.document.url not in dear
            asked[kind] -= asked[kind] > 0
        bypassed = sum([item.bypassed for item in work.items])
    work.memoized = bypassed < len(work.items)
    if bypassed:
        steps.count(work, "bypassed", bypassed)


def observe(plan: Plan, work: Work, stored: int, store_seconds: float, dearest_seconds: float) -> None:
    """Learn from a batch that is done: how many documents were stored, and what that took."""
    mean = None if work.memoized else _mean_of_cheap(plan, work, dearest_seconds)
    asked = len(work.items) - int(work.counters.get("bypassed", 0)) if work.looked_up else 0
    admission_of(plan).observe(
        looked_up=asked,
        lookup_seconds=work.node_seconds.get("lookup", 0.0) + work.counters.get("digest_seconds", 0.0),
        stored=stored,
        store_seconds=store_seconds,
        compute_seconds=_worth(plan, work) if mean is None else {},
        alike={} if mean is None else {kind: (number, mean) for kind, number in work.kinds().items()},
        stage_seconds={} if work.recalled or not work.memoized else _stage_means(plan, work.items),
    )


def _mean_of_cheap(plan: Plan, work: Work, dearest_seconds: float) -> float | None:
    """What one of a batch's documents takes in the mean; ``None`` where one may have taken more than asking for all
    does, so that each has to be looked at.
    """
    names = ("probe", *plan.chain.names) if plan.fresh.by_stat else plan.chain.names
    mean = sum(work.node_seconds.get(name, 0.0) for name in names) / max(1, len(work.items))
    return mean if mean < _TOO_CHEAP_SECONDS or dearest_seconds < _NONE_DEAR_SECONDS else None


def _worth(plan: Plan, work: Work) -> dict[str, list[float]]:
    """By kind, the seconds that computing each document takes, or took when it was kept."""
    names, saves_reading, items = plan.chain.names, plan.fresh.by_stat, work.items
    found: dict[str, list[float]] = {item.document.media_type: [] for item in items}
    for item in items:
        if item.twin is None:
            found[item.document.media_type].append(worth(item, names, saves_reading))
    return found


def worth(item: Item, names: Sequence[str], saves_reading: bool) -> float:
    """Seconds that computing a document takes: what it took now, with reading it where that is saved too, and what was
    recalled of it took when it was kept.
    """
    own = item.stage_seconds
    read = own.get("read", 0.0) if saves_reading else 0.0
    return item.recalled_seconds + read + sum([own[name] for name in names if name in own])


def _stage_means(plan: Plan, items: Sequence[Item]) -> dict[str, float]:
    means = {}
    for name in plan.chain.names:
        own = [i.stage_seconds[name] for i in items if name in i.stage_seconds and i.status == OK]
        if own:
            means[name] = sum(own) / len(own)
    return means
