"""How values are sealed: what of an entry is kept, for how long it lives, and under which seal."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from dataflow.memo.base import Entry
from dataflow.memo.blobs import Sealed
from dataflow.memo.codecs import Encoded, encode_value
from dataflow.memo.compression import require
from dataflow.memo.envelope import EPOCH_BYTES, MAX_RAW_BYTES, Opened, seal, unseal
from dataflow.memo.keys import Key

__all__ = ["Sealing"]

_JITTER = 0.1


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

    def encode(self, entry: Entry) -> Opened:
        """What is to be kept of an entry. Raises Uncacheable."""
        lives = [life for life in (self.ttl_seconds, entry.ttl_seconds) if life is not None]
        # A record is plain: it is made here, and of the document's own fields.
        value = entry.value if entry.about is None else Encoded(*encode_value(entry.value, plain=True))
        return Opened.of(
            value,
            max_raw_bytes=self.max_raw_bytes,
            compute_seconds=entry.compute_seconds,
            created=self.now(),
            ttl_seconds=_jittered(min(lives), entry.key) if lives else 0.0,
            epoch=entry.epoch or bytes(EPOCH_BYTES),
            input_digest=entry.input_digest,
            marks=entry.marks,
        )

    def seal(self, key: Key, kept: Opened) -> Sealed:
        """Seal what is to be kept."""
        data = seal(kept, key=key, secret=self.secret, compression=self.payload)
        return Sealed(key, data, kept.ttl_seconds or None)

    def unseal(self, key: Key, data: bytes) -> Opened:
        """Open one blob. Raises EnvelopeError."""
        return unseal(data, key=key, secret=self.secret, now=self.now(), max_raw_bytes=self.max_raw_bytes)

    def expired(self, key: Key, kept: Opened, now: float) -> bool:
        """Whether its life is over: its own, or that which this run allows, where another gave it a longer one."""
        if kept.ttl_seconds and now > kept.created + kept.ttl_seconds:
            return True
        return self.ttl_seconds is not None and now > kept.created + _jittered(self.ttl_seconds, key)


def _jittered(seconds: float, key: Key) -> float:
    # Spread by the key and not by chance: every worker gives a key the same life.
    return seconds * (1 - _JITTER + 2 * _JITTER * int.from_bytes(key[:2], "big") / 0xFFFF)
