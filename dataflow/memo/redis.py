"""The memo on a Redis or Valkey server: a batch is one round trip, and no failure gets out."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from dataflow.memo.base import Counters, Missed
from dataflow.memo.breaker import Breaker
from dataflow.memo.connect import CONNECT_SECONDS, SOCKET_SECONDS, client_of, redacted
from dataflow.memo.keys import Key
from dataflow.memo.sealed import Blob, Sealed, SealedMemo, Sealing

__all__ = ["RedisBlobs", "RedisMemo"]

_CHUNK_KEYS = 256
_CHUNK_BYTES = 2**20
# A pipeline is held in memory as a whole before it is sent.
_PIPELINE_BYTES = 32 * 2**20


class RedisBlobs:
    """Sealed bytes on a server.

    A server that is down, slow or answers nonsense makes every key a miss, for the reason ``down`` or
    ``corrupt``. After a few such answers in a row it is left alone for a while. A server that is full or
    read-only still serves look-ups; writing has a breaker of its own.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://``, with user and password as redis-py has them.
        namespace: the beginning of every key on the server; an ACL rule is ``~dataflow:*``.
        connect_seconds: the time-out for connecting.
        socket_seconds: the time-out for any one answer.
        clock: a monotonic clock for the breakers.
    """

    name = "redis"

    def __init__(
        self,
        url: str,
        *,
        namespace: str = "dataflow",
        connect_seconds: float = CONNECT_SECONDS,
        socket_seconds: float = SOCKET_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = url
        self._prefix = namespace.encode() + b":"
        self._timeouts = {"connect_seconds": connect_seconds, "socket_seconds": socket_seconds}
        self._client: Any = None
        self._lock = threading.Lock()
        self._reading = Breaker(clock=clock)
        self._writing = Breaker(clock=clock)
        self._mean_bytes = 4096.0
        self.counters = Counters()

    def __repr__(self) -> str:
        return f"RedisBlobs({redacted(self._url)!r})"

    def read(self, keys: Sequence[Key]) -> list[Blob | Missed]:
        """One answer a key, in one round trip: MGETs of at most 256 keys and about 1 MB, in one pipeline."""
        size = max(1, min(_CHUNK_KEYS, int(_CHUNK_BYTES / self._mean_bytes)))
        chunks = [keys[i : i + size] for i in range(0, len(keys), size)]
        commands = [("MGET", *(self._prefix + key for key in chunk)) for chunk in chunks]
        answers = self._ask(commands, self._reading)
        if answers is None:
            return [Missed("down")] * len(keys)
        results: list[Blob | Missed] = []
        for chunk, answer in zip(chunks, answers, strict=True):
            results += self._blobs(len(chunk), answer)
        self._learn(results)
        return results

    def write(self, items: Sequence[Sealed]) -> int:
        """Keep, in one round trip (or one for each 32 MB); how many the server took."""
        kept, start = 0, 0
        while start < len(items):
            stop, size = start, 0
            while stop < len(items) and (stop == start or size + len(items[stop].data) <= _PIPELINE_BYTES):
                size += len(items[stop].data)
                stop += 1
            kept += self._write(items[start:stop])
            start = stop
        return kept

    def discard(self, keys: Sequence[Key]) -> None:
        """Nothing: the value that is computed instead will overwrite what was wrong."""

    def close(self) -> None:
        """Close all connections; the next command opens new ones."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()
            client.connection_pool.disconnect()

    def _write(self, items: Sequence[Sealed]) -> int:
        commands = [_set_command(self._prefix, item) for item in items]
        answers = self._ask(commands, self._writing)
        if answers is None:
            return 0
        kept = sum(answer is True or answer in (b"OK", "OK") for answer in answers)
        refused = [answer for answer in answers if isinstance(answer, Exception)]
        self.counters.add(
            {"refused": len(refused), **Counter(f"refused_{type(e).__name__}" for e in refused)}
        )
        return kept

    def _ask(self, commands: list[tuple[Any, ...]], breaker: Breaker) -> list[Any] | None:
        """The answers to one pipeline, errors among them; ``None`` if the server gave none."""
        if not breaker.allow():
            self.counters.add({"skipped": 1})
            return None
        healthy = False
        try:
            answers = self._round_trip(commands)
            healthy = not any(isinstance(answer, Exception) for answer in answers)
            return answers
        except _failures() as error:
            self.counters.add({"errors": 1, f"errors_{type(error).__name__}": 1})
            return None
        finally:
            if healthy:
                breaker.success()
            elif breaker.failure():
                self.counters.add({"breaker_opened": 1})

    def _round_trip(self, commands: list[tuple[Any, ...]]) -> list[Any]:
        self.counters.add({"round_trips": 1})
        pipeline = self._connected().pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        answers = pipeline.execute(raise_on_error=False)
        if not isinstance(answers, list) or len(answers) != len(commands):
            raise ValueError("the server answered something else than it was asked")
        return answers

    def _connected(self) -> Any:
        with self._lock:
            if self._client is None:
                self._client = client_of(self._url, **self._timeouts)
            return self._client

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


class RedisMemo(SealedMemo):
    """A memo on a server that many workers share; see :class:`RedisBlobs` for the arguments.

    The sealing's secret has to be the same for all who share values: see :mod:`dataflow.memo.secret`.
    """

    def __init__(self, url: str, sealing: Sealing | None = None, **options: Any) -> None:
        super().__init__(RedisBlobs(url, **options), sealing)


def _set_command(prefix: bytes, item: Sealed) -> tuple[Any, ...]:
    life = () if item.ttl_seconds is None else ("PX", max(1, int(item.ttl_seconds * 1000)))
    return ("SET", prefix + item.key, item.data, *life)


def _blob(data: object) -> Blob | Missed:
    if data is None:
        return Missed("new")
    return Blob(data, "redis") if isinstance(data, bytes) else Missed("corrupt")


def _failures() -> tuple[type[Exception], ...]:
    import redis

    # Garbage on the wire shows as whatever the parser makes of it.
    return (redis.RedisError, OSError, ValueError, TypeError, AttributeError, IndexError, KeyError)
