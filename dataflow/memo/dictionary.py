"""A memo in a plain dictionary: the fake for tests and for debugging, sealed like the real ones."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence

from dataflow.memo.base import Counters, Missed
from dataflow.memo.blobs import Blob, LocalTags, Sealed
from dataflow.memo.keys import Key
from dataflow.memo.leases import Leases, LocalLeases
from dataflow.memo.sealed import SealedMemo
from dataflow.memo.sealing import Sealing

__all__ = ["DictBlobs", "DictMemo"]


class DictBlobs:
    """Sealed bytes in any mutable mapping, unbounded."""

    name = "dict"

    def __init__(self, mapping: MutableMapping[Key, bytes] | None = None) -> None:
        self.mapping: MutableMapping[Key, bytes] = {} if mapping is None else mapping
        self.counters = Counters()
        self._tags = LocalTags()

    def read(self, keys: Sequence[Key]) -> list[Blob | Missed]:
        """One answer a key."""
        found = [self.mapping.get(key) for key in keys]
        return [Missed("new") if data is None else Blob(data, self.name) for data in found]

    def read_tagged(self, keys: Sequence[Key], tag: str) -> tuple[bytes, list[Blob | Missed]]:
        """With an epoch of this process alone."""
        return self._tags.epoch(tag), self.read(keys)

    def bump(self, tag: str) -> None:
        """A new epoch, for this process alone."""
        self._tags.bump(tag)

    def write(self, items: Sequence[Sealed]) -> int:
        """Keeps all."""
        for item in items:
            self.mapping[item.key] = item.data
        return len(items)

    def discard(self, keys: Sequence[Key]) -> None:
        """Forget keys."""
        for key in keys:
            self.mapping.pop(key, None)

    def close(self) -> None:
        """Forget everything."""
        self.mapping.clear()


class DictMemo(SealedMemo):
    """The shipped fake. ``mapping`` holds the sealed bytes, to look at or to damage."""

    def __init__(
        self, sealing: Sealing | None = None, mapping: MutableMapping[Key, bytes] | None = None
    ) -> None:
        blobs = DictBlobs(mapping)
        super().__init__(blobs, sealing, Leases(LocalLeases()))
        self.mapping = blobs.mapping
