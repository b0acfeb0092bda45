"""The memo inside a worker: the least recently used value goes first, within a bound in bytes."""

from __future__ import annotations

from collections.abc import Sequence

import zict

from dataflow.errors import CacheError
from dataflow.memo.base import Counters, Missed
from dataflow.memo.keys import KEY_BYTES, Key
from dataflow.memo.sealed import Blob, Sealed, SealedMemo, Sealing

__all__ = ["DEFAULT_MAX_BYTES", "LruBlobs", "LruMemo"]

DEFAULT_MAX_BYTES = 128 * 2**20
# What Python itself needs for an entry: two bytes objects' headers, and the slots of three dictionaries.
_ENTRY_BYTES = KEY_BYTES + 400


class LruBlobs:
    """Sealed bytes under a bound, safe among threads.

    Args:
        max_bytes: for all entries together, their overhead included.
    """

    name = "lru"

    def __init__(self, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        if max_bytes <= 0:
            raise CacheError(
                f"an LRU of {max_bytes} bytes can't hold anything: give it more, or use cache=none."
            )
        self.max_bytes = max_bytes
        self.counters = Counters()
        self._entries: zict.LRU[Key, bytes] = zict.LRU(
            max_bytes, {}, weight=lambda key, data: len(data) + _ENTRY_BYTES, on_evict=self._evicted
        )

    def read(self, keys: Sequence[Key]) -> list[Blob | Missed]:
        """One answer a key; what is found is used most recently."""
        return [self._one(key) for key in keys]

    def write(self, items: Sequence[Sealed]) -> int:
        """Keeps what fits into the bound on its own."""
        fitting = [item for item in items if len(item.data) + _ENTRY_BYTES <= self.max_bytes]
        for item in fitting:
            self._entries[item.key] = item.data
        return len(fitting)

    def discard(self, keys: Sequence[Key]) -> None:
        """Forget keys."""
        for key in keys:
            self._entries.pop(key, None)

    def used_bytes(self) -> float:
        """What the entries weigh now."""
        return self._entries.total_weight

    def close(self) -> None:
        """Forget everything."""
        self._entries.clear()

    def _one(self, key: Key) -> Blob | Missed:
        try:
            return Blob(self._entries[key], self.name)
        except KeyError:
            return Missed("new")

    def _evicted(self, key: Key, data: bytes) -> None:
        self.counters.add({"evicted": 1, "bytes_evicted": len(data)})


class LruMemo(SealedMemo):
    """A memo in this process's memory. It holds sealed bytes, so that no caller can change what is kept."""

    def __init__(self, max_bytes: int = DEFAULT_MAX_BYTES, sealing: Sealing | None = None) -> None:
        super().__init__(LruBlobs(max_bytes), sealing)
