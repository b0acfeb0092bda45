"""One round trip to a Redis server: pipelined commands in, answers out, behind a circuit breaker."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from dataflow.memo.base import Counters
from dataflow.memo.breaker import Breaker
from dataflow.memo.connect import CONNECT_SECONDS, SOCKET_SECONDS, client_of
from dataflow.memo.connections import ANSWER_SECONDS

__all__ = ["Command", "Wire"]

Command = tuple[Any, ...]


class Wire:
    """Connections to one server. Reading and writing have a breaker each: a full server can still be read.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://``.
        counters: where what befalls it is counted.
        connect_seconds: the time-out for connecting.
        socket_seconds: the time-out for any piece of an answer.
        answer_seconds: the time-out for all answers of a round trip together.
        clock: a monotonic clock for the breakers.
    """

    def __init__(
        self,
        url: str,
        counters: Counters,
        *,
        connect_seconds: float = CONNECT_SECONDS,
        socket_seconds: float = SOCKET_SECONDS,
        answer_seconds: float = ANSWER_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = url
        self._timeouts = {
            "connect_seconds": connect_seconds,
            "socket_seconds": socket_seconds,
            "answer_seconds": answer_seconds,
        }
        self._client: Any = None
        self._lock = threading.Lock()
        self._counters = counters
        self._reading = Breaker(clock=clock)
        self._writing = Breaker(clock=clock)

    def ask(self, commands: Sequence[Command], *, writing: bool = False) -> list[Any] | None:
        """The answers to one pipeline, errors among them; ``None`` if the server gave none."""
        breaker = self._writing if writing else self._reading
        if not breaker.allow():
            self._counters.add({"skipped": 1, f"skipped_{'writes' if writing else 'reads'}": 1})
            return None
        healthy = False
        try:
            answers = self._round_trip(commands)
            healthy = not any(isinstance(answer, Exception) for answer in answers)
            return answers
        except _failures() as error:
            self._counters.add({"errors": 1, f"errors_{type(error).__name__}": 1})
            return None
        finally:
            if healthy:
                self._counters.add({"breaker_closed": breaker.success()})
            elif breaker.failure():
                self._counters.add({"breaker_opened": 1})

    def close(self) -> None:
        """Close all connections; the next command opens new ones."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()
            client.connection_pool.disconnect()

    def _round_trip(self, commands: Sequence[Command]) -> list[Any]:
        self._counters.add({"round_trips": 1})
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


def _failures() -> tuple[type[Exception], ...]:
    import redis

    # Garbage on the wire shows as whatever the parser makes of it.
    return (redis.RedisError, OSError, ValueError, TypeError, AttributeError, IndexError, KeyError)
