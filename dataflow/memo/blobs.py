"""Where sealed bytes are kept: the interface of all stores, and the tags of those in this process."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from dataflow.memo.base import Counters, Missed
from dataflow.memo.envelope import EPOCH_BYTES
from dataflow.memo.keys import Key

__all__ = ["Blob", "BlobStore", "LocalTags", "Nowhere", "Sealed", "new_epoch"]


class Blob(NamedTuple):
    """Sealed bytes and the tier that had them, with the seconds that this one took by itself."""

    data: bytes
    tier: str
    seconds: float = 0.0


class Sealed(NamedTuple):
    """Sealed bytes to keep, with their time to live in seconds (``None``: for ever)."""

    key: Key
    data: bytes
    ttl_seconds: float | None


class BlobStore(Protocol):
    """Where sealed bytes are kept. Nothing raises: what fails is a reason or a smaller count."""

    name: str

    @property
    def counters(self) -> Counters:
        """What befell the store itself."""

    def read(self, keys: Sequence[Key]) -> list[Blob | Missed]:
        """One answer a key; the keys are different ones."""

    def read_tagged(self, keys: Sequence[Key], tag: str) -> tuple[bytes, list[Blob | Missed]]:
        """The tag's epoch, read before the answers are; empty where the store can't tell it."""

    def write(self, items: Sequence[Sealed]) -> int:
        """Keep; how many were kept."""

    def discard(self, keys: Sequence[Key]) -> None:
        """Forget what turned out to be no value."""

    def bump(self, tag: str) -> None:
        """Give a tag a new epoch. Raises CacheError if that fails."""

    def close(self) -> None:
        """Let go of connections and memory."""


def new_epoch() -> bytes:
    """A unique id. A counter that was evicted would begin again, and old entries with it."""
    return os.urandom(EPOCH_BYTES)


class LocalTags:
    """The epochs of tags in this process."""

    def __init__(self) -> None:
        self._epochs: dict[str, bytes] = {}

    def epoch(self, tag: str) -> bytes:
        """The tag's epoch; a new one for a new tag."""
        # One step, so that two threads that ask first get the same.
        return self._epochs.setdefault(tag, new_epoch())

    def bump(self, tag: str) -> None:
        """A new epoch."""
        self._epochs[tag] = new_epoch()


class Nowhere:
    """The store behind a near tier that has none behind it: holds nothing but the tags of this process.

    Args:
        name: of the tier in front.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.counters = Counters()
        self._tags = LocalTags()

    def read(self, keys: Sequence[Key]) -> list[Blob | Missed]:
        """Nothing."""
        return [Missed("new")] * len(keys)

    def read_tagged(self, keys: Sequence[Key], tag: str) -> tuple[bytes, list[Blob | Missed]]:
        """Nothing, and an epoch of this process alone."""
        return self._tags.epoch(tag), self.read(keys)

    def write(self, items: Sequence[Sealed]) -> int:
        """Keeps nothing."""
        return 0

    def discard(self, keys: Sequence[Key]) -> None:
        """There is nothing to forget."""

    def bump(self, tag: str) -> None:
        """A new epoch, for this process alone."""
        self._tags.bump(tag)

    def close(self) -> None:
        """There is nothing to let go of."""
