"""What a run asks a server by: pipelines of commands over hiredis, the parser of redis-py, without redis-py.

Importing redis-py takes a process 0.13 s, with asyncio and TLS, and a run on two workers three times that: a third of
what a short run takes. So commands of a run go over plain sockets, and by redis-py (:mod:`dataflow.memo.connect`)
where a URL asks for TLS or for any option, or hiredis isn't there. Answers that are errors are redis-py's exceptions.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import parse_qs, unquote, urlsplit

from dataflow.memo.connect import Patience, client_of

__all__ = ["Command", "Link", "link_to"]

Command = tuple[Any, ...]

_PORT = 6379
_BUFFER_BYTES = 2**16
_SEND_BYTES = 2**20  # at a time: the time-out is for each piece
_MISSING = object()


class Link(Protocol):
    """Connections to one server, shared by threads."""

    def ask(self, commands: Sequence[Command]) -> list[Any]:
        """The answers to a pipeline, aligned; errors that a command was answered by are among them.

        Raises:
            OSError, redis.RedisError, ValueError: no connection, a time-out, or what answers is no Redis.
        """

    def close(self) -> None:
        """Close all connections; the next command opens new ones."""


def link_to(url: str, patience: Patience | None = None) -> Link:
    """Connections to the server of a URL; the first command opens one.

    Raises:
        CacheError: the URL isn't one of Redis's.
    """
    address = _address(url)
    if address is None:
        return _ByClient(client_of(url, patience))
    return _Plain(address, patience or Patience())


@dataclass(frozen=True)
class _Address:
    """Where a server is, and what is said to it first."""

    place: str | tuple[str, int]
    greetings: tuple[Command, ...] = field(repr=False)


def _address(url: str) -> _Address | None:
    """A URL taken apart as redis-py does; ``None`` for one that redis-py has to see to."""
    with contextlib.suppress(ValueError, ImportError):
        import hiredis  # noqa: F401

        parts = urlsplit(url)
        options = parse_qs(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
        if parts.scheme == "unix" and parts.path and set(options) <= {"db"}:
            place: str | tuple[str, int] = unquote(parts.path)
            database = options.get("db", ["0"])[0]
        elif parts.scheme == "redis" and not parts.query:
            place = unquote(parts.hostname or "localhost"), parts.port or _PORT
            database = unquote(parts.path).strip("/") or "0"
        else:
            return None
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        if not database.isdecimal() or parts.fragment or bool(user) > bool(password):
            return None
        greetings: list[Command] = []
        if password:
            greetings.append(("AUTH", user, password) if user else ("AUTH", password))
        if int(database):
            greetings.append(("SELECT", database))
        return _Address(place, tuple(greetings))
    return None


class _Plain:
    """A :class:`Link` over plain sockets."""

    def __init__(self, address: _Address, patience: Patience) -> None:
        self._address, self._patience = address, patience
        self._idle: list[_Connection] = []
        self._lock = threading.Lock()
        self._process = os.getpid()

    def ask(self, commands: Sequence[Command]) -> list[Any]:
        """See :class:`Link`."""
        import hiredis

        packed = [hiredis.pack_command(command) for command in commands]
        try:
            return self._asked(packed)
        except TimeoutError:
            raise
        except ConnectionError:  # a server may have come back; whoever was too slow, is
            return self._asked(packed)

    def close(self) -> None:
        """See :class:`Link`."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _asked(self, packed: Sequence[bytes]) -> list[Any]:
        connection = self._taken() or _Connection(self._address, self._patience)
        try:
            answers = connection.ask(packed)
        except BaseException:
            connection.close()
            raise
        with self._lock:
            self._idle.append(connection)
        return answers

    def _taken(self) -> _Connection | None:
        """One that is open, and on which nothing lies that nobody asked for."""
        if self._process != os.getpid():  # a fork mustn't speak where its parent does
            self._idle, self._lock, self._process = [], threading.Lock(), os.getpid()
        while True:
            with self._lock:
                if not self._idle:
                    return None
                connection = self._idle.pop()
            if connection.is_quiet():
                return connection
            connection.close()


class _Connection:
    """A socket to a server that has been greeted."""

    def __init__(self, address: _Address, patience: Patience) -> None:
        import hiredis

        self._answer_seconds = patience.answer_seconds
        self._buffer = bytearray(_BUFFER_BYTES)
        self._reader = hiredis.Reader(replyError=_as_exception, notEnoughData=_MISSING)
        self._socket = _connected(address.place, patience.connect_seconds)
        try:
            self._socket.settimeout(patience.socket_seconds)
            if address.greetings:
                self._greet(address.greetings)
        except BaseException:
            self.close()
            raise

    def ask(self, packed: Sequence[bytes]) -> list[Any]:
        """Send commands and read as many answers."""
        data = memoryview(b"".join(packed))
        for begin in range(0, len(data), _SEND_BYTES):
            self._socket.sendall(data[begin : begin + _SEND_BYTES])
        end = time.monotonic() + self._answer_seconds
        answers: list[Any] = []
        while len(answers) < len(packed):
            answer = self._next()
            if answer is _MISSING:
                self._read(end)
            else:
                answers.append(answer)
        if self._reader.has_data():
            raise ValueError("the server answers what it wasn't asked")
        return answers

    def is_quiet(self) -> bool:
        """Whether it is open, as far as can be seen, and nothing lies unread on it."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return not poll.poll(0)

    def close(self) -> None:
        self._socket.close()

    def _greet(self, greetings: Sequence[Command]) -> None:
        import hiredis

        for answer in self.ask([hiredis.pack_command(command) for command in greetings]):
            if isinstance(answer, Exception):
                raise answer

    def _next(self) -> Any:
        import hiredis

        try:
            return self._reader.gets()
        except hiredis.ProtocolError as error:
            raise ValueError(str(error)) from None

    def _read(self, end: float) -> None:
        if time.monotonic() > end:
            raise TimeoutError("the answer comes too slowly")
        size = self._socket.recv_into(self._buffer)
        if not size:
            raise ConnectionError("the server has closed the connection")
        self._reader.feed(self._buffer, 0, size)  # type: ignore[arg-type]


def _connected(place: str | tuple[str, int], seconds: float) -> socket.socket:
    if isinstance(place, tuple):
        found = socket.create_connection(place, timeout=seconds)
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return found
    found = socket.socket(socket.AF_UNIX)
    try:
        found.settimeout(seconds)
        found.connect(place)
    except BaseException:
        found.close()
        raise
    return found


def _as_exception(message: str) -> Exception:
    """An answer that is an error, as the exception that redis-py makes of it."""
    from redis.connection import DefaultParser

    made: Exception = DefaultParser.parse_error(message)  # type: ignore[no-untyped-call]
    return made


class _ByClient:
    """A :class:`Link` by redis-py."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def ask(self, commands: Sequence[Command]) -> list[Any]:
        """See :class:`Link`."""
        pipeline = self._client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        answers = pipeline.execute(raise_on_error=False)
        if not isinstance(answers, list) or len(answers) != len(commands):
            raise ValueError("the server answered something else than it was asked")
        return answers

    def close(self) -> None:
        """See :class:`Link`."""
        self._client.close()
        self._client.connection_pool.disconnect()
