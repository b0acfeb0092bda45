"""redis-py's connections, with a bound on a whole answer: its own time-out starts anew with every byte."""

from __future__ import annotations

import functools
import time
from typing import Any

__all__ = ["connection_class"]


@functools.cache
def connection_class(scheme: str, answer_seconds: float) -> Any:
    """The class for ``redis``, ``rediss`` or ``unix``."""
    import redis
    from redis.connection import DefaultParser

    class BoundedParser(DefaultParser):  # type: ignore[misc, valid-type]
        ends = float("inf")

        def read_from_socket(self, *args: Any, **kwargs: Any) -> Any:
            if time.monotonic() > self.ends:
                raise redis.TimeoutError("the answer comes too slowly")
            return super().read_from_socket(*args, **kwargs)

    class Bounded:
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **{"parser_class": BoundedParser, **kwargs})

        def send_packed_command(self, command: Any, check_health: bool = True) -> None:
            super().send_packed_command(command, check_health)  # type: ignore[misc]
            self._parser.ends = time.monotonic() + answer_seconds  # type: ignore[attr-defined]

    class Tcp(Bounded, redis.Connection):
        pass

    class Unix(Bounded, redis.UnixDomainSocketConnection):
        pass

    class Tls(Bounded, redis.SSLConnection):
        """One that isn't taken for a dirty one.

        Before each use redis-py looks whether something lies unread on the socket. After a handshake of TLS 1.3
        there do lie session tickets, which are no answer to anybody: with hiredis, every other connection is then
        refused as "not ready". Reading is what tells the two apart.
        """

        def can_read(self, timeout: float = 0) -> bool:
            if not super().can_read(timeout):
                return False
            self._parser.ends = float("inf")
            take = getattr(self._parser, "read_from_socket", None)  # the other parser reads already
            return True if take is None else bool(take(timeout=timeout, raise_on_timeout=False))

    return {"redis": Tcp, "rediss": Tls, "unix": Unix}[scheme]
