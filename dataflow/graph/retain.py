"""What of a batch is given to the memo: values, links to them, stages' own results, and records."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from itertools import compress

from dataflow.graph import steps
from dataflow.graph.admit import worth
from dataflow.graph.files import is_as_digested
from dataflow.graph.plan import Plan, admission_of
from dataflow.graph.trial import marks_of
from dataflow.graph.work import Item, Work
from dataflow.memo.base import Entry, Memo
from dataflow.memo.chain import marks
from dataflow.memo.codecs import Failure, Link
from dataflow.memo.keys import Key
from dataflow.memo.records import record_of
from dataflow.outcome import FAILED, OK

__all__ = ["entry_of", "input_digest", "keep_link", "store"]


def store(plan: Plan, work: Work, memo: Memo, items: Sequence[Item]) -> tuple[int, float]:
    """Keep values, links, steps and records, in one round trip; how many documents, and the seconds."""
    started = time.perf_counter()
    values: list[Entry] = []
    extras: list[Entry] = []
    made = [(item, entries) for item in items if (entries := _values(plan, item))]
    current = [(item, entries) for item, entries in made if _is_current(plan, work, item)]
    for item, entries in _kept(plan, work, current):
        values.append(entries[0])
        extras += [*entries[1:], *item.steps]
        if memo.shared:
            extras.append(_record(plan, item, entries[0].key))
    for item in items:
        if item.status == FAILED and item.steps and not item.lasting and _is_current(plan, work, item):
            extras += item.steps  # of the stages before the one that it failed in, which may be mended
    if not values and not extras:
        return 0, 0.0
    extras += marks_of(plan, [*values, *extras][0].epoch)
    kept = min(len(values), max(0, memo.store([*values, *extras]) - len(extras)))
    steps.count(work, "stored", kept)
    steps.count(work, "not_stored", len(values) - kept)
    return len(values), time.perf_counter() - started


def _kept(
    plan: Plan, work: Work, candidates: Sequence[tuple[Item, list[Entry]]]
) -> Iterable[tuple[Item, list[Entry]]]:
    """Those that are worth it; of a small corpus all."""
    if work.batch.small:
        return candidates
    names, saves_reading = plan.chain.names, plan.fresh.by_stat
    worths = [(item.document.media_type, worth(item, names, saves_reading)) for item, _ in candidates]
    return compress(candidates, admission_of(plan).keeps(worths))


def _values(plan: Plan, item: Item) -> list[Entry]:
    """What is to be kept of a document: its value or lasting failure, by state and by content."""
    if item.key is None or item.twin is not None:
        return []
    names, value, life = plan.chain.names, item.value, None
    if item.status == FAILED and item.lasting and item.cache is None:
        value = Failure(item.error_type or "", item.error or "", names[min(item.stage, len(names) - 1)])
        life = plan.memo.failure_seconds
    elif item.status != OK or item.stage < plan.memo_stages:
        return []
    computed = item.recalled_seconds + sum(item.stage_seconds.get(name, 0.0) for name in names)
    if item.state_key is None:
        return [] if item.cache else [entry_of(item, item.key, value, computed, names, ttl_seconds=life)]
    # Found by content although the state was new: kept by the new state too, so that it needn't be read again.
    # Only who finds it by state is spared reading it; the link says what the others are spared.
    seconds = computed + item.stage_seconds.get("read", 0.0)
    kept = entry_of(item, item.state_key, value, seconds, names, ttl_seconds=life)
    return [kept, entry_of(item, item.key, Link(item.state_key), computed, names, near=False)]


def entry_of(
    item: Item,
    key: Key,
    value: object,
    seconds: float,
    names: tuple[str, ...],
    *,
    near: bool = True,
    ttl_seconds: float | None = None,
    about: Key | None = None,
) -> Entry:
    """What is kept under a key, with what is known of the document that it was made of."""
    source = item.digest or bytes(20)
    return Entry(key, value, seconds, item.epoch, source, marks(names), ttl_seconds, near, about)


def _is_current(plan: Plan, work: Work, item: Item) -> bool:
    """Whether a value is of what was digested: a document that is taken open was read twice, one after the other."""
    if plan.pipeline.takes_file and item.cache is None and not work.batch.payloads:
        item.changed = not is_as_digested(item)
    return not item.changed


def _record(plan: Plan, item: Item, holder: Key) -> Entry:
    key = plan.chain.record(item.document.url)
    value = record_of(plan.chain, item.document, item.digest or b"", item.epoch, holder)
    return entry_of(item, key, value, 0.0, plan.chain.names, near=False, about=holder)


def keep_link(plan: Plan, item: Item, index: int, seconds: float) -> None:
    """The last stage's value is kept by the whole chain's key; by its own there is a link to it.

    ``seconds`` is what this stage alone took.
    """
    before = input_digest(item, index)
    holder = item.state_key or item.key
    if before and holder:
        key = plan.chain.step(index, item.document, before)
        item.steps.append(entry_of(item, key, Link(holder), seconds, plan.chain.names[-1:], near=False))


def input_digest(item: Item, index: int) -> bytes | None:
    """What a stage's own key is made of: the digest of the document, or of the result before."""
    return item.digest if index == 0 else item.result_digest
