"""One round trip to a Redis server: pipelined commands in, answers out, behind a circuit breaker."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from dataflow.memo.base import Counters
from dataflow.memo.breaker import Breaker
from dataflow.memo.connect import Patience
from dataflow.memo.link import Command, link_to

__all__ = ["Command", "Wire"]


class Wire:
    """Connections to one server. Reading and writing have a breaker each: a full server can still be read.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://``.
        counters: where what befalls it is counted.
        clock: a monotonic clock for the breakers.
        **patience: of :class:`dataflow.memo.connect.Patience`: how long is waited for it.

    Raises:
        CacheError: the URL isn't one of Redis's. It connects at the first command.
    """

    def __init__(
        self,
        url: str,
        counters: Counters,
        *,
        clock: Callable[[], float] = time.monotonic,
        **patience: float,
    ) -> None:
        self._link = link_to(url, Patience(**patience))
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
            self._counters.add({"round_trips": 1})
            answers = self._link.ask(commands)
            healthy = not any(isinstance(answer, Exception) for answer in answers)
            return answers
        except _failures() as error:
            self._counters.add({"errors": 1, f"errors_{_name(error)}": 1})
            return None
        finally:
            if healthy:
                self._counters.add({"breaker_closed": breaker.success()})
            elif breaker.failure():
                self._counters.add({"breaker_opened": 1})

    def close(self) -> None:
        """Close all connections; the next command opens new ones."""
        self._link.close()


def _name(error: Exception) -> str:
    """What it is counted under: as redis-py names it, whoever has raised it."""
    if isinstance(error, TimeoutError):
        return "TimeoutError"
    return "ConnectionError" if isinstance(error, OSError) else type(error).__name__


def _failures() -> tuple[type[Exception], ...]:
    import redis

    # Garbage on the wire shows as whatever the parser makes of it.
    return (redis.RedisError, OSError, ValueError, TypeError, AttributeError, IndexError, KeyError)
