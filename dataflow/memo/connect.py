"""Clients of redis-py with short time-outs, URLs without their passwords, and what to say of a server that fails."""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

from dataflow.errors import CacheError, one_line

__all__ = [
    "Patience",
    "check_server",
    "client_of",
    "is_timeout",
    "may_not",
    "reach",
    "redacted",
]

T = TypeVar("T")


@dataclass(frozen=True)
class Patience:
    """How long is waited for a server.

    Attributes:
        connect_seconds: for a connection.
        socket_seconds: for any piece of an answer.
        answer_seconds: for all answers of a pipeline: 32 MB from a server that is slow, but works.
    """

    connect_seconds: float = 0.5
    socket_seconds: float = 1.0
    answer_seconds: float = 5.0


_PAUSE_SECONDS = 0.1
_SCHEMES = ("redis://", "rediss://", "unix://")


def redacted(url: str) -> str:
    """A Redis URL without its password, for messages; the user's name stays."""
    url = re.sub(r"(?i)([?&](?:password|ssl_password)=)[^&]*", r"\1***", url)
    scheme, mark, rest = url.partition("://")
    # To the last @: a password that wasn't percent-encoded may hold one, or a slash.
    authority, at, place = rest.rpartition("@")
    if not at:
        return url
    user, colon, _ = authority.partition(":")
    return f"{scheme}{mark}{user}{colon and ':***'}@{place}"


def client_of(url: str, patience: Patience | None = None) -> Any:
    """A redis-py client for ``redis://``, ``rediss://`` or ``unix://``; it connects at its first command.

    A connection that was lost is tried once more, since a server may have come back; a time-out never is.

    Raises:
        CacheError: the URL isn't one of Redis's.
    """
    if not url.startswith(_SCHEMES):
        raise CacheError(f"{redacted(url)} is no Redis URL: it must begin with {', '.join(_SCHEMES)}.")
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    from dataflow.memo.connections import connection_class

    patience = patience or Patience()
    try:
        _check_database(url)
        return redis.Redis.from_url(
            url,
            socket_connect_timeout=patience.connect_seconds,
            socket_timeout=patience.socket_seconds,
            retry=Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
            # Two answers fewer on each new connection, and every server of either kind understands it.
            protocol=2,
            driver_info=None,
            connection_class=connection_class(url.partition("://")[0], patience.answer_seconds),
        )
    except (ValueError, TypeError) as error:
        # The library's message may hold a piece of a password that wasn't percent-encoded.
        why = (
            "percent-encode what is special in its password" if "@" in url else _without(url, one_line(error))
        )
        raise CacheError(f"{redacted(url)} is no Redis URL: {why}.") from None


def check_server(url: str, patience_seconds: float = 0.0) -> dict[str, Any]:
    """What a server says of itself (INFO), once it has answered a PING; nothing where its user may not ask for that.

    Raises:
        CacheError: see :func:`reach`.
    """

    def ask(client: Any) -> dict[str, Any]:
        try:
            client.ping()
            return dict(client.info())
        except Exception as error:
            if not may_not(error):
                raise
            return {}

    client = client_of(url)
    try:
        return reach(url, functools.partial(ask, client), patience_seconds)
    finally:
        client.close()


def reach(url: str, ask: Callable[[], T], patience_seconds: float = 0.0) -> T:
    """What a server answers to a run's first question.

    Args:
        url: the server's.
        ask: asks it; more than once where the server doesn't answer at first.
        patience_seconds: for how long it may be there and not answer, as while it forks, or loads what it had.

    Raises:
        CacheError: one line with the URL, without its password, and the mend.
    """
    until = time.monotonic() + patience_seconds
    try:
        while True:
            try:
                return ask()
            except Exception as error:
                if not (is_timeout(error) or _is_loading(error)) or time.monotonic() > until:
                    raise
                time.sleep(_PAUSE_SECONDS)
    except Exception as error:  # what is raised where the answer is no Redis's is any kind of error
        raise CacheError(_complaint(url, error)) from None


def is_timeout(error: Exception) -> bool:
    """Whether no answer came in time."""
    import redis

    return isinstance(error, redis.TimeoutError | TimeoutError)


def may_not(error: Exception) -> bool:
    """Whether the user has no right to what was asked."""
    import redis

    return isinstance(error, redis.exceptions.NoPermissionError)


def _is_loading(error: Exception) -> bool:
    import redis

    return isinstance(error, redis.BusyLoadingError)


def _complaint(url: str, error: Exception) -> str:
    import redis

    why = _without(url, one_line(error))
    if isinstance(error, redis.AuthenticationError | redis.ResponseError):
        mend = database_mend(url, error) or (
            "check the user, the password and the user's rights (PING, MGET, SET, INFO)"
        )
        return f"Redis at {redacted(url)} refuses: {why}: {mend}."
    if not isinstance(error, redis.RedisError | OSError):
        why = "what answers there is no Redis"
    mend = "start it, correct REDIS_URL, or unset REDIS_URL to use the embedded server"
    return f"Redis at {redacted(url)} doesn't answer ({why}): {mend}."


def database_mend(url: str, error: BaseException) -> str:
    """What to do about a database that the server hasn't got; empty where that isn't the trouble."""
    if "DB index" not in str(error) and "SELECT is not allowed" not in str(error):
        return ""
    return f"name a database that it has, such as {_in_database(url, 0)}"


def _in_database(url: str, number: int) -> str:
    """The URL with another database, and without its password."""
    shown, _, query = redacted(url).partition("?")
    others = [part for part in query.split("&") if part and not part.startswith("db=")]
    if shown.startswith("unix://"):
        return f"{shown}?{'&'.join([f'db={number}', *others])}"
    scheme, mark, place = shown.partition("://")
    host = place.partition("/")[0]
    return f"{scheme}{mark}{host}/{number}{'?' * bool(others)}{'&'.join(others)}"


def _check_database(url: str) -> None:
    """redis-py takes what is no number for database 0: whoever wrote it would look into another's data."""
    path = urlsplit(url).path.strip("/")
    if not url.startswith("unix://") and path and not path.isdecimal():
        raise CacheError(
            f"{redacted(url)} names no database: it ends in a number, as in {_in_database(url, 0)}."
        )


def _without(url: str, message: str) -> str:
    """A library's message, with no secret of the URL in it."""
    secrets = set(re.findall(r"[?&](?:password|ssl_password)=([^&]+)", url))
    authority, at, _ = url.partition("://")[2].rpartition("@")
    if at and ":" in authority:
        secrets.add(authority.partition(":")[2])
    for secret in secrets - {""}:
        message = message.replace(secret, "***")
    return message.rstrip(".")
