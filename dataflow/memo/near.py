"""The tier inside a worker: values opened once, under a bound that a scan can't wash out."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NamedTuple

from dataflow.errors import CacheError
from dataflow.memo.base import Counters, Found
from dataflow.memo.codecs import IMMUTABLE_CODECS
from dataflow.memo.envelope import HEADER_BYTES, Opened
from dataflow.memo.fifo import Fifo
from dataflow.memo.keys import KEY_BYTES, Key

__all__ = ["DEFAULT_MAX_BYTES", "Held", "Near"]

DEFAULT_MAX_BYTES = 128 * 2**20
# What Python itself needs for an entry: the objects' headers, a record, and a dictionary's slot.
_ENTRY_BYTES = KEY_BYTES + 700


class Held(NamedTuple):
    """What is held of a key.

    Attributes:
        opened: the value as encoded, and what is known of it; without its bytes where ``found`` is the value.
        found: the answer, made once: only of text and bytes, which no caller can change. Else ``None``.
        size: bytes that it needs.
    """

    opened: Opened
    found: Found | None
    size: int


class Near:
    """Values of this process, safe among threads. What a caller could change stays encoded.

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
        self._entries: Fifo[Held] = Fifo(max_bytes, overhead_bytes=_ENTRY_BYTES, weigh=_size)

    def get(self, keys: Sequence[Key]) -> dict[Key, Held]:
        """Those that are here."""
        return self._entries.get(keys)

    def put(self, values: Sequence[tuple[Key, Opened]]) -> int:
        """Keep what fits into the bound on its own; how many that were."""
        held = [(key, self._held(opened)) for key, opened in values]
        fitting = [(key, one) for key, one in held if one.size + _ENTRY_BYTES <= self.max_bytes]
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

    def _held(self, opened: Opened) -> Held:
        if opened.codec not in IMMUTABLE_CODECS:
            return Held(opened, None, len(opened.raw))
        try:
            value = opened.value
        except ValueError:
            return Held(opened, None, len(opened.raw))  # whoever opens it says that it's of another codec
        size = HEADER_BYTES + len(opened.raw)
        found = Found(value, self.name, opened.compute_seconds, size, opened.digest, opened.input_digest)
        return Held(opened._replace(raw=b""), found, sys.getsizeof(value))


def _size(held: Held) -> int:
    return held.size
