"""The memo inside a worker alone."""

from __future__ import annotations

from dataflow.memo.blobs import Nowhere
from dataflow.memo.leases import Leases, LocalLeases
from dataflow.memo.near import DEFAULT_MAX_BYTES, Near
from dataflow.memo.sealed import SealedMemo
from dataflow.memo.sealing import Sealing

__all__ = ["LruMemo"]


class LruMemo(SealedMemo):
    """A memo in this process's memory, bounded in bytes: a near tier with nothing behind it.

    Raises:
        CacheError: the bound leaves no room for anything.
    """

    def __init__(self, max_bytes: int = DEFAULT_MAX_BYTES, sealing: Sealing | None = None) -> None:
        near = Near(max_bytes)
        super().__init__(Nowhere(near.name), sealing, Leases(LocalLeases()), near)
