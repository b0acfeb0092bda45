"""The envelope around a kept value: a fixed header and a payload, under one keyed MAC.

The MAC covers the memo key, the header and the payload, and is compared in constant time before anything is
parsed. It is a keyed BLAKE2b-256, and from 8 KiB of payload on a keyed BLAKE3 under a key of its own, which takes a
sixth of the time for what is large, and more for what is small. That is fixed here and never read from the value.
So a value that was altered, cut, moved to another key, or written by someone without the secret is refused unseen.

Header, 148 bytes, little-endian: magic ``DFm1``, format, codec, compression, a spare byte, key id (4),
created (microseconds since 1970), time to live (milliseconds, 0 for none), compute time (microseconds), raw
length, payload length (8 each), tag epoch (16), digest of the encoded value (20), digest of the input (20),
marks of the stages that made it (8), MAC (32).
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import struct
import time
from typing import Any, NamedTuple

from blake3 import blake3

from dataflow.memo.codecs import CODECS, Encoded, decode_value, encode_value
from dataflow.memo.compression import compress, decompress, require
from dataflow.memo.keys import Key, Uncacheable

__all__ = [
    "EPOCH_BYTES",
    "HEADER_BYTES",
    "MAX_RAW_BYTES",
    "EnvelopeError",
    "Opened",
    "claimed_marks",
    "claimed_payload_bytes",
    "seal",
    "unseal",
]

MAX_RAW_BYTES = 256 * 2**20
"""No kept value is larger than this before compression, unless told otherwise."""

EPOCH_BYTES = 16
MARK_BYTES = 8

_MAGIC, _FORMAT = b"DFm1", 3
_HEADER = struct.Struct("<4sBBBB4sQQQQQ16s20s20s8s")
_MARKS_AT = 108
_MAC_BYTES = 32
_LARGE_BYTES = 8192  # of payload
HEADER_BYTES = _HEADER.size + _MAC_BYTES
_SMALL = 128  # bytes: below, compressing costs more than it saves


class EnvelopeError(Exception):
    """A blob that is no value of this key and secret.

    Attributes:
        reason: ``corrupt`` (not an envelope, or cut short), ``forged`` (the MAC doesn't match: altered,
            moved from another key, or made by somebody without the secret), ``secret`` (sealed with another
            secret, as it says itself), ``codec`` (made by another version), ``too_large`` or ``expired``.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason


class Opened(NamedTuple):
    """A kept value, encoded as it is, and what is known of it.

    Attributes:
        codec: a number of :data:`dataflow.memo.codecs.CODECS`.
        raw: the encoded value.
        compute_seconds: what computing it took.
        digest: of the encoded value, 20 bytes.
        created: seconds since 1970.
        ttl_seconds: how long it may be used; 0 for ever.
        epoch: of its tag when computing began, 16 bytes.
        input_digest: of the document that it was made of, 20 bytes.
        marks: which stages made it, 8 bytes; see :func:`dataflow.memo.chain.marks`.
    """

    codec: int
    raw: bytes
    compute_seconds: float
    digest: bytes
    created: float
    ttl_seconds: float = 0.0
    epoch: bytes = bytes(EPOCH_BYTES)
    input_digest: bytes = bytes(20)
    marks: bytes = bytes(MARK_BYTES)

    @classmethod
    def of(cls, value: object, *, max_raw_bytes: int = MAX_RAW_BYTES, **known: Any) -> Opened:
        """Encode a value, with what is known of it as keywords.

        Raises:
            Uncacheable: the value's type isn't known, or it is too large.
        """
        encoded = Encoded(*encode_value(value))
        if len(encoded.raw) > max_raw_bytes:
            # Without its own size: reasons are counted, and each value would be one of its own.
            raise Uncacheable(f"a value of over {max_raw_bytes:,} bytes can't be kept: return less at once.")
        return cls(encoded.codec, encoded.raw, digest=encoded.digest, **known)

    @property
    def value(self) -> Any:
        """The value, the caller's own. Raises ValueError if the bytes aren't of their codec."""
        return decode_value(self.codec, self.raw)


def seal(kept: Opened, *, key: Key, secret: bytes, compression: str = "raw") -> bytes:
    """One value as a sealed blob.

    Args:
        kept: the value.
        key: the memo key that it will be kept under; the blob is worthless under any other.
        secret: what the MAC is keyed with.
        compression: ``raw``, ``lz4`` or ``zstd``; small or incompressible values stay raw.

    Raises:
        CacheError: the compression's library isn't installed.
    """
    number, raw = require(compression), kept.raw
    payload = compress(number, raw) if number and len(raw) >= _SMALL else raw
    if len(payload) >= len(raw):
        number, payload = 0, raw
    keys = _derived(secret)
    header = _HEADER.pack(
        _MAGIC,
        _FORMAT,
        kept.codec,
        number,
        0,
        keys.id,
        int(kept.created * 1e6),
        max(1, int(kept.ttl_seconds * 1e3)) if kept.ttl_seconds else 0,
        max(0, int(kept.compute_seconds * 1e6)),
        len(raw),
        len(payload),
        kept.epoch,
        kept.digest,
        kept.input_digest,
        kept.marks,
    )
    return b"".join((header, _mac(keys, key, header, payload), payload))


def unseal(
    blob: bytes | memoryview,
    *,
    key: Key,
    secret: bytes,
    now: float | None = None,
    max_raw_bytes: int = MAX_RAW_BYTES,
) -> Opened:
    """The value of a blob, checked. ``now`` (seconds since 1970) is what its time to live is held against.

    Raises:
        EnvelopeError: see its ``reason``.
    """
    view = memoryview(blob)
    header, mac, payload = view[: _HEADER.size], view[_HEADER.size : HEADER_BYTES], view[HEADER_BYTES:]
    keys = _derived(secret)
    if len(view) < HEADER_BYTES or not hmac.compare_digest(_mac(keys, key, header, payload), mac):
        raise _refusal(view, keys.id)
    return _open(header, payload, time.time() if now is None else now, max_raw_bytes)


def claimed_payload_bytes(header: bytes) -> int:
    """The length of the payload that a blob says it has, unchecked; -1 where it is no header."""
    if len(header) < HEADER_BYTES or header[:4] != _MAGIC:
        return -1
    return int(_HEADER.unpack(header[: _HEADER.size])[10])


def claimed_marks(header: bytes) -> bytes:
    """The marks of the stages that a blob says it has, unchecked: good enough to remove it."""
    return header[_MARKS_AT : _MARKS_AT + MARK_BYTES] if header[:4] == _MAGIC else b""


def _open(header: memoryview, payload: memoryview, now: float, max_raw_bytes: int) -> Opened:
    _, form, codec, number, _, _, created, ttl, compute, raw_bytes, _, epoch, check, source, made_by = (
        _HEADER.unpack(header)
    )
    if form != _FORMAT or codec not in CODECS:
        raise EnvelopeError("codec", f"format {form}, codec {codec} is of another version.")
    if ttl and now * 1e3 > created / 1e3 + ttl:
        raise EnvelopeError("expired", "its time to live is over.")
    if raw_bytes > max_raw_bytes:
        raise EnvelopeError("too_large", f"{raw_bytes:,} bytes are over the limit of {max_raw_bytes:,}.")
    try:
        raw = bytes(decompress(number, payload, raw_bytes))
    except ValueError as error:
        raise EnvelopeError("codec", str(error)) from None
    return Opened(codec, raw, compute / 1e6, check, created / 1e6, ttl / 1e3, epoch, source, made_by)


def _refusal(view: memoryview, key_id: bytes) -> EnvelopeError:
    """Why a blob with a wrong MAC was refused; nothing of what it says is used but to word this."""
    if len(view) < HEADER_BYTES or view[:4] != _MAGIC:
        return EnvelopeError("corrupt", "this is no envelope, or only a part of one.")
    header = _HEADER.unpack(view[: _HEADER.size])
    sealed_with, claimed = header[5], header[10]
    if claimed != len(view) - HEADER_BYTES:
        return EnvelopeError("corrupt", "it was cut short or added to.")
    if sealed_with != key_id:
        return EnvelopeError("secret", "it was sealed with another secret.")
    return EnvelopeError("forged", "it was altered, or moved from another key.")


class _Keys(NamedTuple):
    """What is derived of a secret.

    Attributes:
        small: a MAC of nothing yet, for what is small: to copy it takes a third of the time of keying one.
        large: the same for what is large.
        id: 4 bytes that tell secrets apart: a worker with another one is told from a forger.
    """

    small: hashlib.blake2b
    large: blake3
    id: bytes


def _mac(keys: _Keys, key: Key, header: bytes | memoryview, payload: bytes | memoryview) -> bytes:
    mac: Any = (keys.small if len(payload) < _LARGE_BYTES else keys.large).copy()
    mac.update(b"".join((len(key).to_bytes(4, "big"), key, header)))
    mac.update(payload)
    return bytes(mac.digest())


@functools.lru_cache(maxsize=16)
def _derived(secret: bytes) -> _Keys:
    if not secret:
        raise ValueError("an empty secret protects nothing")
    derive = functools.partial(hashlib.blake2b, secret[:64], person=b"dataflow seal")
    if len(secret) > 64:
        derive = functools.partial(hashlib.blake2b, hashlib.blake2b(secret).digest(), person=b"dataflow seal")
    return _Keys(
        hashlib.blake2b(key=derive(salt=b"mac", digest_size=64).digest(), digest_size=_MAC_BYTES),
        blake3(key=derive(salt=b"large mac", digest_size=32).digest()),
        derive(salt=b"key id", digest_size=4).digest(),
    )
