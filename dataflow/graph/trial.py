"""A few documents first, where the memo can't have any yet: whether it pays to ask for the others, and to keep them.

Of a kind that nothing is known of, the memo is asked for a whole batch, so that a warm run finds everything in one
round trip. Where a pipeline has never kept anything, there is nothing to be found: a process's first batch goes in
pieces, and what the first documents take says whether the memo has to do with the next. What a pipeline has kept
something by is marked in the memo, a key a stage; that one was evicted costs the round trips of those pieces.
"""

from __future__ import annotations

from collections.abc import Iterator

from dataflow.graph.plan import Plan, admission_of, learnt_earlier
from dataflow.graph.work import Work
from dataflow.memo.base import Entry, Found
from dataflow.memo.spec import open_memo

__all__ = ["marks_of", "pieces"]

_FIRST_DOCUMENTS = 8


def pieces(plan: Plan, work: Work) -> Iterator[Work]:
    """The batch in pieces, of each of which it is then seen whether the memo is asked; mostly in one."""
    if not plan.memo_stages or work.batch.small or _has_begun(plan, work) or _was_learnt(plan, work):
        yield work
        return
    size = _FIRST_DOCUMENTS
    while len(work.items) > 2 * size:
        first, work = work.divided(size)
        yield first
        size *= 2
    yield work


def _has_begun(plan: Plan, work: Work) -> bool:
    """Whether something is known of all kinds of its documents, or may be in the memo."""
    return admission_of(plan).knows(work.kinds()) or not _is_untried(plan)


def _was_learnt(plan: Plan, work: Work) -> bool:
    """Whether an earlier run of the same code has seen all kinds of its documents in this process: it needn't be tried.

    Only here, where nothing was kept: else the memo may have a list of documents that are dear (`dear`).
    """
    earlier = learnt_earlier(plan)
    if earlier:
        admission_of(plan).begin_with(earlier)
    return earlier is not None and earlier.knows(work.kinds())


def _is_untried(plan: Plan) -> bool:
    """Whether no stage has kept anything; what no other process sees is asked here, and not by the driver."""
    if plan.untried is not None:
        return plan.untried
    return not any(isinstance(answer, Found) for answer in open_memo(plan.memo).lookup(plan.chain.marks()))


def marks_of(plan: Plan, epoch: bytes) -> list[Entry]:
    """What is kept together with the first values that a process keeps in a run."""
    admission = admission_of(plan)
    if admission.marked:
        return []
    admission.marked = True
    return [Entry(key, True, 0.0, epoch, near=plan.untried is None) for key in plan.chain.marks()]
