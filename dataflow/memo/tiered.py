"""A near store in front of a far one: what the far one had is kept near."""

from __future__ import annotations

from collections.abc import Sequence

from dataflow.memo.base import Counters, Missed
from dataflow.memo.keys import Key
from dataflow.memo.sealed import Blob, BlobStore, Sealed, SealedMemo, Sealing

__all__ = ["TieredBlobs", "TieredMemo"]


class TieredBlobs:
    """Sealed bytes in two stores. A value's own header says when it ends, so the near copy needs no clock."""

    name = "tiered"

    def __init__(self, near: BlobStore, far: BlobStore) -> None:
        self._near = near
        self._far = far

    @property
    def counters(self) -> Counters:
        """The counters of both."""
        both = Counters()
        both.add(self._near.counters.snapshot())
        both.add(self._far.counters.snapshot())
        return both

    def read(self, keys: Sequence[Key]) -> list[Blob | Missed]:
        """One answer a key; only what isn't near costs a round trip."""
        results = self._near.read(keys)
        absent = [i for i, result in enumerate(results) if isinstance(result, Missed)]
        if not absent:
            return results
        far = self._far.read([keys[i] for i in absent])
        for i, result in zip(absent, far, strict=True):
            results[i] = result
        self._near.write(
            [Sealed(keys[i], r.data, None) for i, r in zip(absent, far, strict=True) if isinstance(r, Blob)]
        )
        return results

    def write(self, items: Sequence[Sealed]) -> int:
        """Keep in both; what either took is kept."""
        near = self._near.write(items)
        return max(near, self._far.write(items))

    def discard(self, keys: Sequence[Key]) -> None:
        """Forget in both."""
        self._near.discard(keys)
        self._far.discard(keys)

    def close(self) -> None:
        """Close both."""
        self._near.close()
        self._far.close()


class TieredMemo(SealedMemo):
    """A memo over two stores of bytes."""

    def __init__(self, near: BlobStore, far: BlobStore, sealing: Sealing | None = None) -> None:
        super().__init__(TieredBlobs(near, far), sealing)
