"""What of a look-up belongs to which tier: keys asked, seconds and bytes. Counted a batch, never a document."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from dataflow.memo.base import Found
from dataflow.memo.blobs import Blob

__all__ = ["Far", "bytes_by_tier"]


class Far:
    """What one look-up asked of the store behind the near tier. The rest of its time is the near tier's."""

    __slots__ = ("_elsewhere", "_keys", "_seconds")

    def __init__(self) -> None:
        self._keys, self._seconds = 0, 0.0
        self._elsewhere: dict[str, tuple[int, float]] = {}

    @contextmanager
    def asked(self, keys: int) -> Iterator[None]:
        """Around one round trip and the opening of what it brought."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self._keys += keys
            self._seconds += time.perf_counter() - start

    def elsewhere(self, blob: Blob) -> None:
        """Note a value that the store only pointed to: its time is that of the tier which had it."""
        keys, seconds = self._elsewhere.get(blob.tier, (0, 0.0))
        self._elsewhere[blob.tier] = keys + 1, seconds + blob.seconds

    def shares(self, near: str | None, far: str | None, keys: int, seconds: float) -> dict[str, float]:
        """Counters ``asked_TIER`` (keys) and ``lookup_seconds_TIER``; the seconds add up to those of the look-up.

        Args:
            near: the name of the tier in front; ``None`` where there is none.
            far: that of the store behind it; ``None`` where there is none.
            keys: all that were asked for.
            seconds: of the whole look-up.
        """
        if near is None or far is None:
            shares = {near or far or "": (keys, seconds)}
        else:
            shares = {near: (keys, seconds - self._seconds)}
            if self._keys or self._seconds:
                shares[far] = self._keys, self._seconds
        for tier, (files, spent) in self._elsewhere.items():
            holder = far or ""
            shares[holder] = shares[holder][0], shares[holder][1] - spent
            shares[tier] = files, spent
        found: dict[str, float] = {}
        for tier, (asked, spent) in shares.items():
            found[f"asked_{tier}"], found[f"lookup_seconds_{tier}"] = asked, spent
        return found


def bytes_by_tier(hits: Sequence[Found], tiers: Mapping[str, int], size: int) -> dict[str, float]:
    """Counters ``bytes_read_TIER`` of some hits, whose tiers and bytes in all are known already."""
    if len(tiers) <= 1:
        return {f"bytes_read_{tier}": size for tier in tiers}
    return {f"bytes_read_{tier}": sum([h.blob_bytes for h in hits if h.tier == tier]) for tier in tiers}
