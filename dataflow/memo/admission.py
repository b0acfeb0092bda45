"""Whether the memo pays, by what was measured while running.

A value is worth keeping where ``P(reuse) x (compute - fetch) > store``. The three are means over the
last batches of this process. ``P(reuse)`` is the number of times that a value is expected to be asked for, and
fixed: whoever turns a cache on means to run again, and the hits of a first run say nothing of that.

The decision is for a whole batch, since its cost is mostly one a batch. A run that doesn't pay may lose
``budget_seconds`` a process before it stops asking; so a small corpus is always cached, and a large one of cheap
documents is as fast as with no cache, but for that. Now and then a batch goes the long way, to see whether times
have changed. Nothing here touches what is right: an unused memo is a miss.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping

__all__ = ["Admission"]

_MEMORY = 8  # batches
_LOOK_AGAIN = 64  # batches
_LEASE_FROM_SECONDS = 0.005  # a claim costs a round trip a batch, and waiting some milliseconds


class Admission:
    """What one process has learnt of one run.

    Args:
        enabled: when false, everything is always kept.
        reuse: how often a value will be asked for again.
        edits: the share of a stage's values that will be asked for after an edit of another stage.
        budget_seconds: what may be lost before the memo is left alone.
    """

    def __init__(
        self, *, enabled: bool = True, reuse: float = 2.0, edits: float = 0.2, budget_seconds: float = 0.05
    ) -> None:
        self._enabled = enabled
        self._reuse, self._edits, self._budget = reuse, edits, budget_seconds
        self._lock = threading.Lock()
        self._figures: dict[str, deque[tuple[float, float]]] = {}
        self._lost = 0.0
        self._passed = 0
        self._warm = False

    def observe(
        self,
        *,
        looked_up: int,
        lookup_seconds: float,
        stored: int,
        store_seconds: float,
        compute_seconds: float | None,
        stage_seconds: Mapping[str, float],
    ) -> None:
        """One batch: how many documents were asked for and stored, and what that took in all.

        ``compute_seconds`` and ``stage_seconds`` are means a document, measured or as kept with the hits. The
        first batch counts for its computing alone: connections are opened in it.
        """
        with self._lock:
            if compute_seconds is not None:
                self._add("compute", compute_seconds * looked_up, looked_up)
            for name, seconds in stage_seconds.items():
                self._add(f"stage {name}", seconds, 1)
            if not self._warm:
                self._warm = looked_up > 0
                return
            if looked_up:
                self._add("lookup", lookup_seconds, looked_up)
            if stored:
                self._add("store", store_seconds, stored)
            if not self._pays():
                self._lost += looked_up * self._of("lookup", 0.0) + stored * self._of("store", 0.0)

    def batch(self) -> bool:
        """Whether the next batch should use the memo."""
        if not self._enabled:
            return True
        with self._lock:
            if self._pays() or self._lost < self._budget:
                return True
            self._passed += 1
            return self._passed % _LOOK_AGAIN == 0

    def step(self, name: str) -> bool:
        """Whether a stage's own value should be kept and asked for, beside that of the whole chain."""
        if not self._enabled:
            return True
        with self._lock:
            seconds = self._of(f"stage {name}", None)
            if seconds is None:
                return True
            cost = self._of("store", 0.0)
            return self._edits * (seconds - self._of("lookup", 0.0)) > cost

    def claims(self) -> bool:
        """Whether it pays to agree with other workers on who computes what."""
        if not self._enabled:
            return True
        with self._lock:
            return self._of("compute", _LEASE_FROM_SECONDS) >= _LEASE_FROM_SECONDS

    def _pays(self) -> bool:
        compute = self._of("compute", None)
        if compute is None:
            return True
        return self._reuse * (compute - self._of("lookup", 0.0)) > self._of("store", 0.0)

    def _add(self, name: str, seconds: float, documents: float) -> None:
        self._figures.setdefault(name, deque(maxlen=_MEMORY)).append((seconds, documents))

    def _of(self, name: str, unknown: float | None) -> float:
        figures = self._figures.get(name)
        if not figures:
            return unknown  # type: ignore[return-value]
        # Large batches say more than small ones, whose round trip is shared by few.
        return sum(seconds for seconds, _ in figures) / sum(documents for _, documents in figures)
