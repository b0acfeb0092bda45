"""The tier inside a worker: values opened once, under a bound that a scan can't wash out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from dataflow.errors import CacheError
from dataflow.memo.base import Counters, Found
from dataflow.memo.envelope import HEADER_BYTES, Opened
from dataflow.memo.fifo import Fifo
from dataflow.memo.keys import KEY_BYTES, Key
from dataflow.memo.plain import ATOMS, Parts, copy_of, parts_of, weight

__all__ = ["DEFAULT_MAX_BYTES", "Held", "Near"]

DEFAULT_MAX_BYTES = 128 * 2**20
# What Python itself needs for an entry: the objects' headers, a record, and a dictionary's slot.
_ENTRY_BYTES = KEY_BYTES + 700
_PART_BYTES = 120


class Held(NamedTuple):
    """What is held of a key.

    Attributes:
        opened: what is known of the value; with its encoded bytes only where the value isn't held as it is.
        ready: the value is held as it is; else it is decoded for each caller. ``None`` where it is still to be seen
            whether it can be: a value from the store behind may never be asked for again.
        value: it, and nobody else's.
        parts: the containers in it, where it has any, so that each caller gets a copy.
        answer: made once, where the value is one that nobody can change, and its life has no end of its own.
        blob_bytes: its size as a store would keep it.
        weight: bytes that it takes here.
    """

    opened: Opened
    ready: bool | None
    value: Any
    parts: Parts | None
    blob_bytes: int
    weight: int
    answer: Found | None = None


class Near:
    """Values of this process, safe among threads.

    Plain values are held as they are and copied for each caller; all others stay encoded. So no caller can change
    what is kept.

    Args:
        max_bytes: for all values together, their overhead included.

    Raises:
        CacheError: the bound leaves no room for anything.
    """

    name = "lru"

    def __init__(self, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        if max_bytes <= _ENTRY_BYTES:
            raise CacheError(
                f"an LRU of {max_bytes} bytes can't hold anything: give it more, or use cache=none."
            )
        self.max_bytes = max_bytes
        self.counters = Counters()
        self._entries: Fifo[Held] = Fifo(max_bytes, overhead_bytes=_ENTRY_BYTES, weigh=_weight)

    def get(self, keys: Sequence[Key]) -> dict[Key, Held]:
        """Those that are here."""
        return self._entries.get(keys)

    def put(self, values: Sequence[tuple[Key, Opened, Any]]) -> int:
        """Keep what fits into the bound on its own: encoded and as it is; how many that were."""
        return self._keep([(key, _held(opened, value)) for key, opened, value in values], self._entries.put)

    def put_encoded(self, values: Sequence[tuple[Key, Opened]]) -> int:
        """Keep what the store behind had: as :meth:`put`, yet nothing is done for it before it is asked for again."""
        return self._keep([(key, _encoded(opened)) for key, opened in values], self._entries.put)

    def make_ready(self, values: Sequence[tuple[Key, Opened, Any]]) -> None:
        """Hold values as they are, where they can be, that were held encoded until now."""
        self._keep([(key, _held(opened, value)) for key, opened, value in values], self._entries.replace)

    def _keep(
        self, held: Sequence[tuple[Key, Held]], keep: Callable[[list[tuple[Key, Held]]], tuple[int, int]]
    ) -> int:
        fitting = [(key, one) for key, one in held if one.weight + _ENTRY_BYTES <= self.max_bytes]
        evicted, evicted_bytes = keep(fitting)
        if evicted:
            self.counters.add({"evicted": evicted, "bytes_evicted": evicted_bytes})
        return len(fitting)

    def discard(self, keys: Sequence[Key]) -> None:
        """Forget what is of no use any more."""
        self._entries.discard(keys)

    def used_bytes(self) -> int:
        """What is held at the moment, overhead included."""
        return self._entries.used_bytes

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()


def _encoded(opened: Opened) -> Held:
    size = len(opened.raw)
    return Held(opened, None, None, None, HEADER_BYTES + size, size)


def _held(opened: Opened, value: Any) -> Held:
    size = len(opened.raw)
    atom = type(value) in ATOMS
    parts = None if atom else parts_of(value)
    if not atom and parts is None:
        return Held(opened, False, None, None, HEADER_BYTES + size, size)
    blob_bytes, bare = HEADER_BYTES + size, Opened(opened.codec, b"", *opened[2:])
    if parts is None:
        known = (Near.name, opened.compute_seconds, blob_bytes, opened.digest, opened.input_digest)
        answer = None if opened.ttl_seconds else Found(value, *known)
        return Held(bare, True, value, None, blob_bytes, weight(value), answer)
    size = weight(value) + _PART_BYTES * len(parts)
    return Held(bare, True, copy_of(value, parts), parts, blob_bytes, size)


def _weight(held: Held) -> int:
    return held.weight
