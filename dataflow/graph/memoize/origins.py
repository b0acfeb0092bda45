"""Where a value came from: what :mod:`dataflow.graph.memoize.flow` has on its stack in a value's place."""

from __future__ import annotations

from collections.abc import Iterable
from types import CodeType
from typing import Any, NamedTuple

__all__ = [
    "NULL",
    "UNKNOWN",
    "WITHIN",
    "Origin",
    "Use",
    "Value",
    "holding",
    "narrow",
    "of_constant",
    "one",
    "taken",
]

WITHIN = "*"
"""In a path: any one of the members."""


class Origin(NamedTuple):
    """``root`` is ``(kind, name, ...)``; ``path`` the attributes taken since, and ``*`` for a member."""

    root: tuple[Any, ...]
    path: tuple[str, ...] = ()


class Use(NamedTuple):
    """``kind`` is read, call, write, in place, dynamic or opaque; ``args`` are a call's, ``named`` its keywords."""

    kind: str
    origin: Origin
    args: tuple[frozenset[Origin], ...] = ()
    named: tuple[str, ...] = ()


Value = frozenset[Origin]
_LONGEST, _WIDEST = 6, 24


def one(*root: Any) -> Value:
    """A value of one origin, of which nothing was taken yet."""
    return frozenset({Origin(root)})


UNKNOWN = one("unknown")
NULL = one("null")


def of_constant(value: object) -> Value:
    """A constant of a code object."""
    if isinstance(value, CodeType):
        return one("code", value)
    if value is None or isinstance(value, str | int | tuple):
        return one("const", value)
    return UNKNOWN


def holding(members: Iterable[Value]) -> Value:
    """A container that is the function's own; some of its members may not be."""
    inner = {o.root[1] if o.root[0] == "holds" else o for member in members for o in member}
    kept = {o for o in inner if o.root[0] in ("global", "free", "param", "import")}
    return narrow(frozenset(Origin(("holds", o)) for o in kept)) | UNKNOWN


def taken(value: Value, name: str) -> Value:
    """An attribute of a value, or with :data:`WITHIN` one of its members."""
    return frozenset(_extended(origin, name) for origin in value)


def _extended(origin: Origin, name: str) -> Origin:
    root, path = origin
    if root[0] in ("null", "code", "const", "unknown"):
        return Origin(("unknown",), () if name == WITHIN else (name,))
    if root[0] == "holds":
        return root[1] if name == WITHIN else Origin(root, (name,))
    if name == WITHIN and path[-1:] == (WITHIN,):
        return origin
    if len(path) >= _LONGEST:
        path = (*path[: _LONGEST - 1], WITHIN)
        return Origin(root, path if name == WITHIN else (*path, name))
    return Origin(root, (*path, name))


def narrow(value: Value) -> Value:
    """A value that may be of anything, where it is of too many."""
    return value if len(value) <= _WIDEST else frozenset(sorted(value, key=repr)[:_WIDEST]) | UNKNOWN
