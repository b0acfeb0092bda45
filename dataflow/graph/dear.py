"""Documents that are dear though their kind is cheap: noted, so that the next run asks the memo for them.

Of a kind that doesn't pay, batches go by the memo, and that one of their documents is dear is known when it is done. No
process remembers that: each begins anew with each run, and meets others of them first. So the memo keeps a list of
those that are few among many, a chain of stages; a process asks for it together with the first documents that it asks
for. Whoever adds to it at the same time as another may undo what that one has added, which is found out again when the
document is met next.
"""

from __future__ import annotations

from collections.abc import Sequence

from dataflow.graph.admit import worth
from dataflow.graph.plan import Plan, admission_of
from dataflow.graph.trial import marks_of
from dataflow.graph.work import Work
from dataflow.memo.admission import Dear
from dataflow.memo.base import Entry, Found, Memo, Missed
from dataflow.memo.keys import Key
from dataflow.outcome import OK

__all__ = ["due", "note", "take", "to_note"]

_DEAR_SECONDS = 0.01  # a processor that is shared with others takes less of a cheap document's time
_CHEAP_SECONDS = 1e-4  # in the mean: of what takes longer, all are asked for
_FEW = 0.1  # of all that were seen: where more of them are dear, each process finds out soon that their kind pays
_MOST = 4096


def due(plan: Plan) -> list[Key]:
    """The list's key, where this process hasn't asked for it in this run."""
    return [_key(plan, "list")] if admission_of(plan).dear.known is None else []


def take(plan: Plan, answers: Sequence[Found | Missed]) -> None:
    """Take the answer to what was due."""
    for answer in answers:
        admission_of(plan).dear.known = _listed(answer)


def to_note(plan: Plan, work: Work, dearest_seconds: float) -> tuple[set[str], set[str]]:
    """See a batch that is done: which documents now belong in the list and aren't in it; and which the other way round.

    The first to be seen may be the dearest, so it takes some batches until it is known that these are few.
    """
    dear, names = admission_of(plan).dear, plan.chain.names
    known = dear.known or set()
    dear.seen += len(work.items)
    spent = set[str]()
    if known or dearest_seconds >= _DEAR_SECONDS:
        for item in work.items:
            if item.status != OK or item.twin is not None:
                continue
            seconds, url = worth(item, names, plan.fresh.by_stat), item.document.url
            kind = item.document.media_type
            if seconds < _DEAR_SECONDS:
                count, total = dear.others.get(kind, (0, 0.0))
                dear.others[kind] = count + 1, total + seconds
                if url in known and seconds < _DEAR_SECONDS / 2:
                    spent.add(url)
            elif url not in known and len(dear.met) <= _MOST:
                dear.met[url] = kind
    few = len(dear.met) <= min(_MOST, _FEW * dear.seen)
    return {url for url, kind in dear.met.copy().items() if _is_cheap(dear, kind)} if few else set(), spent


def _is_cheap(dear: Dear, kind: str) -> bool:
    """Whether documents of a kind are, but for the dear ones."""
    count, seconds = dear.others.get(kind, (0, 0.0))
    return seconds < _CHEAP_SECONDS * count


def note(plan: Plan, memo: Memo, fresh: set[str], spent: set[str]) -> None:
    """Change the list: others may have changed it since it was asked for."""
    dear, key = admission_of(plan).dear, _key(plan, "list")
    answer, never = memo.lookup([key, _key(plan, "epoch")])
    listed = ((dear.known or set()) | _listed(answer) | fresh) - spent
    dear.known = set(sorted(listed)[:_MOST])
    dear.met = {url: kind for url, kind in dear.met.copy().items() if url not in fresh}
    epoch = never.epoch if isinstance(never, Missed) else b""
    memo.store([Entry(key, sorted(dear.known), 0.0, epoch, near=False), *marks_of(plan, epoch)])


def _key(plan: Plan, what: str) -> Key:
    return plan.chain.beside("dear", what)


def _listed(answer: Found | Missed) -> set[str]:
    value = answer.value if isinstance(answer, Found) else []
    return set(value) if isinstance(value, list) else set()
