"""A bounded store that a scan can't wash out: S3-FIFO, weighed in bytes.

New entries wait in a small queue, a tenth of the room. Those that were asked for again by the time they reach its
end move on to the main queue; the others go, and only their keys are remembered for a while. Whoever comes back
so soon goes straight to the main queue. So documents that are read once never displace what is in use, where
least-recently-used would lose everything to one pass over a large corpus.

Source: Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, TypeVar

from dataflow.memo.keys import Key

__all__ = ["Fifo"]

T = TypeVar("T")

_SMALL_SHARE = 0.1
_MOST_USES = 3


class _Slot:
    """One entry: its data, what it weighs, and how often it was asked for since it was last looked at."""

    __slots__ = ("data", "size", "uses")

    def __init__(self, data: Any, size: int) -> None:
        self.data = data
        self.size = size
        self.uses = 0


class Fifo(Generic[T]):
    """Keys to data, under a bound, safe among threads.

    Args:
        max_bytes: for all entries together, with ``overhead_bytes`` for each.
        overhead_bytes: what an entry needs beside its data.
        weigh: the bytes of an entry's data.
    """

    def __init__(
        self,
        max_bytes: int,
        *,
        overhead_bytes: int = 0,
        weigh: Callable[[T], int] = len,  # type: ignore[assignment]
    ) -> None:
        self._max = max_bytes
        self._overhead = overhead_bytes
        self._weigh = weigh
        self._lock = threading.Lock()
        self._small: OrderedDict[Key, _Slot] = OrderedDict()
        self._main: OrderedDict[Key, _Slot] = OrderedDict()
        self._ghosts: OrderedDict[Key, None] = OrderedDict()
        self._small_bytes = 0
        self.used_bytes = 0

    def __len__(self) -> int:
        return len(self._small) + len(self._main)

    def get(self, keys: Iterable[Key]) -> dict[Key, T]:
        """The data of those keys that are there."""
        found: dict[Key, T] = {}
        with self._lock:
            main, small = self._main, self._small
            for key in keys:
                slot = main.get(key) or small.get(key)
                if slot is not None:
                    if slot.uses < _MOST_USES:
                        slot.uses += 1
                    found[key] = slot.data
        return found

    def put(self, items: Iterable[tuple[Key, T]]) -> tuple[int, int]:
        """Keep; returns how many entries and bytes of data had to go. Each has to fit by itself."""
        evicted = evicted_bytes = 0
        with self._lock:
            for key, data in items:
                self._remove(key)
                self._insert(key, data)
                number, size = self._shrink()
                evicted, evicted_bytes = evicted + number, evicted_bytes + size
        return evicted, evicted_bytes

    def replace(self, items: Iterable[tuple[Key, T]]) -> tuple[int, int]:
        """As :meth:`put`, for keys that are still there: they stay in their place in the queue."""
        evicted = evicted_bytes = 0
        with self._lock:
            for key, data in items:
                queue = self._main if key in self._main else self._small
                slot = queue.get(key)
                if slot is None:
                    continue
                more = self._weigh(data) + self._overhead - slot.size
                slot.data, slot.size = data, slot.size + more
                self.used_bytes += more
                self._small_bytes += more if queue is self._small else 0
                number, size = self._shrink()
                evicted, evicted_bytes = evicted + number, evicted_bytes + size
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

    def _insert(self, key: Key, data: T) -> None:
        slot = _Slot(data, self._weigh(data) + self._overhead)
        self.used_bytes += slot.size
        if key in self._ghosts:
            del self._ghosts[key]
            self._main[key] = slot
        else:
            self._small[key] = slot
            self._small_bytes += slot.size

    def _remove(self, key: Key) -> None:
        slot = self._main.pop(key, None)
        if slot is None:
            slot = self._small.pop(key, None)
            if slot is None:
                return
            self._small_bytes -= slot.size
        self.used_bytes -= slot.size

    def _shrink(self) -> tuple[int, int]:
        evicted = evicted_bytes = 0
        while self.used_bytes > self._max:
            size = self._evict()
            evicted += size is not None
            evicted_bytes += size or 0
        return evicted, evicted_bytes

    def _evict(self) -> int | None:
        """One step towards the bound: the bytes that went, ``None`` where an entry was moved only."""
        if self._small and (self._small_bytes > self._max * _SMALL_SHARE or not self._main):
            return self._evict_small()
        key, slot = self._main.popitem(last=False)
        if slot.uses:
            slot.uses -= 1
            self._main[key] = slot
            return None
        self.used_bytes -= slot.size
        return slot.size - self._overhead

    def _evict_small(self) -> int | None:
        key, slot = self._small.popitem(last=False)
        self._small_bytes -= slot.size
        if slot.uses:
            slot.uses = 0
            self._main[key] = slot
            return None
        self.used_bytes -= slot.size
        self._ghosts[key] = None
        while len(self._ghosts) > max(64, len(self)):
            self._ghosts.popitem(last=False)
        return slot.size - self._overhead
