"""Removing what one namespace holds on a server, and nothing else."""

from __future__ import annotations

from dataflow.errors import CacheError, one_line
from dataflow.memo.connect import client_of
from dataflow.memo.namespace import pattern_of

__all__ = ["clear_namespace"]

_KEYS_A_ROUND = 500


def clear_namespace(url: str, namespace: str) -> int:
    """Remove the keys of a namespace, a few at a time, so that others who use the server aren't held up.

    Args:
        url: the server's.
        namespace: as in :class:`dataflow.memo.MemoSpec`; the keys of any other are left alone.

    Returns:
        How many were removed.

    Raises:
        CacheError: the server doesn't answer or refuses, or the name is none.
    """
    import redis

    pattern = pattern_of(namespace)
    removed = 0
    client = client_of(url)
    try:
        found = []
        for key in client.scan_iter(match=pattern, count=_KEYS_A_ROUND):
            found.append(key)
            if len(found) == _KEYS_A_ROUND:
                removed += int(client.unlink(*found))
                found = []
        return removed + (int(client.unlink(*found)) if found else 0)
    except (redis.RedisError, OSError) as error:
        raise CacheError(f"keys under {namespace!r} can't be removed: {one_line(error)}") from error
    finally:
        client.close()
