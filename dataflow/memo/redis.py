"""The memo on a Redis or Valkey server: a batch is one round trip, and no failure gets out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from dataflow.errors import CacheError
from dataflow.memo.base import Counters, Missed
from dataflow.memo.blobs import Blob, Sealed, new_epoch
from dataflow.memo.connect import redacted
from dataflow.memo.envelope import EPOCH_BYTES
from dataflow.memo.keys import Key
from dataflow.memo.leases import Leases
from dataflow.memo.link import Command
from dataflow.memo.sealed import SealedMemo
from dataflow.memo.sealing import Sealing
from dataflow.memo.wire import Wire

__all__ = ["RedisBlobs", "RedisLeases", "RedisMemo", "epoch_name"]

_CHUNK_KEYS = 256
_CHUNK_BYTES = 2**20
# A pipeline is held in memory as a whole before it is sent.
_PIPELINE_BYTES = 32 * 2**20


def epoch_name(namespace: str, tag: str) -> bytes:
    """The server's key of a tag's epoch."""
    return f"{namespace}:epoch:{tag}".encode("utf-8", "surrogatepass")


class RedisBlobs:
    """Sealed bytes on a server.

    A server that is down, slow or answers nonsense makes every key a miss, for the reason ``down`` or
    ``corrupt``. After a few such answers in a row it is left alone for a while. A server that is full or
    read-only still serves look-ups; writing has a breaker of its own.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://``, with user and password as redis-py has them.
        namespace: the beginning of every key on the server; an ACL rule is ``~dataflow:*``.
        **options: of :class:`dataflow.memo.wire.Wire`: time-outs and a clock.
    """

    name = "redis"

    def __init__(self, url: str, *, namespace: str = "dataflow", **options: Any) -> None:
        self._url = url
        self._namespace = namespace
        self._prefix = namespace.encode() + b":"
        self._mean_bytes = 4096.0
        self._together = True  # until the server has refused MSET and taken SET
        self.counters = Counters()
        self.wire = Wire(url, self.counters, **options)

    def __repr__(self) -> str:
        return f"RedisBlobs({redacted(self._url)!r})"

    def read(self, keys: Sequence[Key]) -> list[Blob | Missed]:
        """One answer a key, in one round trip: MGETs of at most 256 keys and about 1 MB, in one pipeline."""
        return self._read(keys, [])[1]

    def read_tagged(self, keys: Sequence[Key], tag: str) -> tuple[bytes, list[Blob | Missed]]:
        """The same round trip, with the tag's epoch asked for first."""
        name = epoch_name(self._namespace, tag)
        answer, results = self._read(keys, [("GET", name)])
        if isinstance(answer, bytes) and len(answer) == EPOCH_BYTES:
            return answer, results
        return (b"" if answer is _NO_ANSWER else self._first_epoch(name, answer)), results

    def write(self, items: Sequence[Sealed]) -> int:
        """Keep, in one round trip (or one for each 32 MB); how many the server took."""
        return sum(self._write(part) for part in _parts(items, len(items), _PIPELINE_BYTES))

    def discard(self, keys: Sequence[Key]) -> None:
        """Nothing: the value that is computed instead will overwrite what was wrong."""

    def bump(self, tag: str) -> None:
        """A new epoch: one SET. Raises CacheError if the server doesn't take it."""
        answers = self.wire.ask([("SET", epoch_name(self._namespace, tag), new_epoch())], writing=True)
        if answers is None or not _ok(answers[0]):
            raise CacheError(
                f"tag {tag!r} can't be invalidated: Redis at {redacted(self._url)} didn't take it. Try again."
            )

    def close(self) -> None:
        """Close all connections; the next command opens new ones."""
        self.wire.close()

    def _read(self, keys: Sequence[Key], first: list[Command]) -> tuple[Any, list[Blob | Missed]]:
        size = max(1, min(_CHUNK_KEYS, int(_CHUNK_BYTES / self._mean_bytes)))
        chunks = [keys[i : i + size] for i in range(0, len(keys), size)]
        commands = first + [("MGET", *(self._prefix + key for key in chunk)) for chunk in chunks]
        answers = self.wire.ask(commands) if commands else []
        if answers is None:
            return _NO_ANSWER, [Missed("down")] * len(keys)
        results: list[Blob | Missed] = []
        for chunk, answer in zip(chunks, answers[len(first) :], strict=True):
            results += self._blobs(len(chunk), answer)
        self._learn(results)
        return (answers[0] if first else None), results

    def _first_epoch(self, name: bytes, wrong: object) -> bytes:
        """A tag that is new, or whose epoch was evicted, gets a new one: all that was stored before is stale."""
        if isinstance(wrong, Exception):
            return b""
        # Who asks first decides; but what is no epoch at all is overwritten.
        only_new = () if wrong is not None else ("NX",)
        answers = self.wire.ask([("SET", name, new_epoch(), *only_new), ("GET", name)], writing=True)
        epoch = answers[1] if answers else b""
        return epoch if isinstance(epoch, bytes) and len(epoch) == EPOCH_BYTES else b""

    def _write(self, items: Sequence[Sealed]) -> int:
        groups = self._groups(items)
        answers = self.wire.ask([_command(self._prefix, group) for group in groups], writing=True)
        if answers is None:
            return 0
        kept, again = 0, list[Sealed]()
        refused: Counter[str] = Counter()
        for group, answer in zip(groups, answers, strict=True):
            if len(group) > 1 and _not_together(answer):
                again += group
            elif isinstance(answer, Exception):
                refused[type(answer).__name__] += len(group)
            else:
                kept += len(group) * _ok(answer)
        self.counters.add({"refused": refused.total(), **{f"refused_{e}": n for e, n in refused.items()}})
        if again:
            self._together = False
            singly = self._write(again)
            self._together = not singly  # where they are refused too, it wasn't that
            kept += singly
        return kept

    def _groups(self, items: Sequence[Sealed]) -> list[Sequence[Sealed]]:
        """What is written by a command each: ``MSET`` takes a sixth of the time of as many ``SET``, but no lives."""
        lasting = [item for item in items if item.ttl_seconds is None] if self._together else []
        singly = [[item] for item in items if not self._together or item.ttl_seconds is not None]
        return [*_parts(lasting, _CHUNK_KEYS, _CHUNK_BYTES), *singly]

    def _blobs(self, count: int, answer: object) -> list[Blob | Missed]:
        if isinstance(answer, Exception):
            self.counters.add({"errors": 1, f"errors_{type(answer).__name__}": 1})
            return [Missed("down")] * count
        if not isinstance(answer, list) or len(answer) != count:
            return [Missed("corrupt")] * count
        return [_blob(data) for data in answer]

    def _learn(self, results: Sequence[Blob | Missed]) -> None:
        sizes = [len(result.data) for result in results if isinstance(result, Blob)]
        if sizes:
            # Racing threads lose an update at most; it is only an estimate.
            self._mean_bytes += 0.2 * (sum(sizes) / len(sizes) - self._mean_bytes)


class RedisLeases:
    """Leases on a server; implements :class:`dataflow.memo.leases.LeaseStore`.

    A server that is down gives every lease and holds none: everybody computes.
    """

    def __init__(self, wire: Wire, namespace: str) -> None:
        self._wire = wire
        self._prefix = f"{namespace}:lease:".encode()

    def take(self, keys: Sequence[Key], seconds: float) -> list[bool]:
        """``SET NX PX`` for all, in one round trip."""
        life = max(1, int(seconds * 1000))
        answers = self._wire.ask(
            [("SET", self._prefix + key, b"1", "NX", "PX", life) for key in keys], writing=True
        )
        # An error is no refusal: only "there is one already" is.
        return [True] * len(keys) if answers is None else [answer is not None for answer in answers]

    def held(self, keys: Sequence[Key]) -> set[Key]:
        """One ``MGET``."""
        answers = self._wire.ask([("MGET", *(self._prefix + key for key in keys))])
        if answers is None or not isinstance(answers[0], list) or len(answers[0]) != len(keys):
            return set()
        return {key for key, answer in zip(keys, answers[0], strict=True) if answer is not None}

    def extend(self, keys: Sequence[Key], seconds: float) -> None:
        """``PEXPIRE`` for all. If one ended meanwhile and is another's now, that one lasts longer: no harm."""
        life = max(1, int(seconds * 1000))
        self._wire.ask([("PEXPIRE", self._prefix + key, life) for key in keys], writing=True)

    def drop(self, keys: Sequence[Key]) -> None:
        """``DEL`` for all. If one was another's by now, a value may be computed twice: no harm either."""
        self._wire.ask([("DEL", *(self._prefix + key for key in keys))], writing=True)


class RedisMemo(SealedMemo):
    """A memo on a server that many workers share; see :class:`RedisBlobs` for the arguments.

    The sealing's secret has to be the same for all who share values: see :mod:`dataflow.memo.secret`.
    """

    def __init__(
        self, url: str, sealing: Sealing | None = None, *, namespace: str = "dataflow", **options: Any
    ) -> None:
        blobs = RedisBlobs(url, namespace=namespace, **options)
        super().__init__(blobs, sealing, Leases(RedisLeases(blobs.wire, namespace)))


class _NoAnswer:
    """What stands for an epoch that the server didn't tell."""


_NO_ANSWER = _NoAnswer()


def _ok(answer: object) -> bool:
    return answer is True or answer in (b"OK", "OK")


def _command(prefix: bytes, group: Sequence[Sealed]) -> Command:
    if len(group) > 1:
        return ("MSET", *(part for item in group for part in (prefix + item.key, item.data)))
    (item,) = group
    life = () if item.ttl_seconds is None else ("PX", max(1, int(item.ttl_seconds * 1000)))
    return ("SET", prefix + item.key, item.data, *life)


def _parts(items: Sequence[Sealed], most: int, most_bytes: int) -> Iterator[Sequence[Sealed]]:
    """All items in order, in parts of so many and so many bytes at most; one that is larger is a part by itself."""
    start, size = 0, 0
    for stop, item in enumerate(items):
        size += len(item.data)
        if stop > start and (stop - start == most or size > most_bytes):
            yield items[start:stop]
            start, size = stop, len(item.data)
    if start < len(items):
        yield items[start:]


def _not_together(answer: object) -> bool:
    """Whether ``MSET`` is refused and ``SET`` may not be: no right for it, or a server or proxy without it."""
    if not isinstance(answer, Exception):
        return False
    from redis.exceptions import OutOfMemoryError, ReadOnlyError, ResponseError

    return isinstance(answer, ResponseError) and not isinstance(answer, OutOfMemoryError | ReadOnlyError)


def _blob(data: object) -> Blob | Missed:
    if data is None:
        return Missed("new")
    return Blob(data, "redis") if isinstance(data, bytes) else Missed("corrupt")
