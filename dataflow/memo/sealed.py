"""What all memos share: keys asked once, values sealed, everything counted. Stores hold only bytes."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from dataflow.memo.base import Counters, Entry, Found, Missed
from dataflow.memo.compression import require
from dataflow.memo.envelope import MAX_RAW_BYTES, EnvelopeError, Opened, seal, unseal
from dataflow.memo.keys import Key, Uncacheable

__all__ = ["Blob", "BlobStore", "Sealed", "SealedMemo", "Sealing"]

_JITTER = 0.1
_IMMUTABLE = (bytes, str, int, float, bool, type(None))


class Blob(NamedTuple):
    """Sealed bytes and the tier that had them."""

    data: bytes
    tier: str


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

    def write(self, items: Sequence[Sealed]) -> int:
        """Keep; how many were kept."""

    def discard(self, keys: Sequence[Key]) -> None:
        """Forget what turned out to be no value."""

    def close(self) -> None:
        """Let go of connections and memory."""


@dataclass(frozen=True)
class Sealing:
    """How values are sealed.

    Attributes:
        secret: the MAC's; by default one of this process alone.
        payload: ``raw``, ``lz4`` or ``zstd``.
        ttl_seconds: how long values live, give or take a tenth so that they don't all end at once.
        max_value_bytes: values whose blob is larger aren't kept.
        max_raw_bytes: the most that a blob may become when decompressed.
    """

    secret: bytes = field(default_factory=lambda: os.urandom(32), repr=False)
    payload: str = "raw"
    ttl_seconds: float | None = None
    max_value_bytes: int = 64 * 2**20
    max_raw_bytes: int = MAX_RAW_BYTES

    def __post_init__(self) -> None:
        require(self.payload)

    def seal(self, entry: Entry) -> Sealed:
        """Seal one entry. Raises Uncacheable."""
        ttl = self.ttl_seconds
        if ttl is not None:
            # Spread by the key and not by chance: every worker gives a key the same life.
            ttl *= 1 - _JITTER + 2 * _JITTER * int.from_bytes(entry.key[:2], "big") / 0xFFFF
        data = seal(
            entry.value,
            key=entry.key,
            secret=self.secret,
            compute_seconds=entry.compute_seconds,
            compression=self.payload,
            ttl_seconds=ttl,
            max_raw_bytes=self.max_raw_bytes,
        )
        return Sealed(entry.key, data, ttl)

    def unseal(self, key: Key, data: bytes) -> Opened:
        """Open one blob. Raises EnvelopeError."""
        return unseal(data, key=key, secret=self.secret, max_raw_bytes=self.max_raw_bytes)


class SealedMemo:
    """A memo over a store of bytes; implements :class:`dataflow.memo.base.Memo`."""

    def __init__(self, blobs: BlobStore, sealing: Sealing | None = None) -> None:
        self.name = blobs.name
        self._blobs = blobs
        self._sealing = sealing or Sealing()
        self._counters = Counters()

    def lookup(self, keys: Sequence[Key]) -> list[Found | Missed]:
        """See :meth:`Memo.lookup`."""
        start = time.perf_counter()
        distinct = list(dict.fromkeys(keys))
        blobs = dict(zip(distinct, self._blobs.read(distinct), strict=True)) if distinct else {}
        answers: dict[Key, Found | Missed] = {}
        results: list[Found | Missed] = []
        for key in keys:
            answer = answers.get(key)
            if answer is None or (isinstance(answer, Found) and type(answer.value) not in _IMMUTABLE):
                # Two documents of equal content get a value each: neither may change the other's.
                answer = answers[key] = self._opened(key, blobs[key])
            results.append(answer)
        bad = [k for k, a in answers.items() if isinstance(a, Missed) and isinstance(blobs[k], Blob)]
        if bad:
            self._blobs.discard(bad)
        read = sum(len(blob.data) for blob in blobs.values() if isinstance(blob, Blob))
        self._count(results, read, time.perf_counter() - start)
        return results

    def store(self, entries: Sequence[Entry]) -> int:
        """See :meth:`Memo.store`."""
        start = time.perf_counter()
        sealed: dict[Key, Sealed] = {}
        counted: Counter[str] = Counter()
        for entry in entries:
            if entry.key in sealed:
                continue
            try:
                one = self._sealing.seal(entry)
            except Uncacheable:
                counted["uncacheable"] += 1
                continue
            if len(one.data) > self._sealing.max_value_bytes:
                counted["rejected_too_large"] += 1
            else:
                sealed[entry.key] = one
        kept = self._blobs.write(list(sealed.values())) if sealed else 0
        counted["rejected"] = counted["rejected_too_large"] + len(sealed) - kept
        written = sum(len(one.data) for one in sealed.values()) * kept // max(1, len(sealed))
        times = {"stores": 1, "store_seconds": time.perf_counter() - start}
        self._counters.add({**counted, **times, "stored": kept, "bytes_written": written})
        return kept

    def counters(self) -> dict[str, float]:
        """See :meth:`Memo.counters`."""
        return {**dict.fromkeys(_ALWAYS, 0.0), **self._counters.snapshot(), **self._blobs.counters.snapshot()}

    def close(self) -> None:
        """See :meth:`Memo.close`."""
        self._blobs.close()

    def _opened(self, key: Key, blob: Blob | Missed) -> Found | Missed:
        if isinstance(blob, Missed):
            return blob
        try:
            opened = self._sealing.unseal(key, blob.data)
        except EnvelopeError as error:
            return Missed(error.reason)
        return Found(opened.value, blob.tier, opened.compute_seconds, len(blob.data))

    def _count(self, results: Iterable[Found | Missed], read_bytes: int, seconds: float) -> None:
        counted: Counter[str] = Counter()
        saved = 0.0
        for answer in results:
            if isinstance(answer, Found):
                counted["hits"] += 1
                counted[f"hits_{answer.tier}"] += 1
                saved += answer.compute_seconds
            else:
                counted["misses"] += 1
                counted[f"misses_{answer.reason}"] += 1
        totals = {
            "lookups": 1,
            "bytes_read": read_bytes,
            "lookup_seconds": seconds,
            "compute_seconds_saved": saved,
        }
        self._counters.add({**counted, **totals})


_ALWAYS = (
    "hits",
    "misses",
    "stored",
    "lookups",
    "stores",
    "bytes_read",
    "bytes_written",
    "lookup_seconds",
    "store_seconds",
    "compute_seconds_saved",
    "errors",
    "uncacheable",
    "rejected",
)
