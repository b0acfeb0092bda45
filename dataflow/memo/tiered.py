"""A near store in front of a far one: what the far one had is kept near."""

from __future__ import annotations

from collections.abc import Sequence

from dataflow.memo.base import Counters, Missed
from dataflow.memo.blobs import Blob, BlobStore, Sealed
from dataflow.memo.envelope import claimed_epoch
from dataflow.memo.keys import Key
from dataflow.memo.leases import Leases
from dataflow.memo.sealed import SealedMemo, Sealing

__all__ = ["TieredBlobs", "TieredMemo"]


class TieredBlobs:
    """Sealed bytes in two stores. A value's own header says when it ends, so the near copy needs no clock.

    Nor does it need to be told of invalidations: a memo with a tag asks the far store for the tag's epoch with
    every batch, also when all keys are near, and a near copy of another epoch is of no use. So there is no time
    in which an old value could still be served, and nothing to catch up with after a lost connection.
    """

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
        self._fill(keys, results, self._absent(results))
        return results

    def read_tagged(self, keys: Sequence[Key], tag: str) -> tuple[bytes, list[Blob | Missed]]:
        """One round trip, always; a second one only where the tag was bumped since the near copies came."""
        results = self._near.read(keys)
        absent = self._absent(results)
        epoch, far = self._far.read_tagged([keys[i] for i in absent], tag)
        self._take(keys, results, absent, far)
        asked = set(absent)
        stale = [
            i
            for i, blob in enumerate(results)
            if i not in asked and isinstance(blob, Blob) and claimed_epoch(blob.data) != epoch
        ]
        if stale and epoch:
            self._near.discard([keys[i] for i in stale])
            self._fill(keys, results, stale)
        return epoch, results

    def write(self, items: Sequence[Sealed]) -> int:
        """Keep in both; what either took is kept."""
        near = self._near.write([item for item in items if item.near])
        return max(near, self._far.write(items))

    def discard(self, keys: Sequence[Key]) -> None:
        """Forget in both."""
        self._near.discard(keys)
        self._far.discard(keys)

    def bump(self, tag: str) -> None:
        """The far store's epoch is the one that counts."""
        self._far.bump(tag)

    def close(self) -> None:
        """Close both."""
        self._near.close()
        self._far.close()

    def _fill(self, keys: Sequence[Key], results: list[Blob | Missed], places: list[int]) -> None:
        if places:
            self._take(keys, results, places, self._far.read([keys[i] for i in places]))

    def _take(
        self,
        keys: Sequence[Key],
        results: list[Blob | Missed],
        places: list[int],
        answers: Sequence[Blob | Missed],
    ) -> None:
        """Put the far store's answers in their places, and what it had into the near store."""
        for i, answer in zip(places, answers, strict=True):
            results[i] = answer
        had = [(keys[i], a) for i, a in zip(places, answers, strict=True) if isinstance(a, Blob)]
        if had:
            self._near.write([Sealed(key, blob.data, None) for key, blob in had])

    @staticmethod
    def _absent(results: Sequence[Blob | Missed]) -> list[int]:
        return [i for i, result in enumerate(results) if isinstance(result, Missed)]


class TieredMemo(SealedMemo):
    """A memo over two stores of bytes."""

    def __init__(
        self,
        near: BlobStore,
        far: BlobStore,
        sealing: Sealing | None = None,
        leases: Leases | None = None,
    ) -> None:
        super().__init__(TieredBlobs(near, far), sealing, leases)
