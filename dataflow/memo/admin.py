"""What is done to a shared memo by hand: looking at it, invalidating parts of it, clearing it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from dataflow.errors import CacheError, one_line
from dataflow.memo.blobs import new_epoch
from dataflow.memo.chain import marks
from dataflow.memo.clear import clear_namespace
from dataflow.memo.connect import client_of, is_timeout, may_not, reach, redacted
from dataflow.memo.envelope import EPOCH_BYTES, HEADER_BYTES, claimed_marks
from dataflow.memo.keys import Key
from dataflow.memo.link import Link, link_to
from dataflow.memo.namespace import checked_namespace, pattern_of
from dataflow.memo.redis import epoch_name
from dataflow.memo.server import server_info

__all__ = [
    "cache_stats",
    "clear",
    "generation",
    "generation_and_marks",
    "invalidate_stage",
    "invalidate_tag",
    "is_tag",
    "net_seconds_saved",
]

_KEYS_A_ROUND = 500

T = TypeVar("T")


def generation(url: str, namespace: str = "dataflow") -> bytes:
    """The id of the namespace's present generation: 16 bytes, which a run takes along to its workers.

    :func:`invalidate_stage` and :func:`clear` begin a new one, so that a worker that has lived through them
    goes on with none of what it has in memory. One that was evicted is replaced by a new one, to the same end.
    A server that can't tell it (its user may only read, or it is full) gives one of this run alone.

    Raises:
        CacheError: the server doesn't answer.
    """
    name = _generation_name(namespace)

    def ask(link: Link) -> bytes:
        try:
            return _told(link, name, ())[0]
        except Exception as error:
            if not is_timeout(error):
                raise
            return new_epoch()

    return _asked(url, ask)


def generation_and_marks(
    url: str, namespace: str, marks: Sequence[Key], patience_seconds: float = 0.0
) -> tuple[bytes, bool]:
    """A run's first question: see :func:`generation`; and, in the same round trip, whether there may be any of some
    keys.

    Raises:
        CacheError: the server doesn't answer, or refuses: see :func:`dataflow.memo.connect.reach`.
    """
    name, keys = _generation_name(namespace), [namespace.encode() + b":" + key for key in marks]
    return _asked(url, lambda link: _told(link, name, keys), patience_seconds)


def _asked(url: str, ask: Callable[[Link], T], patience_seconds: float = 0.0) -> T:
    link = link_to(url)
    try:
        return reach(url, functools.partial(ask, link), patience_seconds)
    finally:
        link.close()


def _told(link: Link, name: bytes, keys: Sequence[bytes]) -> tuple[bytes, bool]:
    """The generation by its name, begun if there is none, and whether there may be any of the keys."""
    found, *marked = link.ask([("GET", name), *([("EXISTS", *keys)] if keys else [])])
    if isinstance(found, Exception):
        (pong,) = link.ask([("PING",)])
        if isinstance(pong, Exception) and not may_not(pong):
            raise pong
    elif not _is_epoch(found):
        only_new = ("NX",) if found is None else ()
        _, found = link.ask([("SET", name, new_epoch(), *only_new), ("GET", name)])
    # Where it may not be asked for them, there may be any.
    return found if _is_epoch(found) else new_epoch(), marked != [0]


def invalidate_tag(url: str, name: str, namespace: str = "dataflow") -> None:
    """What was stored under a tag is not found any more, from the next batch of any worker on. One SET.

    Raises:
        CacheError: the server doesn't answer, refuses, or is full.
    """
    with _client(url, f"told that tag {name!r} is invalid") as client:
        client.set(epoch_name(checked_namespace(namespace), name), new_epoch())


def is_tag(url: str, name: str, namespace: str = "dataflow") -> bool:
    """Whether something may be kept under a tag: a run has asked by it, and the server still has its epoch.

    Raises:
        CacheError: the server doesn't answer.
    """
    with _client(url, "asked") as client:
        return bool(client.exists(epoch_name(checked_namespace(namespace), name)))


def invalidate_stage(url: str, name: str, namespace: str = "dataflow") -> int:
    """Remove every value that a stage had a part in, a few at a time; how many.

    Values of another stage go too where their names happen to be marked alike, which costs their computing.
    Workers forget what they have in memory at the beginning of the next run.

    Raises:
        CacheError: the server doesn't answer or refuses.
    """
    wanted = int.from_bytes(marks((name,)), "big")
    removed = 0
    with _client(url, f"cleared of stage {name!r}") as client:
        client.set(_generation_name(namespace), new_epoch())
        for keys in _rounds(client, namespace):
            pipeline = client.pipeline(transaction=False)
            for key in keys:
                pipeline.getrange(key, 0, HEADER_BYTES - 1)
            headers = pipeline.execute(raise_on_error=False)
            found = [k for k, h in zip(keys, headers, strict=True) if _has(h, wanted)]
            removed += int(client.unlink(*found)) if found else 0
    return removed


def clear(url: str, namespace: str = "dataflow", *, spill_url: str | None = None) -> int:
    """Remove all that a namespace holds on the server, and its spilled files; how many keys.

    Other namespaces, and whatever else is on the server, are left alone.

    Raises:
        CacheError: the server doesn't answer or refuses, or the files can't be removed.
    """
    removed = clear_namespace(url, namespace)
    with _client(url, "cleared") as client:
        client.set(_generation_name(namespace), new_epoch())
    if spill_url:
        from dataflow.memo.spill import SpillFolder

        try:
            SpillFolder(spill_url).clear()
        except Exception as error:  # a file system raises what it likes
            raise CacheError(
                f"spilled files under {spill_url} can't be removed: {one_line(error)}"
            ) from error
    return removed


def cache_stats(url: str, namespace: str = "dataflow") -> dict[str, Any]:
    """What the server holds and uses.

    Returns:
        What :func:`dataflow.memo.server.server_info` returns, with ``namespace``, ``entries`` (values, links,
        steps and records), ``entry_bytes`` (their sizes without the server's overhead), ``tags`` (names),
        ``leases`` (being computed now) and ``shown``, the URL without its password.

    Raises:
        CacheError: the server doesn't answer or refuses.
    """
    totals: dict[str, Any] = {"entries": 0, "entry_bytes": 0, "leases": 0}
    tags: list[str] = []
    head = namespace.encode() + b":"
    with _client(url, "asked") as client:
        for keys in _rounds(client, namespace):
            pipeline = client.pipeline(transaction=False)
            values = [key for key in keys if not _is_administrative(key[len(head) :])]
            for key in values:
                pipeline.strlen(key)
            sizes = [size for size in pipeline.execute(raise_on_error=False) if isinstance(size, int)]
            totals["entries"] += len(values)
            totals["entry_bytes"] += sum(sizes)
            rest = [key[len(head) :] for key in keys]
            totals["leases"] += sum(name.startswith(b"lease:") for name in rest)
            tags += [name[6:].decode("utf-8", "replace") for name in rest if name.startswith(b"epoch:")]
    return {
        **server_info(url), **totals, "tags": sorted(tags), "namespace": namespace, "shown": redacted(url),
    }  # fmt: skip


def net_seconds_saved(counters: Mapping[str, float]) -> float:
    """What a memo was worth: what its hits saved of computing, less looking up, storing and waiting.

    Reading a document is saved only where it is found by its state; a digest of its content is taken for
    the memo's sake alone.

    Args:
        counters: of a memo, or added up over a run's batches.
    """
    spent = ("lookup_seconds", "store_seconds", "lease_wait_seconds", "digest_seconds")
    return counters.get("compute_seconds_saved", 0.0) - sum(counters.get(name, 0.0) for name in spent)


def _rounds(client: Any, namespace: str) -> Iterator[list[bytes]]:
    """The namespace's keys, some hundreds at a time, so that others who use the server aren't held up."""
    pattern = pattern_of(namespace)
    found: list[bytes] = []
    for key in client.scan_iter(match=pattern, count=_KEYS_A_ROUND):
        found.append(key)
        if len(found) == _KEYS_A_ROUND:
            yield found
            found = []
    if found:
        yield found


def _has(header: object, wanted: int) -> bool:
    if not isinstance(header, bytes):
        return False
    return int.from_bytes(claimed_marks(header), "big") & wanted == wanted


def _is_administrative(name: bytes) -> bool:
    return name.startswith((b"lease:", b"epoch:")) or name == b"generation"


def _is_epoch(found: object) -> bool:
    return isinstance(found, bytes) and len(found) == EPOCH_BYTES


def _generation_name(namespace: str) -> bytes:
    return f"{checked_namespace(namespace)}:generation".encode()


@contextmanager
def _client(url: str, what: str) -> Iterator[Any]:
    import redis

    client = client_of(url)
    try:
        yield client
    except (redis.RedisError, OSError, ValueError) as error:
        raise CacheError(f"Redis at {redacted(url)} can't be {what}: {one_line(error)}") from None
    finally:
        client.close()
