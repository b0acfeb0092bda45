"""When nothing moves: which documents the workers are at, for how long, and on which line.

The workers' ledgers say it. A worker that is asked for its stack writes it beside its ledger; one whose
native code holds the interpreter's lock can't, and is named without.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from dataflow.errors import counted
from dataflow.graph.guard import SOMEBODY, Note, ask_for_stacks, innermost_line, read_running
from dataflow.graph.plan import Batch, Plan

__all__ = ["STALL_SECONDS", "Stall", "StallWatch", "worked_on"]

STALL_SECONDS = 30.0
_WRITING_SECONDS = 0.9


@dataclass(frozen=True, slots=True)
class Stall:
    """A document that a worker has been at for long, while nothing else ended.

    Attributes:
        document: its URL.
        stage: the stage's name, ``read`` while it is being read.
        worker: ``host-pid``.
        seconds: since the stage began with it.
        line: ``file:line in function``, or an empty text where the worker couldn't say.
        limit_seconds: when the worker will be ended.
        waiting: where no worker is at any document, the others being empty: how many wait.
        paused: workers that take no more work, since they hold nearly all the memory that they may.
        listing: nothing is left to do, and the corpus doesn't say whether there is another document.
    """

    document: str
    stage: str
    worker: str
    seconds: float
    line: str
    limit_seconds: float
    waiting: int = 0
    paused: tuple[str, ...] = ()
    listing: bool = False

    def __str__(self) -> str:
        if self.listing:
            return (
                f"nothing has moved for {self.seconds:.0f} s: what the corpus has named is done, and it hasn't named "
                "another document, nor ended. If no more will come, stop: what is done is kept"
            )
        if self.paused:
            return (
                f"nothing has moved for {self.seconds:.0f} s: {counted(self.waiting, 'document')} wait, and Dask has "
                f"paused {counted(len(self.paused), 'worker')} for the memory they hold: restart "
                f"{', '.join(self.paused[:4])}, and the run goes on; or start workers with more memory"
            )
        if self.waiting:
            return (
                f"nothing has moved for {self.seconds:.0f} s, and no worker is at a document: "
                f"{counted(self.waiting, 'document')} wait. Look at the dashboard, or stop, and run again with --resume"
            )
        at = f", at {self.line}" if self.line else ""
        return (
            f"nothing has moved for a while: {self.document} is in stage {self.stage} on {self.worker} "
            f"since {self.seconds:.0f} s{at}; its limit is {self.limit_seconds:g} s"
        )


class StallWatch:
    """Looks when nothing has ended for a while, and tells once a standstill.

    Args:
        plan: for the stages' names and the ledger.
        tell: called with each document that is being worked on.
        after_seconds: how long nothing may end.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        plan: Plan,
        tell: Callable[[Stall], None] | None,
        *,
        after_seconds: float = STALL_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._plan, self._tell, self._after, self._clock = plan, tell, after_seconds, clock
        self.moved()

    def moved(self) -> None:
        """Something has ended."""
        self._since, self._asked_at, self._told = self._clock(), math.inf, False

    def idle(self, live: Iterable[Batch], paused: Callable[[], Sequence[str]] = tuple) -> None:
        """Nothing has ended since the last call. Asks for stacks first, and tells at the next call.

        Args:
            live: the batches in flight.
            paused: says which workers take no more work.
        """
        ledger = self._plan.ledger
        if self._tell is None or self._told or self._clock() - self._since < self._after:
            return
        if self._asked_at == math.inf:
            self._asked_at = self._clock()
            if ledger:
                ask_for_stacks(ledger)
        if self._clock() - self._asked_at < _WRITING_SECONDS:
            return  # workers look for it twice a second
        self._told = True
        live = list(live)
        at, workers = worked_on(ledger, live), tuple(paused())
        seconds = self._clock() - self._since
        if not live:
            self._tell(Stall("", "", "", seconds, "", 0.0, listing=True))
        elif workers or (ledger and not at):
            self._tell(Stall("", "", "", seconds, "", 0.0, sum(map(len, live)), workers))
        for url, note in at:
            line = innermost_line(note.stack)
            name = self._plan.stage_names[note.stage]
            self._tell(Stall(url, name, note.worker, note.seconds, line, note.limit_seconds))


def worked_on(ledger: str | None, live: Iterable[Batch]) -> list[tuple[str, Note]]:
    """The documents of batches in flight that some worker is at, or was at when it died, with its note."""
    documents = {(b.number, SOMEBODY): _one_of(b) for b in live}
    documents |= {(b.number, p): d.url for b in live for p, d in zip(b.positions, b.documents, strict=True)}
    notes = read_running(ledger) if ledger else []
    return [(documents[n.batch, n.position], n) for n in notes if (n.batch, n.position) in documents]


def _one_of(batch: Batch) -> str:
    first = batch.documents[0].url
    return first if len(batch) == 1 else f"one of {first} and {len(batch) - 1} more"
