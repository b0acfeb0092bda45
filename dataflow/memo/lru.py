"""The memo inside a worker: bounded in bytes, and a scan of many documents doesn't wash out what is in use."""

from __future__ import annotations

from collections.abc import Sequence

from dataflow.errors import CacheError
from dataflow.memo.base import Counters, Missed
from dataflow.memo.blobs import Blob, LocalTags, Sealed
from dataflow.memo.fifo import Fifo
from dataflow.memo.keys import KEY_BYTES, Key
from dataflow.memo.leases import Leases, LocalLeases
from dataflow.memo.sealed import SealedMemo, Sealing

__all__ = ["DEFAULT_MAX_BYTES", "LruBlobs", "LruMemo"]

DEFAULT_MAX_BYTES = 128 * 2**20
# What Python itself needs for an entry: two bytes objects' headers, a record, and a dictionary's slot.
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
        self._entries = Fifo(max_bytes, overhead_bytes=_ENTRY_BYTES)
        self._tags = LocalTags()

    def read(self, keys: Sequence[Key]) -> list[Blob | Missed]:
        """One answer a key."""
        found = self._entries.get(keys)
        return [Missed("new") if data is None else Blob(data, self.name) for data in found]

    def read_tagged(self, keys: Sequence[Key], tag: str) -> tuple[bytes, list[Blob | Missed]]:
        """With an epoch of this process alone."""
        return self._tags.epoch(tag), self.read(keys)

    def write(self, items: Sequence[Sealed]) -> int:
        """Keeps what fits into the bound on its own."""
        fitting = [item for item in items if len(item.data) + _ENTRY_BYTES <= self.max_bytes]
        evicted, evicted_bytes = self._entries.put([(item.key, item.data) for item in fitting])
        self.counters.add({"evicted": evicted, "bytes_evicted": evicted_bytes})
        return len(fitting)

    def discard(self, keys: Sequence[Key]) -> None:
        """Forget keys."""
        self._entries.discard(keys)

    def bump(self, tag: str) -> None:
        """A new epoch, for this process alone."""
        self._tags.bump(tag)

    def used_bytes(self) -> int:
        """What the entries weigh now."""
        return self._entries.used_bytes

    def close(self) -> None:
        """Forget everything."""
        self._entries.clear()


class LruMemo(SealedMemo):
    """A memo in this process's memory. It holds sealed bytes, so that no caller can change what is kept."""

    def __init__(self, max_bytes: int = DEFAULT_MAX_BYTES, sealing: Sealing | None = None) -> None:
        super().__init__(LruBlobs(max_bytes), sealing, Leases(LocalLeases()))
