"""A bounded store of bytes that a scan can't wash out: S3-FIFO, weighed in bytes.

New entries wait in a small queue, a tenth of the room. Those that were asked for again by the time they reach its
end move on to the main queue; the others go, and only their keys are remembered for a while. Whoever comes back
so soon goes straight to the main queue. So documents that are read once never displace what is in use, where
least-recently-used would lose everything to one pass over a large corpus.

Source: Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence

from dataflow.memo.keys import Key

__all__ = ["Fifo"]

_SMALL_SHARE = 0.1
_MOST_USES = 3


class _Slot:
    """One entry: its data and how often it was asked for since it was last looked at."""

    __slots__ = ("data", "uses")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.uses = 0


class Fifo:
    """Keys to bytes, under a bound, safe among threads.

    Args:
        max_bytes: for all entries together, with ``overhead_bytes`` for each.
        overhead_bytes: what an entry needs beside its data.
    """

    def __init__(self, max_bytes: int, *, overhead_bytes: int = 0) -> None:
        self._max = max_bytes
        self._overhead = overhead_bytes
        self._lock = threading.Lock()
        self._small: OrderedDict[Key, _Slot] = OrderedDict()
        self._main: OrderedDict[Key, _Slot] = OrderedDict()
        self._ghosts: OrderedDict[Key, None] = OrderedDict()
        self._small_bytes = 0
        self.used_bytes = 0

    def __len__(self) -> int:
        return len(self._small) + len(self._main)

    def get(self, keys: Sequence[Key]) -> list[bytes | None]:
        """The data of each key; ``None`` where there is none."""
        with self._lock:
            return [self._get(key) for key in keys]

    def put(self, items: Iterable[tuple[Key, bytes]]) -> tuple[int, int]:
        """Keep; returns how many entries and bytes of data had to go. Each has to fit by itself."""
        evicted = evicted_bytes = 0
        with self._lock:
            for key, data in items:
                self._remove(key)
                self._insert(key, data)
                while self.used_bytes > self._max:
                    size = self._evict()
                    evicted += size is not None
                    evicted_bytes += size or 0
        return evicted, evicted_bytes

    def discard(self, keys: Sequence[Key]) -> None:
        """Forget keys."""
        with self._lock:
            for key in keys:
                self._remove(key)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._small.clear()
            self._main.clear()
            self._ghosts.clear()
            self._small_bytes = self.used_bytes = 0

    def _get(self, key: Key) -> bytes | None:
        slot = self._main.get(key) or self._small.get(key)
        if slot is None:
            return None
        slot.uses = min(slot.uses + 1, _MOST_USES)
        return slot.data

    def _insert(self, key: Key, data: bytes) -> None:
        size = len(data) + self._overhead
        self.used_bytes += size
        if key in self._ghosts:
            del self._ghosts[key]
            self._main[key] = _Slot(data)
        else:
            self._small[key] = _Slot(data)
            self._small_bytes += size

    def _remove(self, key: Key) -> None:
        slot = self._main.pop(key, None)
        if slot is None:
            slot = self._small.pop(key, None)
            if slot is None:
                return
            self._small_bytes -= len(slot.data) + self._overhead
        self.used_bytes -= len(slot.data) + self._overhead

    def _evict(self) -> int | None:
        """One step towards the bound: the bytes that went, ``None`` where an entry was moved only."""
        if self._small and (self._small_bytes > self._max * _SMALL_SHARE or not self._main):
            return self._evict_small()
        key, slot = self._main.popitem(last=False)
        if slot.uses:
            slot.uses -= 1
            self._main[key] = slot
            return None
        self.used_bytes -= len(slot.data) + self._overhead
        return len(slot.data)

    def _evict_small(self) -> int | None:
        key, slot = self._small.popitem(last=False)
        self._small_bytes -= len(slot.data) + self._overhead
        if slot.uses:
            slot.uses = 0
            self._main[key] = slot
            return None
        self.used_bytes -= len(slot.data) + self._overhead
        self._ghosts[key] = None
        while len(self._ghosts) > max(64, len(self)):
            self._ghosts.popitem(last=False)
        return len(slot.data)
