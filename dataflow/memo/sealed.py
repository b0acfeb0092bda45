"""What all memos share: keys asked once, values sealed, everything counted. Stores hold only bytes."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from dataflow.memo.base import LOST, WON, Claim, Counters, Entry, Found, Missed
from dataflow.memo.blobs import Blob, BlobStore, Sealed
from dataflow.memo.compression import require
from dataflow.memo.envelope import EPOCH_BYTES, MAX_RAW_BYTES, EnvelopeError, Opened, seal, unseal
from dataflow.memo.keys import Key, Uncacheable
from dataflow.memo.leases import Leases

__all__ = ["Blob", "BlobStore", "Sealed", "SealedMemo", "Sealing"]

_JITTER = 0.1
_IMMUTABLE = (bytes, str, int, float, bool, type(None))


@dataclass(frozen=True)
class Sealing:
    """How values are sealed.

    Attributes:
        secret: the MAC's; by default one of this process alone.
        payload: ``raw``, ``lz4`` or ``zstd``.
        ttl_seconds: how long values live, give or take a tenth so that they don't all end at once.
        tag: values end when this tag is invalidated; ``None`` for no tag.
        max_value_bytes: values whose blob is larger aren't kept.
        max_raw_bytes: the most that a blob may become when decompressed.
        now: seconds since 1970; what lives are measured by.
    """

    secret: bytes = field(default_factory=lambda: os.urandom(32), repr=False)
    payload: str = "raw"
    ttl_seconds: float | None = None
    tag: str | None = None
    max_value_bytes: int = 64 * 2**20
    max_raw_bytes: int = MAX_RAW_BYTES
    now: Callable[[], float] = field(default=time.time, repr=False, compare=False)

    def __post_init__(self) -> None:
        require(self.payload)

    def seal(self, entry: Entry) -> Sealed:
        """Seal one entry. Raises Uncacheable."""
        lives = [life for life in (self.ttl_seconds, entry.ttl_seconds) if life is not None]
        ttl = min(lives) if lives else None
        if ttl is not None:
            ttl = _jittered(ttl, entry.key)
        data = seal(
            entry.value,
            key=entry.key,
            secret=self.secret,
            compute_seconds=entry.compute_seconds,
            compression=self.payload,
            created=self.now(),
            ttl_seconds=ttl,
            epoch=entry.epoch or bytes(EPOCH_BYTES),
            input_digest=entry.input_digest,
            marks=entry.marks,
            max_raw_bytes=self.max_raw_bytes,
        )
        return Sealed(entry.key, data, ttl, entry.near)

    def unseal(self, key: Key, data: bytes) -> Opened:
        """Open one blob. Raises EnvelopeError."""
        now = self.now()
        opened = unseal(data, key=key, secret=self.secret, now=now, max_raw_bytes=self.max_raw_bytes)
        # It may have been stored by a run that gave it a longer life than this one believes in.
        if self.ttl_seconds is not None and now > opened.created + _jittered(self.ttl_seconds, key):
            raise EnvelopeError("expired", "it is older than this run allows.")
        return opened


def _jittered(seconds: float, key: Key) -> float:
    # Spread by the key and not by chance: every worker gives a key the same life.
    return seconds * (1 - _JITTER + 2 * _JITTER * int.from_bytes(key[:2], "big") / 0xFFFF)


class SealedMemo:
    """A memo over a store of bytes; implements :class:`dataflow.memo.base.Memo`.

    Args:
        blobs: the store.
        sealing: how values are sealed.
        leases: who computes what; ``None`` where nobody else could.
    """

    def __init__(
        self, blobs: BlobStore, sealing: Sealing | None = None, leases: Leases | None = None
    ) -> None:
        self.name = blobs.name
        self._blobs = blobs
        self._sealing = sealing or Sealing()
        self._leases = leases
        self._counters = Counters()

    def lookup(self, keys: Sequence[Key]) -> list[Found | Missed]:
        """See :meth:`Memo.lookup`."""
        start = time.perf_counter()
        distinct = list(dict.fromkeys(keys))
        blobs, epoch = self._read(distinct)
        answers: dict[Key, Found | Missed] = {}
        results: list[Found | Missed] = []
        for key in keys:
            answer = answers.get(key)
            if answer is None or (isinstance(answer, Found) and type(answer.value) not in _IMMUTABLE):
                # Two documents of equal content get a value each: neither may change the other's.
                answer = answers[key] = self._opened(key, blobs[key], epoch)
            results.append(answer)
        self._discard([k for k, a in answers.items() if isinstance(a, Missed) and isinstance(blobs[k], Blob)])
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
            if self._sealing.tag is not None and not entry.epoch:
                counted["rejected_no_epoch"] += 1  # nobody could say when it was computed
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
        refused = counted["rejected_too_large"] + counted["rejected_no_epoch"]
        counted["rejected"] = refused + len(sealed) - kept
        written = sum(len(one.data) for one in sealed.values()) * kept // max(1, len(sealed))
        times = {"stores": 1, "store_seconds": time.perf_counter() - start}
        self._counters.add({**counted, **times, "stored": kept, "bytes_written": written})
        return kept

    def claim(self, keys: Sequence[Key]) -> list[Found | Claim]:
        """See :meth:`Memo.claim`."""
        if self._leases is None or not keys:
            return [WON] * len(keys)
        won = self._leases.take(keys)
        # Read again, after the claim: whoever had it before may have stored the value in between.
        found = self._reread([key for key, mine in zip(keys, won, strict=True) if mine])
        results: list[Found | Claim] = []
        for key, mine in zip(keys, won, strict=True):
            results.append(found.get(key, WON if mine else LOST))
        self._leases.drop(list(found))
        self._counters.add({"leases_won": won.count(True) - len(found), "leases_lost": won.count(False)})
        return results

    def wait(self, keys: Sequence[Key]) -> list[Found | Missed]:
        """See :meth:`Memo.wait`."""
        start = time.perf_counter()
        answers: dict[Key, Found] = {}
        missing = list(keys)
        if self._leases is not None:
            for held in self._leases.watch(keys):
                # What is held is asked for as well: it may be stored already, and released in a moment.
                answers.update(self._reread(missing))
                missing = [k for k in missing if k not in answers and k in held]
                if not missing:
                    break
        self._counters.add({"lease_waits": len(keys), "lease_wait_seconds": time.perf_counter() - start})
        return [answers.get(key) or Missed("lease") for key in keys]

    def release(self, keys: Sequence[Key]) -> None:
        """See :meth:`Memo.release`."""
        if self._leases is not None and keys:
            self._leases.drop(keys)

    def invalidate_tag(self, tag: str) -> None:
        """See :meth:`Memo.invalidate_tag`."""
        self._blobs.bump(tag)

    def counters(self) -> dict[str, float]:
        """See :meth:`Memo.counters`."""
        return {**dict.fromkeys(_ALWAYS, 0.0), **self._counters.snapshot(), **self._blobs.counters.snapshot()}

    def close(self) -> None:
        """See :meth:`Memo.close`."""
        if self._leases is not None:
            self._leases.close()
        self._blobs.close()

    def _read(self, keys: Sequence[Key]) -> tuple[dict[Key, Blob | Missed], bytes | None]:
        """What the store holds, and the epoch of the tag as it was before: ``None`` without a tag."""
        if not keys:
            return {}, None
        if self._sealing.tag is None:
            return dict(zip(keys, self._blobs.read(keys), strict=True)), None
        epoch, blobs = self._blobs.read_tagged(keys, self._sealing.tag)
        return dict(zip(keys, blobs, strict=True)), epoch

    def _reread(self, keys: Sequence[Key]) -> dict[Key, Found]:
        """Those that are there by now; what isn't has been counted as a miss before."""
        if not keys:
            return {}
        start = time.perf_counter()
        blobs, epoch = self._read(keys)
        opened = {key: self._opened(key, blobs[key], epoch) for key in keys}
        found = {key: answer for key, answer in opened.items() if isinstance(answer, Found)}
        self._count(found.values(), sum(f.blob_bytes for f in found.values()), time.perf_counter() - start)
        return found

    def _opened(self, key: Key, blob: Blob | Missed, epoch: bytes | None) -> Found | Missed:
        if isinstance(blob, Missed):
            return blob if epoch is None else Missed(blob.reason, epoch)
        try:
            opened = self._sealing.unseal(key, blob.data)
        except EnvelopeError as error:
            return Missed(error.reason, epoch or b"")
        if epoch is not None and (opened.epoch != epoch or not epoch):
            # An empty epoch is one that the store couldn't tell: nothing can be believed then.
            return Missed("epoch" if epoch else "down", epoch)
        return Found(
            opened.value,
            blob.tier,
            opened.compute_seconds,
            len(blob.data),
            opened.digest,
            opened.input_digest,
        )

    def _discard(self, keys: Sequence[Key]) -> None:
        if keys:
            self._blobs.discard(keys)

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
