"""What the lookup, compute and store nodes ask of the memo.

Round trips of a batch. All documents known: one. Otherwise one more for the claims of what is to be computed; with
``stat``, one more for the documents that changed, by their content; where a pipeline has several memoized stages,
one or two a stage, to take up after the last one whose result is known; and one for storing.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from dataflow.errors import one_line
from dataflow.graph import dear, steps
from dataflow.graph.admit import observe
from dataflow.graph.plan import Plan, admission_of
from dataflow.graph.retain import entry_of, input_digest, keep_link, store
from dataflow.graph.turns import Turns
from dataflow.graph.work import Item, Work
from dataflow.memo.base import LOST, WON, Found, Memo, Missed, tapped
from dataflow.memo.codecs import Encoded, Failure, Link, encode_value
from dataflow.memo.keys import Key, Uncacheable, digest
from dataflow.memo.spec import open_memo
from dataflow.memo.states import state_of, unchanged
from dataflow.outcome import OK

__all__ = ["costs", "keep", "note_content", "prepare", "recall", "resume", "settle"]

_NOBODY_SAID = bytes(20)
# Counted a document here, and not a key as the memo has them.
_COUNTED = ("hits", "misses", "lookups", "stores", "stored", "bytes_read", "compute_seconds_saved")
_OWN_NAMES = {"lookup_seconds": "memo_lookup_seconds", "store_seconds": "memo_store_seconds"}


def prepare(plan: Plan, work: Work) -> list[Item]:
    """Set what the documents are asked for by before they are read; those that need to be read now."""
    if not work.memoized or not plan.fresh.by_stat or work.batch.isolated or work.batch.payloads:
        return work.items
    bounded = plan.fresh.ttl_seconds is not None or plan.fresh.tag is not None
    now, key_of = time.time(), plan.chain.state_keys()
    unread: list[Item] = []
    for item in work.items:
        if item.bypassed:
            unread.append(item)
            continue
        state, why_not = state_of(item.document, bounded, now)
        if state:
            item.state_key = key_of(item.document, state)
        else:
            steps.count(work, f"stat_{why_not}", 1)
            unread.append(item)
    return unread


def note_content(plan: Plan, work: Work, item: Item) -> None:
    """Digest a document that was just read."""
    known = item.bypassed or item.digest is not None
    if work.memoized and not known and item.status == OK and item.size_bytes is not None:
        item.digest = digest(item.value)


def recall(plan: Plan, work: Work) -> None:
    """Ask for the value of the whole chain, by state and then by content, and claim what nobody has."""
    with _memo(plan, work) as memo:
        by_state = [item for item in work.items if item.state_key and item.status == OK]
        _ask(plan, work, memo, by_state, by_content=False)
        work.recalled = all(item.cache is not None for item in work.items)
        if work.recalled:
            work.looked_up = True
            return
        unread = [item for item in by_state if item.cache is None and item.status == OK and item.twin is None]
        _read(plan, work, unread)
        by_content = [
            i for i in work.items if i.digest and i.cache is None and i.status == OK and i.twin is None
        ]
        for item in by_content:
            item.key = plan.chain.full(item.document, item.digest or b"")
        _ask(plan, work, memo, by_content, by_content=True)
        _claim(plan, work, memo, [i for i in by_content if i.cache is None and i.twin is None])
        # What was found by content though its state is new has to be kept by the new state too.
        work.recalled = all(i.cache is not None and i.state_key is None for i in work.items)
    work.looked_up = True


def resume(plan: Plan, work: Work, index: int) -> None:
    """Before a stage runs: ask for its value by the digest of what goes into it."""
    if not _has_steps(plan, work):
        return
    if plan.pipeline.stages[index].streams and index + 1 < plan.memo_stages:
        return  # an iterator is never kept
    if not (work.batch.small or admission_of(plan).step(plan.chain.names[index])):
        return
    waiting = [item for item in work.items if _waits_for(item, index)]
    if not waiting:
        return
    keys = [_step_key(plan, item, index) for item in waiting]
    with steps.timed(work, "lookup"), _memo(plan, work) as memo:
        for item, answer in zip(waiting, _followed(memo, keys), strict=True):
            if not isinstance(answer, Found) or isinstance(answer.value, Failure):
                continue
            if index + 1 == plan.memo_stages:
                keep_link(plan, item, index, answer.compute_seconds)
            item.value, item.stage, item.result_digest = answer.value, index + 1, answer.digest
            item.recalled_seconds += answer.compute_seconds
            steps.count(work, f"recalled_{plan.chain.names[index]}", 1)
            steps.count(work, "compute_seconds_saved", answer.compute_seconds)


def keep(plan: Plan, work: Work, item: Item, index: int) -> None:
    """After a stage ran: note its result's digest, which keys the next stage, and the result itself."""
    if not _has_steps(plan, work) or item.bypassed or item.stage != index + 1 or item.status != OK:
        return
    seconds = item.stage_seconds[plan.chain.names[index]]
    if index + 1 == plan.memo_stages:
        keep_link(plan, item, index, seconds)
        return
    before, item.result_digest = input_digest(item, index), None
    admission, rest = admission_of(plan), plan.chain.names[index + 1 :]
    own = work.batch.small or admission.step(plan.chain.names[index], seconds)
    if not own and not any(admission.step(name) for name in rest):
        return
    started = time.perf_counter()
    _keep_step(plan, work, item, index, before if own else None)
    steps.move_seconds(work, plan.chain.names[index], "store", time.perf_counter() - started)


def _keep_step(plan: Plan, work: Work, item: Item, index: int, before: bytes | None) -> None:
    """Digest a stage's result; and keep it, where the digest of what it was made of is given."""
    try:
        # Encoded now: a later stage may change the value in place.
        encoded = Encoded(*encode_value(item.value))
    except Uncacheable as error:
        steps.count(work, "uncacheable", 1)
        steps.count(work, f"uncacheable_{one_line(error).rstrip('.')}", 1)
        return
    item.result_digest = encoded.digest
    if before:
        key, names = plan.chain.step(index, item.document, before), plan.chain.names[index : index + 1]
        seconds = item.stage_seconds[names[0]]
        item.steps.append(entry_of(item, key, encoded, seconds, names, near=False))


def settle(plan: Plan, work: Work) -> None:
    """Store what was computed; then take what other workers computed meanwhile, or compute it after all."""
    if not plan.memo_stages:
        return
    encoding = work.node_seconds.get("store", 0.0)  # what stages gave besides the last, when they gave it
    stored, store_seconds = _settled(plan, work) if work.looked_up and not work.recalled else (0, 0.0)
    dearest = work.dearest_seconds()
    observe(plan, work, stored, encoding + store_seconds, dearest)
    fresh, spent = dear.to_note(plan, work, dearest)
    if fresh or spent:
        with _memo(plan, work) as memo:
            dear.note(plan, memo, fresh, spent)


def _settled(plan: Plan, work: Work) -> tuple[int, float]:
    with _memo(plan, work) as memo:
        try:
            stored, seconds = store(plan, work, memo, [i for i in work.items if not i.lost])
        finally:  # whoever waits for them has to know, whatever happened
            memo.release([i.key for i in work.items if i.claimed and i.key])
        lost = [item for item in work.items if item.lost]
        if lost:
            _share(plan, work, memo, lost)
    return stored, seconds


def costs(work: Work) -> dict[str, float]:
    """What the memo took of a batch, as counters that :func:`dataflow.memo.admin.net_seconds_saved` reads."""
    nodes, waited = work.node_seconds, work.counters.get("lease_wait_seconds", 0.0)
    return {
        "lookup_seconds": nodes.get("lookup", 0.0),
        "store_seconds": max(0.0, nodes.get("store", 0.0) - waited),
    }


def _share(plan: Plan, work: Work, memo: Memo, lost: Sequence[Item]) -> None:
    keys = [item.key or b"" for item in lost]
    answers = memo.wait(keys)
    won = [key for key, answer in zip(keys, answers, strict=True) if answer is WON]
    try:
        for item, answer in zip(lost, _links_followed(memo, keys, answers), strict=True):
            item.lost = False
            if isinstance(answer, Found) and _take(plan, work, item, answer):
                continue
            while item.stage < plan.memo_stages and item.status == OK:
                _compute(plan, work, item, item.stage)
        store(plan, work, memo, lost)
    finally:
        memo.release(won)


def _compute(plan: Plan, work: Work, item: Item, index: int) -> None:
    """Run a stage after all; the time is the stage's, and not the store node's."""
    started, name = time.perf_counter(), plan.chain.names[index]
    with Turns(plan, work.batch.number) as turns:
        others = steps.run_stage(turns, item, index)
    steps.move_seconds(work, "store", name, time.perf_counter() - started)
    for other, seconds in others.items():
        steps.move_seconds(work, name, other, seconds)


def _ask(plan: Plan, work: Work, memo: Memo, items: Sequence[Item], *, by_content: bool) -> None:
    """Look up documents that have no value yet, equal ones once."""
    keys = [(item.key if by_content else item.state_key) or b"" for item in items]
    first_of = dict(zip(reversed(keys), reversed(items), strict=True))
    if not first_of:
        return
    if len(first_of) < len(keys):
        places = {id(item): index for index, item in enumerate(work.items)}
        for item, key in zip(items, keys, strict=True):
            if first_of[key] is not item:
                item.twin = places[id(first_of[key])]
    taken: list[Found] = []
    answers = _followed(memo, [*first_of, *dear.due(plan)])
    dear.take(plan, answers[len(first_of) :])
    for item, answer in zip(first_of.values(), answers, strict=False):
        if type(answer) is Found and _took(plan, item, answer):
            taken.append(answer)
            continue
        if isinstance(answer, Missed):
            item.epoch = item.epoch or answer.epoch
            # A document that is asked for by content next has not been missed yet.
            steps.count(work, f"misses_{answer.reason}" if by_content else f"stat_{answer.reason}", 1)
        else:
            steps.count(work, "misses_failure", 1)
    _count_hits(work, taken)


def _count_hits(work: Work, taken: Sequence[Found]) -> None:
    for tier, number in Counter(answer.tier for answer in taken).items():
        steps.count(work, f"hits_{tier}", number)
    if taken:
        steps.count(work, "bytes_read", sum(answer.blob_bytes for answer in taken))
        steps.count(work, "compute_seconds_saved", sum(answer.compute_seconds for answer in taken))


def _take(plan: Plan, work: Work, item: Item, answer: Found) -> bool:
    """Take one answer and count it."""
    if not _took(plan, item, answer):
        return False
    _count_hits(work, [answer])
    return True


def _took(plan: Plan, item: Item, answer: Found) -> bool:
    """Make a kept value, or a kept failure, the document's; not a failure that its stage no longer stands by."""
    value = answer.value
    if isinstance(value, Failure):
        if not any(s.name == value.stage and s.cache_errors for s in plan.pipeline.stages):
            return False
        item.fail(value.error_type, value.error)
    else:
        item.value, item.stage = value, plan.memo_stages
    item.cache = answer.tier
    if item.digest is None and answer.input_digest != _NOBODY_SAID:
        item.digest = answer.input_digest
    item.recalled_seconds = answer.compute_seconds
    return True


def _read(plan: Plan, work: Work, items: Sequence[Item]) -> None:
    """Read what the state didn't answer; the time is the probe's."""
    if not items:
        return
    started = time.perf_counter()
    with Turns(plan, work.batch.number) as turns:
        for item in items:
            steps.read(turns, work, item, None)
    for item in items:
        with_digest = time.perf_counter()
        note_content(plan, work, item)
        steps.count(work, "digest_seconds", time.perf_counter() - with_digest)
        if item.status == OK and not unchanged(item.document):
            item.state_key = None
            steps.count(work, "stat_changed", 1)
    steps.move_seconds(work, "lookup", "probe", time.perf_counter() - started)


def _claim(plan: Plan, work: Work, memo: Memo, items: Sequence[Item]) -> None:
    if not plan.memo.leases:
        return
    admission = admission_of(plan)
    pays = {kind: admission.claims(kind) for kind in {item.document.media_type for item in items}}
    items = [item for item in items if pays[item.document.media_type]]
    if not items:
        return
    keys = [item.key or b"" for item in items]
    for item, answer in zip(items, memo.claim(keys), strict=True):
        if isinstance(answer, Found):
            (followed,) = _links_followed(memo, [item.key or b""], [answer])
            if isinstance(followed, Found):
                _take(plan, work, item, followed)
        else:
            item.claimed, item.lost = answer is WON, answer is LOST


def _followed(memo: Memo, keys: Sequence[Key]) -> list[Found | Missed]:
    return _links_followed(memo, keys, memo.lookup(keys))


def _links_followed(memo: Memo, keys: Sequence[Key], answers: Sequence[Any]) -> list[Any]:
    """The answers, with links replaced by what they point to: one round trip more, where there are any.

    A value may have been kept for those who don't even read the document, or for all its stages at once: what
    is saved by coming through a link is what the link says.
    """
    results = list(answers)
    links = [(i, a) for i, a in enumerate(answers) if isinstance(a, Found) and isinstance(a.value, Link)]
    if links:
        for (i, link), answer in zip(links, memo.lookup([a.value.key for _, a in links]), strict=True):
            if isinstance(answer, Found):
                dead_end = isinstance(answer.value, Link)
                results[i] = (
                    Missed("new") if dead_end else replace(answer, compute_seconds=link.compute_seconds)
                )
            else:
                results[i] = answer
    return results


def _has_steps(plan: Plan, work: Work) -> bool:
    return work.looked_up and plan.memo_stages > 1


def _waits_for(item: Item, index: int) -> bool:
    ready = item.status == OK and item.stage == index and item.twin is None and not item.lost
    return ready and input_digest(item, index) is not None


def _step_key(plan: Plan, item: Item, index: int) -> Key:
    return plan.chain.step(index, item.document, input_digest(item, index) or b"")


@contextlib.contextmanager
def _memo(plan: Plan, work: Work) -> Iterator[Memo]:
    """The process's memo; what it counts in the block goes to the batch's counters."""
    with tapped() as numbers:
        yield open_memo(plan.memo)
    for name, number in numbers.items():
        if name not in _COUNTED and not name.startswith(("hits_", "misses_")):
            steps.count(work, _OWN_NAMES.get(name, name), number)
