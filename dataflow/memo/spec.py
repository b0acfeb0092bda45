"""What a memo is, as plain data that travels to the workers, and the memo itself, once a process."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import threading
from dataclasses import dataclass, field

from dataflow.errors import CacheError
from dataflow.memo.base import Memo
from dataflow.memo.blobs import BlobStore
from dataflow.memo.connect import redacted
from dataflow.memo.namespace import checked_namespace
from dataflow.memo.sealing import Sealing

__all__ = ["KINDS", "MemoSpec", "close_memo", "close_memos", "load_stores", "open_memo"]

KINDS = ("none", "lru", "redis", "tiered", "dict")


@dataclass(frozen=True)
class MemoSpec:
    """Everything that :func:`open_memo` needs. Its repr shows neither the secret nor the URL's password.

    Attributes:
        kind: ``none``, ``lru``, ``redis``, ``tiered`` (lru over redis) or ``dict`` (the fake).
        url: the server's, for ``redis`` and ``tiered``.
        on_demand: the folder of a server that may not be started yet; see :mod:`dataflow.memo.demand`.
        secret: what values are sealed with; the same for all who share them.
        payload: ``raw``, ``lz4`` or ``zstd``.
        max_bytes: the bound of ``lru``, and of the near part of ``tiered``.
        namespace: the beginning of the keys on the server.
        ttl_seconds: how long values live; ``None`` for ever.
        tag: values end when this tag is invalidated.
        max_value_bytes: larger values aren't kept.
        max_raw_bytes: nothing is decompressed to more than this.
        spill_url: a folder that all workers see, for values over ``spill_bytes``; ``None`` for none.
        spill_bytes: larger values go there, and the server holds a pointer.
        admission: whether what doesn't pay is left alone; see :mod:`dataflow.memo.admission`.
        leases: whether one worker computes a key that several miss at once.
        lease_seconds: how long the lease of a worker that died keeps others waiting.
        wait_seconds: how long anybody waits for another worker at most.
        failure_seconds: how long an error is kept that its stage says is deterministic.
        generation: changes when something was invalidated by hand, so that no worker goes on with what it
            has in memory; see :func:`dataflow.memo.admin.generation`.
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
    tag: str | None = None
    spill_url: str | None = None
    spill_bytes: int = 2**20
    admission: bool = True
    leases: bool = True
    lease_seconds: float = 3.0
    wait_seconds: float = 60.0
    failure_seconds: float = 300.0
    generation: bytes = field(default=b"", repr=False)
    on_demand: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise CacheError(f"cache {self.kind!r} is unknown: choose one of {', '.join(KINDS)}.")
        if self.kind in ("redis", "tiered") and not (self.url and self.secret):
            raise CacheError(f"cache {self.kind!r} needs a server's URL and a secret: set REDIS_URL.")
        if self.kind == "lru" and self.tag is not None:
            raise CacheError("a tag needs a store that all workers share: choose redis or tiered.")
        checked_namespace(self.namespace)
        if self.ttl_seconds is not None and not self.ttl_seconds > 0:
            raise CacheError("a time to live must be a number of seconds above 0.")

    def __repr__(self) -> str:
        place = f", url={redacted(self.url)!r}" if self.url else ""
        life = f", ttl_seconds={self.ttl_seconds}" if self.ttl_seconds is not None else ""
        rest = f"payload={self.payload!r}, namespace={self.namespace!r}{life}"
        return f"MemoSpec(kind={self.kind!r}{place}, {rest})"


_open: dict[MemoSpec, Memo] = {}
_latest: dict[MemoSpec, MemoSpec] = {}  # those that are open, by what they are but for their generation
_ended: set[str] = (
    set()
)  # folders of servers that ended with their runs: somebody may still be at a batch of one
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
                ended = spec.on_demand in _ended
                memo = _made(MemoSpec("none") if ended else spec)
                if ended:
                    return memo
                _close_older(spec)
                _open[spec] = memo
    return memo


def _close_older(spec: MemoSpec) -> None:
    """What only an older generation asked for will not be asked for again."""
    plain = dataclasses.replace(spec, generation=b"")
    older = _latest.get(plain)
    if older is not None:
        _open.pop(older).close()
    _latest[plain] = spec


def load_stores() -> None:
    """Import what a memo on a server needs, and so what the others do."""
    import dataflow.memo.near
    import dataflow.memo.redis
    import dataflow.memo.spill
    import dataflow.memo.unstarted  # noqa: F401

    with contextlib.suppress(ImportError):  # redis-py does without
        import hiredis  # noqa: F401


def close_memo(spec: MemoSpec) -> None:
    """Close the memo of this process for ``spec``, if it is open; that of a run's own server is never opened again."""
    with _lock:
        if spec.on_demand:
            _ended.add(spec.on_demand)
        memo = _open.pop(spec, None)
        _latest.pop(dataclasses.replace(spec, generation=b""), None)
    if memo is not None:
        memo.close()


def close_memos() -> None:
    """Close the memos of this process; the next :func:`open_memo` makes new ones."""
    with _lock:
        memos = list(_open.values())
        _open.clear()
        _latest.clear()
        _ended.clear()
    for memo in memos:
        memo.close()


def _made(spec: MemoSpec) -> Memo:
    if spec.kind == "none":
        from dataflow.memo.none import NoMemo

        return NoMemo()
    sealing = Sealing(
        secret=spec.secret or os.urandom(32),
        payload=spec.payload,
        ttl_seconds=spec.ttl_seconds,
        tag=spec.tag,
        max_value_bytes=spec.max_value_bytes,
        max_raw_bytes=spec.max_raw_bytes,
    )
    if spec.kind == "dict":
        from dataflow.memo.dictionary import DictMemo

        return DictMemo(sealing)
    from dataflow.memo.lru import LruMemo

    if spec.kind == "lru":
        return LruMemo(spec.max_bytes, sealing)
    return _far(spec, spec.url or "", sealing)


def _far(spec: MemoSpec, url: str, sealing: Sealing) -> Memo:
    from dataflow.memo.leases import Leases, LeaseStore
    from dataflow.memo.near import Near
    from dataflow.memo.redis import RedisBlobs, RedisLeases
    from dataflow.memo.sealed import SealedMemo
    from dataflow.memo.spill import SpillFolder, SpillingBlobs
    from dataflow.memo.unstarted import BlobsOnDemand, LeasesOnDemand

    server = RedisBlobs(url, namespace=spec.namespace)
    leases = None
    if spec.leases:
        store: LeaseStore = RedisLeases(server.wire, spec.namespace)
        if spec.on_demand:
            store = LeasesOnDemand(store, spec.on_demand, spec.lease_seconds)
        leases = Leases(store, seconds=spec.lease_seconds, wait_seconds=spec.wait_seconds)
    far: BlobStore = BlobsOnDemand(server, spec.on_demand) if spec.on_demand else server
    if spec.spill_url:
        far = SpillingBlobs(far, SpillFolder(spec.spill_url), spec.spill_bytes)
    return SealedMemo(far, sealing, leases, Near(spec.max_bytes) if spec.kind == "tiered" else None)


def _forget() -> None:
    # A forked child must not use its parent's sockets, nor a lock that another thread held at the fork.
    global _lock
    _lock = threading.Lock()
    _open.clear()
    _latest.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
