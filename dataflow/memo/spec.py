"""What a memo is, as plain data that travels to the workers, and the memo itself, once a process."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field

from dataflow.errors import CacheError
from dataflow.memo.base import Memo
from dataflow.memo.connect import redacted

__all__ = ["KINDS", "MemoSpec", "close_memos", "open_memo"]

KINDS = ("none", "lru", "redis", "tiered", "dict")


@dataclass(frozen=True)
class MemoSpec:
    """Everything that :func:`open_memo` needs. Its repr shows neither the secret nor the URL's password.

    Attributes:
        kind: ``none``, ``lru``, ``redis``, ``tiered`` (lru over redis) or ``dict`` (the fake).
        url: the server's, for ``redis`` and ``tiered``.
        secret: what values are sealed with; the same for all who share them.
        payload: ``raw``, ``lz4`` or ``zstd``.
        max_bytes: the bound of ``lru``, and of the near part of ``tiered``.
        namespace: the beginning of the keys on the server.
        ttl_seconds: how long values live; ``None`` for ever.
        max_value_bytes: larger values aren't kept.
        max_raw_bytes: nothing is decompressed to more than this.
    """

    kind: str
    url: str | None = field(default=None, repr=False)
    secret: bytes = field(default=b"", repr=False)
    payload: str = "raw"
    max_bytes: int = 128 * 2**20
    namespace: str = "dataflow"
    ttl_seconds: float | None = None
    max_value_bytes: int = 64 * 2**20
    max_raw_bytes: int = 256 * 2**20

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise CacheError(f"cache {self.kind!r} is unknown: choose one of {', '.join(KINDS)}.")
        if self.kind in ("redis", "tiered") and not (self.url and self.secret):
            raise CacheError(f"cache {self.kind!r} needs a server's URL and a secret: set REDIS_URL.")
        if self.ttl_seconds is not None and not self.ttl_seconds > 0:
            raise CacheError("a time to live must be a number of seconds above 0.")

    def __repr__(self) -> str:
        place = f", url={redacted(self.url)!r}" if self.url else ""
        life = f", ttl_seconds={self.ttl_seconds}" if self.ttl_seconds is not None else ""
        rest = f"payload={self.payload!r}, namespace={self.namespace!r}{life}"
        return f"MemoSpec(kind={self.kind!r}{place}, {rest})"


_open: dict[MemoSpec, Memo] = {}
_lock = threading.Lock()


def open_memo(spec: MemoSpec) -> Memo:
    """The memo of this process for ``spec``: all its tasks and threads share one pool of connections and one
    LRU.

    Raises:
        CacheError: the spec can't be fulfilled (an unknown URL scheme, a library that isn't installed). A
            server that is down is no error: its look-ups miss.
    """
    memo = _open.get(spec)
    if memo is None:
        with _lock:
            memo = _open.get(spec)
            if memo is None:
                memo = _open[spec] = _made(spec)
    return memo


def close_memos() -> None:
    """Close the memos of this process; the next :func:`open_memo` makes new ones."""
    with _lock:
        memos = list(_open.values())
        _open.clear()
    for memo in memos:
        memo.close()


def _made(spec: MemoSpec) -> Memo:
    if spec.kind == "none":
        from dataflow.memo.none import NoMemo

        return NoMemo()
    from dataflow.memo.sealed import Sealing

    sealing = Sealing(
        secret=spec.secret or os.urandom(32),
        payload=spec.payload,
        ttl_seconds=spec.ttl_seconds,
        max_value_bytes=spec.max_value_bytes,
        max_raw_bytes=spec.max_raw_bytes,
    )
    if spec.kind == "dict":
        from dataflow.memo.dictionary import DictMemo

        return DictMemo(sealing)
    from dataflow.memo.lru import LruBlobs, LruMemo

    if spec.kind == "lru":
        return LruMemo(spec.max_bytes, sealing)
    from dataflow.memo.connect import client_of
    from dataflow.memo.redis import RedisBlobs, RedisMemo

    url = spec.url or ""
    client_of(url).close()  # a URL that can't be one is an error now, and not a miss later
    if spec.kind == "redis":
        return RedisMemo(url, sealing, namespace=spec.namespace)
    from dataflow.memo.tiered import TieredMemo

    return TieredMemo(LruBlobs(spec.max_bytes), RedisBlobs(url, namespace=spec.namespace), sealing)


def _forget() -> None:
    # A forked child must not use its parent's sockets, nor a lock that another thread held at the fork.
    global _lock
    _lock = threading.Lock()
    _open.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
