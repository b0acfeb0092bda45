"""The failure ladder: what is tried when a batch is lost with its worker.

Blame by the ledger where there is one, else halving; a suspect alone goes to a sandbox process, whose
verdict is final. The innocent neighbours are run again and come out as they would have.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from dataflow.graph.guard import NOBODY, SOMEBODY, read_blame, was_at
from dataflow.graph.plan import Batch
from dataflow.graph.sandbox import quarantined
from dataflow.outcome import FAILED, Outcome

__all__ = ["Ladder", "Rescue"]

_ALWAYS = "its worker died each time, around the sandbox process that it ran in"
# Times that a batch may be lost with nobody to blame, before it is halved: where it only waited, and where its
# documents were the last that its worker was at, one of which may have broken it for good, or left something running.
_PATIENCE, _SUSPICION = 20, 1


@dataclass(slots=True)
class Rescue:
    """What becomes of a lost batch: batches to run, and outcomes that are final."""

    batches: list[Batch] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)


class Ladder:
    """Decides what is tried next.

    Args:
        bisect: when false, a lost batch is quarantined whole, unless it is known to have only waited.
        ledger: the folder in which workers note where they are, or ``None``.
        all_note: every worker does; so a lost batch that nobody noted was only waiting.
        number: gives a batch number that nobody had.
    """

    def __init__(
        self, *, bisect: bool, ledger: str | None, all_note: bool, number: Callable[[], int]
    ) -> None:
        self._bisect, self._ledger, self._number = bisect, ledger, number
        self._patience = _PATIENCE if all_note else 0
        self._unlucky: dict[int, int] = {}  # position of a batch's first document -> times lost without blame

    def lost(self, batch: Batch, reason: str) -> Rescue:
        """A batch whose worker died."""
        if not self._bisect:
            blamed = self._blamed(batch) - (set() if self._overran(batch) else {SOMEBODY})
            if blamed.isdisjoint((*batch.positions, SOMEBODY)) and self._again(batch):
                return Rescue([self._part(batch, range(len(batch)), begun=False)])
            return Rescue(outcomes=[quarantined(batch, i, "WorkerDied", reason) for i in range(len(batch))])
        if batch.isolated:  # the worker around the sandbox died: that was another's doing
            if not self._again(batch):
                return Rescue(
                    outcomes=[quarantined(batch, i, "WorkerDied", _ALWAYS) for i in range(len(batch))]
                )
            return Rescue([self._part(batch, range(len(batch)), isolated=True, begun=False)])
        blamed = self._blamed(batch)
        if not blamed.isdisjoint((NOBODY, SOMEBODY)):  # it was noticed when all were through their stages
            return Rescue(self._halves(batch))
        suspects = [i for i, position in enumerate(batch.positions) if position in blamed]
        if suspects:
            rest = [i for i in range(len(batch)) if i not in suspects]
            batches = [self._part(batch, [i], isolated=True) for i in suspects]
            return Rescue(batches + ([self._part(batch, rest, begun=False)] if rest else []))
        if self._again(batch):
            # Nobody was at it: it waited on a worker that another batch ended, or was just done.
            return Rescue([self._part(batch, range(len(batch)), begun=False)])
        return Rescue(self._halves(batch))

    def again(self, batch: Batch) -> Rescue:
        """A batch that was taken from its worker, and is to blame for nothing."""
        return Rescue([self._part(batch, range(len(batch)), isolated=batch.isolated, begun=False)])

    def failed(self, batch: Batch, error_type: str, reason: str) -> Rescue:
        """A batch that raised as a whole: a result that can't be sent, a value that can't be written."""
        if len(batch) > 1 and self._bisect:
            return Rescue(self._halves(batch))
        outcomes = [quarantined(batch, i, error_type, reason) for i in range(len(batch))]
        return Rescue(outcomes=[_as_failed(o) for o in outcomes])

    def _again(self, batch: Batch) -> bool:
        """Count one more loss that wasn't the batch's own doing, and say whether it may be tried again."""
        losses = self._unlucky.get(batch.positions[0], 0)
        self._unlucky[batch.positions[0]] = losses + 1
        if batch.isolated:
            return losses < _PATIENCE
        suspect = self._bisect and self._ledger is not None and was_at(self._ledger, batch.number)
        return losses < (min(_SUSPICION, self._patience) if suspect else self._patience)

    def _blamed(self, batch: Batch) -> set[int]:
        return {b.position for b in read_blame(self._ledger, batch.number)} if self._ledger else set()

    def _overran(self, batch: Batch) -> bool:
        """Whether its process was ended for it, and not for what another thread of it was at."""
        return any(note.overran for note in read_blame(self._ledger, batch.number)) if self._ledger else False

    def _halves(self, batch: Batch) -> list[Batch]:
        if len(batch) == 1:
            return [self._part(batch, [0], isolated=True)]
        middle = len(batch) // 2
        return [self._part(batch, range(middle)), self._part(batch, range(middle, len(batch)))]

    def _part(
        self, batch: Batch, indices: range | list[int], *, isolated: bool = False, begun: bool = True
    ) -> Batch:
        return batch.part(self._number(), list(indices), isolated=isolated, begun=begun)


def _as_failed(outcome: Outcome) -> Outcome:
    import dataclasses

    return dataclasses.replace(outcome, status=FAILED)
