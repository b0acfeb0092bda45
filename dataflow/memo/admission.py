"""Whether the memo pays, by what was measured while running.

A document is worth keeping where ``P(reuse) x compute > store``, and documents of a kind are worth asking for where
``P(reuse) x (what is kept saves - fetch) > store``. Fetching and storing are means over the last batches of this
process; computing is seen of every document, whether it was asked for or not, so that a few dear documents among many
cheap ones are noticed, and kept alone. ``P(reuse)`` is the number of times that a value is expected to be asked for,
and fixed: whoever turns a cache on means to run again, and the hits of a first run say nothing of that.

The documents of a small corpus are kept in any case, stage by stage, which is not for this module to say; a large one
of cheap documents is as fast as with no cache. A small share of the time that is spent on computing may be lost, so
that from time to time it is seen whether times have changed. Until asking and keeping were measured, they are taken to
be cheap, but not free: of documents that take a few microseconds, a trial of a whole batch costs more than the batch.
Nothing here touches what is right: an unused memo is a miss.

Of documents that take less than a fifth of a millisecond, few would notice that a later run is spared them, and
everybody that the first one is slower by half: for these, that is bounded besides, by a tenth.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

__all__ = ["Admission", "Dear"]

_BATCHES = 8  # what looking up and storing take is a mean over so many
_FADING = 0.9995  # a document's weight halves after some 1,400 more of its kind
_FEWEST = 64  # a round trip for fewer would cost each of them much more
# What asking for a document and keeping it take at least, and at most, before it was measured.
_LOOKUP_SECONDS, _STORE_SECONDS, _GUESS_SECONDS = 5e-6, 2e-5, 1e-4
_CHEAP_SECONDS = 2e-4
_CHEAP_SHARE = 0.1  # of the time that they take, which asking for them and keeping them may
_LEASE_FROM_SECONDS = 0.005  # a claim costs a round trip a batch, and waiting some milliseconds


class _Kind:
    """What computing documents of a kind takes; old observations fade."""

    def __init__(self) -> None:
        self._documents = self._seconds = self._dear = self._dear_seconds = 0.0

    def add(self, seconds: Sequence[float], dear_from: float) -> None:
        """Seconds of some documents; those that take longer than ``dear_from`` are worth keeping."""
        dear = [s for s in seconds if s > dear_from]
        fading = _FADING ** len(seconds)
        self._documents = self._documents * fading + len(seconds)
        self._seconds = self._seconds * fading + sum(seconds)
        self._dear = self._dear * fading + len(dear)
        self._dear_seconds = self._dear_seconds * fading + sum(dear)

    def add_alike(self, number: int, seconds: float, dear_from: float) -> None:
        """So many documents of as many seconds each."""
        fading, dear = _FADING**number, number * (seconds > dear_from)
        self._documents = self._documents * fading + number
        self._seconds = self._seconds * fading + number * seconds
        self._dear = self._dear * fading + dear
        self._dear_seconds = self._dear_seconds * fading + dear * seconds

    def faded(self) -> _Kind:
        """The same, as if few had been seen."""
        share = min(1.0, _FEWEST / self._documents)
        found = _Kind()
        found._documents, found._seconds = self._documents * share, self._seconds * share
        found._dear, found._dear_seconds = self._dear * share, self._dear_seconds * share
        return found

    @property
    def mean_seconds(self) -> float:
        return self._seconds / self._documents

    @property
    def cheap(self) -> bool:
        """Whether they take less than anybody would notice."""
        return self.mean_seconds < _CHEAP_SECONDS

    def pays(self, reuse: float, lookup: float, store: float) -> bool:
        """Whether the dear ones among them save more than asking for all and storing the dear ones takes."""
        asking, storing = lookup * self._documents, store * self._dear
        if self.cheap and asking + storing > _CHEAP_SHARE * self._seconds:
            return False
        return reuse * (self._dear_seconds - asking) > storing


@dataclass
class Dear:
    """Documents that are dear though their kind is cheap, by their URLs.

    Attributes:
        known: from earlier runs, and what was added to these; ``None`` until they were asked for.
        met: in this run, and not known yet, with their kind.
        others: by kind, how many others there were in their batches, and the seconds of all of these.
        seen: how many documents this process has seen in this run.
    """

    known: set[str] | None
    met: dict[str, str] = field(default_factory=dict)
    others: dict[str, tuple[int, float]] = field(default_factory=dict)
    seen: int = 0


class Admission:
    """What one process has learnt of one run.

    Args:
        enabled: when false, everything is always kept.
        reuse: how often a value will be asked for again.
        edits: the share of a stage's values that will be asked for after an edit of another stage.
        allowance: the share of the time spent on computing that may be lost on what doesn't pay.

    Attributes:
        dear: documents that are to be asked for whatever their kind.
        marked: whether this process has noted in the memo that something was kept; see :mod:`dataflow.graph.trial`.
    """

    def __init__(
        self,
        *,
        enabled: bool = True,
        reuse: float = 2.0,
        edits: float = 0.2,
        allowance: float = 0.01,
    ) -> None:
        self._enabled = enabled
        self.marked = False
        self.dear = Dear(None if enabled else set())
        self._reuse, self._edits = reuse, edits
        self._share, self._allowance_seconds = allowance, 0.0
        self._lock = threading.Lock()
        self._figures: dict[str, deque[tuple[float, float]]] = {}
        self._means: dict[str, float] = {}
        self._kinds: dict[str, _Kind] = {}
        self._warm = False

    def observe(
        self,
        *,
        looked_up: int,
        lookup_seconds: float,
        stored: int,
        store_seconds: float,
        compute_seconds: Mapping[str, Sequence[float]],
        stage_seconds: Mapping[str, float],
        alike: Mapping[str, tuple[int, float]] | None = None,
    ) -> None:
        """One batch: how many documents were asked for and stored, and what that took in all.

        ``compute_seconds`` has the seconds of each document by its kind, as measured or as kept with the hits;
        ``alike`` has how many of a kind there were, and their mean, where none was dear; ``stage_seconds`` are
        means a document. The first batch that was asked for counts for its computing alone: connections are opened
        in it.
        """
        with self._lock:
            dear_from = self._of("store", _STORE_SECONDS) / self._reuse
            for kind, seconds in compute_seconds.items():
                if seconds:
                    self._kinds.setdefault(kind, _Kind()).add(seconds, dear_from)
                    self._allowance_seconds += self._share * sum(seconds)
            for kind, (number, mean) in (alike or {}).items():
                self._kinds.setdefault(kind, _Kind()).add_alike(number, mean, dear_from)
                self._allowance_seconds += self._share * number * mean
            for name, mean in stage_seconds.items():
                self._add(f"stage {name}", mean, 1)
            if not self._warm:
                self._warm = looked_up > 0
                return
            if looked_up:
                self._add("lookup", lookup_seconds, looked_up)
            if stored:
                self._add("store", store_seconds, stored)

    def knows(self, kinds: Iterable[str]) -> bool:
        """Whether documents of all these kinds have been seen, or needn't be."""
        with self._lock:
            return not self._enabled or all(kind in self._kinds for kind in kinds)

    def begin_with(self, earlier: Admission) -> None:
        """Take what an earlier run has learnt of kinds of documents; it counts as much as a few of them do."""
        with earlier._lock:
            kinds = {kind: one.faded() for kind, one in earlier._kinds.items()}
        with self._lock:
            self._kinds = {**kinds, **self._kinds}

    def asks(self, kinds: Mapping[str, int]) -> dict[str, int]:
        """How many documents of each kind should be asked for, of so many in a batch."""
        if not self._enabled:
            return dict(kinds)
        with self._lock:
            return {kind: self._asks(kind, number) for kind, number in kinds.items()}

    def keeps(self, documents: Sequence[tuple[str, float]]) -> list[bool]:
        """Whether to keep documents that were asked for, by their kind and what each took."""
        if not self._enabled:
            return [True] * len(documents)
        with self._lock:
            store = self._of("store", _STORE_SECONDS)
            cheap = self._found_cheap(documents, store)
            return [
                (self._reuse * seconds >= store and kind not in cheap) or self._spend(store)
                for kind, seconds in documents
            ]

    def _found_cheap(self, documents: Sequence[tuple[str, float]], store: float) -> set[str]:
        """Kinds of which nothing was known when documents were asked for, and which won't be asked for again."""
        seen: dict[str, _Kind] = {}
        for kind, seconds in documents:
            if kind not in self._kinds:
                seen.setdefault(kind, _Kind()).add([seconds], store / self._reuse)
        return {kind for kind, one in seen.items() if not one.pays(self._reuse, _LOOKUP_SECONDS, store)}

    def step(self, name: str, seconds: float | None = None) -> bool:
        """Whether a stage's own value should be kept and asked for, beside that of the whole chain.

        Args:
            name: the stage's.
            seconds: what one document took, where that is known: it counts until there is a mean.
        """
        if not self._enabled:
            return True
        with self._lock:
            mean = self._means.get(f"stage {name}")
            usual = seconds if mean is None else mean
            if usual is None:
                return True
            cost = self._of("store", _STORE_SECONDS)
            return self._edits * (usual - self._of("lookup", _LOOKUP_SECONDS)) > cost

    def claims(self, kind: str) -> bool:
        """Whether it pays to agree with other workers on who computes a document of this kind."""
        if not self._enabled:
            return True
        with self._lock:
            known = self._kinds.get(kind)
            return known is None or known.mean_seconds >= _LEASE_FROM_SECONDS

    def _asks(self, kind: str, number: int) -> int:
        known = self._kinds.get(kind)
        lookup, store = self._of("lookup", _LOOKUP_SECONDS), self._of("store", _STORE_SECONDS)
        if known is None or known.pays(self._reuse, lookup, store):
            return number
        each = self._of("lookup", _GUESS_SECONDS)
        some = min(number, max(_FEWEST, int(self._allowance_seconds / each)))
        return some if self._spend(some * each) else 0

    def _spend(self, seconds: float) -> bool:
        """Take from the allowance, where there is as much."""
        enough = seconds <= self._allowance_seconds
        if enough:
            self._allowance_seconds -= seconds
        return enough

    def _add(self, name: str, seconds: float, documents: float) -> None:
        figures = self._figures.setdefault(name, deque(maxlen=_BATCHES))
        figures.append((seconds, documents))
        # Large batches say more than small ones, whose round trip is shared by few.
        self._means[name] = sum(seconds for seconds, _ in figures) / sum(number for _, number in figures)

    def _of(self, name: str, unknown: float) -> float:
        return self._means.get(name, unknown)
