"""The namespace: the beginning of every key on a server, up to its first colon."""

from __future__ import annotations

from dataflow.errors import CacheError

__all__ = ["checked_namespace", "pattern_of"]


def checked_namespace(namespace: str) -> str:
    """The namespace, if it is one.

    Raises:
        CacheError: it is blank, or has a colon. A colon ends the namespace in a key: with one inside, clearing ``a``
            would clear ``a:b`` too.
    """
    if ":" in namespace or not namespace.strip():
        raise CacheError(f"namespace {namespace!r} must be a name without a colon, such as dataflow.")
    return namespace


def pattern_of(namespace: str) -> str:
    """What matches the namespace's keys and no other's, for the server's SCAN."""
    checked_namespace(namespace)
    return "".join(f"\\{c}" if c in "*?[]^\\" else c for c in namespace) + ":*"
