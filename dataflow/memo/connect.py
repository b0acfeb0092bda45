"""The one place that speaks to redis-py: clients with short time-outs, URLs without their passwords."""

from __future__ import annotations

import re
import time
from typing import Any
from urllib.parse import urlsplit

from dataflow.errors import CacheError, one_line
from dataflow.memo.connections import ANSWER_SECONDS, connection_class

__all__ = ["CONNECT_SECONDS", "SOCKET_SECONDS", "check_server", "client_of", "redacted"]

CONNECT_SECONDS = 0.5
SOCKET_SECONDS = 1.0
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


def client_of(
    url: str,
    *,
    connect_seconds: float = CONNECT_SECONDS,
    socket_seconds: float = SOCKET_SECONDS,
    answer_seconds: float = ANSWER_SECONDS,
) -> Any:
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

    try:
        _check_database(url)
        return redis.Redis.from_url(
            url,
            socket_connect_timeout=connect_seconds,
            socket_timeout=socket_seconds,
            retry=Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
            # Two answers fewer on each new connection, and every server of either kind understands it.
            protocol=2,
            driver_info=None,
            connection_class=connection_class(url.partition("://")[0], answer_seconds),
        )
    except (ValueError, TypeError) as error:
        # The library's message may hold a piece of a password that wasn't percent-encoded.
        why = (
            "percent-encode what is special in its password" if "@" in url else _without(url, one_line(error))
        )
        raise CacheError(f"{redacted(url)} is no Redis URL: {why}.") from None


def check_server(url: str, patience_seconds: float = 0.0) -> dict[str, Any]:
    """What a server says of itself (INFO), once it has answered a PING.

    Args:
        url: the server's.
        patience_seconds: for how long it may be there and not answer, as while it forks, or loads what it had.

    Raises:
        CacheError: one line with the URL, without its password, and the mend.
    """
    import redis

    client, until = client_of(url), time.monotonic() + patience_seconds
    try:
        while True:
            try:
                client.ping()
                return dict(client.info())
            except (redis.TimeoutError, redis.BusyLoadingError):
                if time.monotonic() > until:
                    raise
                time.sleep(_PAUSE_SECONDS)
    except redis.exceptions.NoPermissionError:
        return {}  # its user may not ask for INFO, and need not
    except (redis.AuthenticationError, redis.ResponseError) as error:
        why = _without(url, one_line(error))
        mend = database_mend(url, error) or (
            "check the user, the password and the user's rights (PING, MGET, SET, INFO)"
        )
        raise CacheError(f"Redis at {redacted(url)} refuses: {why}: {mend}.") from None
    except Exception as error:  # what redis-py raises where the answer is no Redis's is any kind of error
        spoken = isinstance(error, redis.RedisError | OSError)
        why = _without(url, one_line(error)) if spoken else "what answers there is no Redis"
        mend = "start it, correct REDIS_URL, or unset REDIS_URL to use the embedded server"
        raise CacheError(f"Redis at {redacted(url)} doesn't answer ({why}): {mend}.") from None
    finally:
        client.close()


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
