"""What all memos share: keys asked once, values sealed, everything counted. Stores hold only bytes."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

from dataflow.errors import one_line
from dataflow.memo.base import LOST, WON, Claim, Counters, Entry, Found, Missed
from dataflow.memo.blobs import Blob, BlobStore, Nowhere
from dataflow.memo.codecs import decode_value, own_copy
from dataflow.memo.envelope import EnvelopeError, Opened
from dataflow.memo.keys import Key, Uncacheable
from dataflow.memo.leases import Leases
from dataflow.memo.near import Held, Near
from dataflow.memo.plain import ATOMS, copy_of
from dataflow.memo.sealing import Sealing
from dataflow.memo.tiers import Far, bytes_by_tier

__all__ = ["SealedMemo"]


class SealedMemo:
    """A memo over a store of bytes; implements :class:`dataflow.memo.base.Memo`.

    With a near tier in front, what the store had is kept near once its seal was checked, and needs no check there:
    it never leaves the process. Nor does the near tier need to be told of invalidations: a memo with a tag
    asks the store for the tag's epoch with every batch, also where all keys are near, and a near value of another
    epoch is of no use. So there is no time in which an old value could still be served, and nothing to catch up
    with after a lost connection.

    Args:
        blobs: the store.
        sealing: how values are sealed.
        leases: who computes what; ``None`` where nobody else could.
        near: the tier in front of the store.
    """

    def __init__(
        self,
        blobs: BlobStore,
        sealing: Sealing | None = None,
        leases: Leases | None = None,
        near: Near | None = None,
    ) -> None:
        self.name = blobs.name if near is None or near.name == blobs.name else "tiered"
        self.shared = not isinstance(blobs, Nowhere)
        self._blobs = blobs
        self._near = near
        self._sealing = sealing or Sealing()
        self._leases = leases
        self._counters = Counters()

    def lookup(self, keys: Sequence[Key]) -> list[Found | Missed]:
        """See :meth:`Memo.lookup`."""
        start, far = time.perf_counter(), Far()
        answers = self._fetch(list(dict.fromkeys(keys)), far)
        alone = len(answers) == len(keys)
        results = [answers[key] for key in keys] if alone else _one_each(keys, answers)
        self._count(results, len(answers), time.perf_counter() - start, far)
        return results

    def store(self, entries: Sequence[Entry]) -> int:
        """See :meth:`Memo.store`."""
        start = time.perf_counter()
        encoded, counted = self._encoded(entries)
        sealed = [self._sealing.seal(key, one) for key, (one, _) in encoded.items()] if self.shared else []
        kept = self._blobs.write(sealed) if sealed else 0
        if self._near is not None:
            everything = not self.shared
            near = self._near.put(
                [(key, one, entry.value) for key, (one, entry) in encoded.items() if everything or entry.near]
            )
            kept = max(kept, near)
        refused = counted["rejected_too_large"] + counted["rejected_no_epoch"]
        counted["rejected"] = refused + len(encoded) - kept
        size = sum(len(one.data) for one in sealed) or sum(len(one.raw) for one, _ in encoded.values())
        written = size * kept // max(1, len(encoded))
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

    def wait(self, keys: Sequence[Key]) -> list[Found | Missed | Claim]:
        """See :meth:`Memo.wait`."""
        start, reading = time.perf_counter(), 0.0
        answers: dict[Key, Found | Missed | Claim] = {}
        missing, tried = list(keys), set[Key]()
        for held in self._leases.watch(keys) if self._leases is not None else ():
            # What is held is asked for as well: it may be stored already, and released in a moment.
            asked = time.perf_counter()
            answers.update(self._reread(missing))
            free = [k for k in missing if k not in answers and k not in held]
            # Its holder is gone: one of those who wait takes over, once. Who gives up twice holds up nobody.
            again = [k for k in free if k not in tried]
            tried.update(again)
            answers.update(
                {k: claim for k, claim in zip(again, self.claim(again), strict=True) if claim is not LOST}
            )
            reading += time.perf_counter() - asked
            given_up = set(free) - set(again)
            missing = [k for k in missing if k not in answers and k not in given_up]
            if not missing:
                break
        # Reading was counted as that already.
        waited = time.perf_counter() - start - reading
        self._counters.add({"lease_waits": len(keys), "lease_wait_seconds": waited})
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
        stores = [self._blobs.counters, *([] if self._near is None else [self._near.counters])]
        totals = dict.fromkeys(_ALWAYS, 0.0)
        for counters in (self._counters, *stores):
            for name, number in counters.snapshot().items():
                totals[name] = totals.get(name, 0.0) + number
        return totals

    def close(self) -> None:
        """See :meth:`Memo.close`."""
        if self._leases is not None:
            self._leases.close()
        if self._near is not None:
            self._near.clear()
        self._blobs.close()

    def _encoded(self, entries: Sequence[Entry]) -> tuple[dict[Key, tuple[Opened, Entry]], Counter[str]]:
        """What is to be kept, encoded and as it was given; and what is not, by the reason."""
        encoded: dict[Key, tuple[Opened, Entry]] = {}
        counted: Counter[str] = Counter()
        refused: dict[Key, str] = {}
        for entry in entries:
            if entry.key in encoded:
                continue
            if entry.about in refused:
                entry = _with_reason(entry, refused[entry.about])
            if self._sealing.tag is not None and not entry.epoch:
                counted["rejected_no_epoch"] += 1  # nobody could say when it was computed
                continue
            try:
                one = self._sealing.encode(entry)
            except Uncacheable as error:
                refused[entry.key] = why = one_line(error).rstrip(".")
                counted.update(["uncacheable", f"uncacheable_{why}"])
                continue
            if len(one.raw) > self._sealing.max_value_bytes:
                refused[entry.key] = f"it is over the limit of {self._sealing.max_value_bytes:,} bytes"
                counted["rejected_too_large"] += 1
            else:
                encoded[entry.key] = (one, entry)
        return encoded, counted

    def _fetch(self, keys: list[Key], far: Far) -> dict[Key, Found | Missed]:
        """One answer a key, from the near tier or in one round trip; what the store took is noted in ``far``.

        A second round trip only where the tag was bumped since the near values came.
        """
        tag, near = self._sealing.tag, self._near.get(keys) if self._near is not None else {}
        absent = [key for key in keys if key not in near] if len(near) < len(keys) else []
        if tag is None:
            answers = self._read(absent, None, far) if absent else {}
            return answers | self._nearby(near)
        epoch, answers = self._read_tagged(absent, tag, far) if keys else (b"", {})
        if not epoch:
            # The store couldn't tell the epoch: nothing can be believed then.
            return {**answers, **dict.fromkeys(near, Missed("down", b""))}
        stale = [key for key, held in near.items() if held.opened.epoch != epoch]
        if stale and self._near is not None:
            self._near.discard(stale)
            answers |= self._read(stale, epoch, far)
            near = {key: held for key, held in near.items() if held.opened.epoch == epoch}
        return {**answers, **self._nearby(near)}

    def _read(self, keys: list[Key], epoch: bytes | None, far: Far) -> dict[Key, Found | Missed]:
        with far.asked(len(keys)):
            return self._opened(keys, self._blobs.read(keys), epoch, far)

    def _read_tagged(self, keys: list[Key], tag: str, far: Far) -> tuple[bytes, dict[Key, Found | Missed]]:
        with far.asked(len(keys)):
            epoch, blobs = self._blobs.read_tagged(keys, tag)
            return epoch, self._opened(keys, blobs, epoch, far)

    def _nearby(self, near: dict[Key, Held]) -> dict[Key, Found | Missed]:
        now, limited = self._sealing.now(), self._sealing.ttl_seconds is not None
        name = "" if self._near is None else self._near.name
        answers: dict[Key, Found | Missed] = {}
        again: list[tuple[Key, Opened, Any]] = []
        for key, held in near.items():
            if held.answer is not None and not limited:
                answers[key] = held.answer
                continue
            kept, ready, value, parts, size, _, _ = held
            if (limited or kept.ttl_seconds) and self._sealing.expired(key, kept, now):
                answers[key] = Missed("expired", kept.epoch)
            elif ready:
                own = value if parts is None else copy_of(value, parts)
                answers[key] = Found(own, name, kept.compute_seconds, size, kept.digest, kept.input_digest)
            else:
                answers[key] = found = self._found(key, kept, name, size, now)
                if ready is None and type(found) is Found:
                    again.append((key, kept, found.value))
        if again and self._near is not None:
            self._near.make_ready(again)
        return answers

    def _opened(
        self, keys: Sequence[Key], blobs: Sequence[Blob | Missed], epoch: bytes | None, far: Far
    ) -> dict[Key, Found | Missed]:
        """Check what the store had; what holds is kept near."""
        now = self._sealing.now()
        answers: dict[Key, Found | Missed] = {}
        good: list[tuple[Key, Opened]] = []
        bad: list[Key] = []
        for key, blob in zip(keys, blobs, strict=True):
            if isinstance(blob, Missed):
                answers[key] = blob if epoch is None else Missed(blob.reason, epoch)
                continue
            if blob.seconds:
                far.elsewhere(blob)
            try:
                kept = self._sealing.unseal(key, blob.data)
            except EnvelopeError as error:
                answers[key] = Missed(error.reason, epoch or b"")
                bad.append(key)
                continue
            if epoch is not None and (kept.epoch != epoch or not epoch):
                answers[key] = Missed("epoch" if epoch else "down", epoch)
                bad.append(key)
                continue
            answers[key] = answer = self._found(key, kept, blob.tier, len(blob.data), now)
            if type(answer) is Found:
                good.append((key, kept))
        if bad:
            self._blobs.discard(bad)
        if good and self._near is not None:
            self._near.put_encoded(good)
        return answers

    def _found(self, key: Key, kept: Opened, tier: str, size: int, now: float) -> Found | Missed:
        if self._sealing.expired(key, kept, now):
            return Missed("expired", kept.epoch)
        try:
            value = decode_value(kept.codec, kept.raw)
        except ValueError:
            return Missed("codec", kept.epoch)
        return Found(value, tier, kept.compute_seconds, size, kept.digest, kept.input_digest)

    def _reread(self, keys: Sequence[Key]) -> dict[Key, Found]:
        """Those that are there by now; what isn't has been counted as a miss before."""
        if not keys:
            return {}
        start, far = time.perf_counter(), Far()
        answers = self._fetch(list(keys), far)
        found = {k: answer for k, answer in answers.items() if isinstance(answer, Found)}
        self._count(found.values(), len(answers), time.perf_counter() - start, far)
        return found

    def _count(self, results: Collection[Found | Missed], asked: int, seconds: float, far: Far) -> None:
        hits = [answer for answer in results if type(answer) is Found]
        misses = Counter(answer.reason for answer in results if type(answer) is Missed)
        tiers = Counter([hit.tier for hit in hits])
        reasons = {f"misses_{reason}": n for reason, n in misses.items()}
        size = sum([hit.blob_bytes for hit in hits])
        totals = {
            "lookups": 1,
            "lookup_seconds": seconds,
            "bytes_read": size,
            "compute_seconds_saved": sum([hit.compute_seconds for hit in hits]),
        }
        near = None if self._near is None else self._near.name
        shares = far.shares(near, self._blobs.name if self.shared else None, asked, seconds)
        by_tier = {f"hits_{tier}": n for tier, n in tiers.items()} | bytes_by_tier(hits, tiers, size)
        self._counters.add(
            {"hits": len(hits), "misses": misses.total(), **by_tier, **shares, **reasons, **totals}
        )


def _with_reason(entry: Entry, why: str) -> Entry:
    """A record of what can't be kept says so; what isn't there any more would otherwise look evicted."""
    return dataclasses.replace(entry, value={**entry.value, "refused": why})


def _one_each(keys: Sequence[Key], answers: dict[Key, Found | Missed]) -> list[Found | Missed]:
    """An answer a key; two documents of equal content get a value each, as neither may change the other's."""
    results: list[Found | Missed] = []
    given: set[Key] = set()
    for key in keys:
        answer = answers[key]
        if key in given and type(answer) is Found and type(answer.value) not in ATOMS:
            answer = dataclasses.replace(answer, value=own_copy(answer.value))
        given.add(key)
        results.append(answer)
    return results


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
