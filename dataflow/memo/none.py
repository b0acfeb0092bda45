"""No memo: every look-up misses, nothing is kept."""

from __future__ import annotations

from collections.abc import Sequence

from dataflow.memo.base import WON, Claim, Counters, Entry, Found, Missed
from dataflow.memo.keys import Key

__all__ = ["NoMemo"]


class NoMemo:
    """The memo of ``cache=none``; implements :class:`dataflow.memo.base.Memo`."""

    name = "none"
    shared = False

    def __init__(self) -> None:
        self._counters = Counters()

    def lookup(self, keys: Sequence[Key]) -> list[Found | Missed]:
        """All missed, for the reason ``off``."""
        self._counters.add({"lookups": 1, "misses": len(keys), "misses_off": len(keys)})
        return [Missed("off")] * len(keys)

    def store(self, entries: Sequence[Entry]) -> int:
        """Keeps nothing."""
        return 0

    def claim(self, keys: Sequence[Key]) -> list[Found | Claim]:
        """All won."""
        return [WON] * len(keys)

    def wait(self, keys: Sequence[Key]) -> list[Found | Missed | Claim]:
        """Nobody is waited for."""
        return [Missed("off")] * len(keys)

    def release(self, keys: Sequence[Key]) -> None:
        """Nothing to give back."""

    def invalidate_tag(self, tag: str) -> None:
        """Nothing is kept."""

    def counters(self) -> dict[str, float]:
        """Look-ups and misses."""
        return {"hits": 0.0, "misses": 0.0, **self._counters.snapshot()}

    def close(self) -> None:
        """Nothing to do."""
