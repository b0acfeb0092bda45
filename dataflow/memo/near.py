"""The tier inside a worker: encoded values, opened once, under a bound that a scan can't wash out."""

from __future__ import annotations

from collections.abc import Sequence

from dataflow.errors import CacheError
from dataflow.memo.base import Counters
from dataflow.memo.envelope import Opened
from dataflow.memo.fifo import Fifo
from dataflow.memo.keys import KEY_BYTES, Key

__all__ = ["DEFAULT_MAX_BYTES", "Near"]

DEFAULT_MAX_BYTES = 128 * 2**20
# What Python itself needs for an entry: the objects' headers, a record, and a dictionary's slot.
_ENTRY_BYTES = KEY_BYTES + 700


class Near:
    """Values of this process, safe among threads. They stay encoded, so that no caller can change what is kept.

    Args:
        max_bytes: for all values together, their overhead included.

    Raises:
        CacheError: the bound leaves no room for anything.
    """

    name = "lru"

    def __init__(self, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        if max_bytes <= 0:
            raise CacheError(
                f"an LRU of {max_bytes} bytes can't hold anything: give it more, or use cache=none."
            )
        self.max_bytes = max_bytes
        self.counters = Counters()
        self._entries: Fifo[Opened] = Fifo(max_bytes, overhead_bytes=_ENTRY_BYTES, weigh=_weight)

    def get(self, keys: Sequence[Key]) -> dict[Key, Opened]:
        """Those that are here."""
        return self._entries.get(keys)

    def put(self, values: Sequence[tuple[Key, Opened]]) -> int:
        """Keep what fits into the bound on its own; how many that were."""
        fitting = [(key, kept) for key, kept in values if len(kept.raw) + _ENTRY_BYTES <= self.max_bytes]
        evicted, evicted_bytes = self._entries.put(fitting)
        if evicted:
            self.counters.add({"evicted": evicted, "bytes_evicted": evicted_bytes})
        return len(fitting)

    def discard(self, keys: Sequence[Key]) -> None:
        """Forget keys."""
        self._entries.discard(keys)

    def used_bytes(self) -> int:
        """What the values weigh now."""
        return self._entries.used_bytes

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()


def _weight(kept: Opened) -> int:
    return len(kept.raw)
