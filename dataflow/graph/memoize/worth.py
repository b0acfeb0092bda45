"""Which nodes are worth asking the memo for: learnt while running, by the names of a node's functions.

Nodes are looked up one by one, so a look-up costs a round trip, and most tasks of a graph take less. A name whose
tasks cost more to look up and store than they take may lose a few milliseconds a process; then its tasks run
as if there were no memo, and are only timed. When they take longer again, they are asked for again.

The mean says little of a name whose tasks are mostly cheap and now and then dear. So a name may always lose a
tenth of what its costliest task took, and what that was is told to other processes through the memo.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

from dataflow.memo.base import Entry, Found, Memo
from dataflow.memo.keys import digest, encode, memo_key
from dataflow.memo.spec import MemoSpec

__all__ = ["BUDGET_SECONDS", "Spent", "Worth", "worth_of"]

BUDGET_SECONDS = 0.005
_SHARE = 0.1  # of the costliest task
_REUSE = 2.0  # how often a value is expected to be asked for again
_MEMORY = 32  # nodes
_FEW = 4
_UNUSUAL = 8.0  # times the mean
_CLAIM_FROM_SECONDS = 0.005


@dataclass(slots=True)
class Spent:
    """What one node took, in seconds.

    Attributes:
        compute: running the task, now or when its value was stored.
        lookup: the key and the look-up.
        store: storing; ``None`` where nothing was to be stored.
        kept: whether its value could be kept.
    """

    compute: float
    lookup: float
    store: float | None = None
    kept: bool = True


@dataclass(slots=True)
class _Figures:
    seen: int = 0
    asked: int = 0
    compute: float = 0.0
    lookup: float = 0.0
    store: float = 0.0
    kept: float = 1.0
    lost: float = 0.0
    costliest: float = 0.0
    told: float = 0.0
    heard: bool = False

    def pays(self) -> bool:
        return _REUSE * (self.kept * self.compute - self.lookup) > self.store

    def untold(self) -> bool:
        return _SHARE * self.costliest > BUDGET_SECONDS and self.costliest > 2 * self.told


class Worth:
    """What one process has learnt of the nodes of one memo; safe among threads.

    Args:
        enabled: when false, every node is asked for.
    """

    def __init__(self, enabled: bool = True) -> None:
        self._enabled = enabled
        self._lock = threading.Lock()
        self._figures: dict[str, _Figures] = {}
        self._warm = False

    def asks(self, name: str) -> bool:
        """Whether a node of this name should be looked up."""
        known = self._figures.get(name)
        if known is None or not self._enabled or known.pays():
            return True
        return known.lost < max(BUDGET_SECONDS, _SHARE * known.costliest)

    def claims(self, name: str) -> bool:
        """Whether it pays to agree with others on who computes; where nothing is known, it may."""
        known = self._figures.get(name)
        if known is None or not self._enabled:
            return True
        # Who waits for a value that can't be kept has waited for nothing.
        return known.costliest >= _CLAIM_FROM_SECONDS and known.kept > 0.5

    def ran(self, name: str, seconds: float) -> None:
        """A task that ran without being looked up."""
        with self._lock:
            self._computed(self._figures.setdefault(name, _Figures()), seconds)

    def asked(self, name: str, spent: Spent) -> None:
        """A node that was looked up. The first of a process counts for its computing alone: it connects."""
        with self._lock:
            known = self._figures.setdefault(name, _Figures())
            self._computed(known, spent.compute)
            known.kept += (spent.kept - known.kept) / min(known.seen, _MEMORY)
            if not self._warm:
                self._warm = True
                return
            known.asked += 1
            known.lookup += (spent.lookup - known.lookup) / min(known.asked, _MEMORY)
            if spent.store is not None:
                known.store += (spent.store - known.store) / min(known.asked, _MEMORY)
            if not known.pays():
                known.lost += spent.lookup + (spent.store or 0.0)

    def share(self, name: str, memo: Memo) -> None:
        """Tell others of a costly task, or hear from them before the name is left alone."""
        known = self._figures[name]
        tells = known.untold()
        hears = not known.heard and not self.asks(name)
        if not self._enabled or not (tells or hears):
            return
        known.heard = True
        key = memo_key((), ("costliest", name), digest(encode(name)))
        (answer,) = memo.lookup([key])
        if isinstance(answer, Found):
            said = answer.value if type(answer.value) is float else 0.0
            known.told, known.costliest = max(known.told, said), max(known.costliest, said)
        if known.untold():
            known.told = known.costliest
            epoch = b"" if isinstance(answer, Found) else answer.epoch
            memo.store([Entry(key, known.costliest, 0.0, epoch)])

    def _computed(self, known: _Figures, seconds: float) -> None:
        known.seen += 1
        # The first of a name imports and opens things: it counts until there is a second. Later a single long
        # one (a garbage collection, a busy machine) says little of the others.
        usual = seconds if known.seen <= _FEW else min(seconds, _UNUSUAL * known.compute)
        known.compute += (usual - known.compute) / max(1, min(known.seen - 1, _MEMORY))
        known.costliest = max(known.costliest, seconds)


_known: dict[MemoSpec, Worth] = {}


def worth_of(spec: MemoSpec) -> Worth:
    """What this process has learnt of a memo's nodes."""
    found = _known.get(spec)
    return found if found is not None else _known.setdefault(spec, Worth(spec.admission))
