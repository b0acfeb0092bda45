"""Where a value came from: what :mod:`dataflow.graph.memoize.flow` has on its stack in a value's place."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from types import CodeType
from typing import Any, NamedTuple

__all__ = [
    "ANY",
    "FOREIGN",
    "NULL",
    "SLICE",
    "UNKNOWN",
    "WITHIN",
    "Found",
    "Origin",
    "Use",
    "Value",
    "holding",
    "narrow",
    "of_constant",
    "one",
    "result_of",
    "starred",
    "taken",
]

WITHIN = "*"
"""In a path: any one of the members."""
SLICE = "[:]"
"""In a path: some of the members, in another list or, of an array, in the same."""
ANY = "*"
"""Among a call's keywords: its two arguments hold those that have a place, and those that have a name."""
FOREIGN = ("global", "free", "param", "import", "result")
"""Roots of what may not be the function's own. Of ``result``, a call's, that is seen where the callee is known."""


class Origin(NamedTuple):
    """``root`` is ``(kind, name, ...)``; ``path`` the attributes taken since, and ``*`` for a member.

    What a call gives has the root ``("result", callee, arguments, keywords)``; what is passed as ``*rows`` and
    ``**named`` is ``("param", "*rows")`` and ``("param", "**named")``, each for any one of them. What is made by an
    instruction of the function has the root ``("made", code, offset)``.
    """

    root: tuple[Any, ...]
    path: tuple[str, ...] = ()


class Use(NamedTuple):
    """``kind`` is read, call, write, in place, store, return, dynamic or opaque.

    ``args`` are a call's, ``named`` its keywords; ``args`` of a store is what is set as an attribute of a parameter.
    """

    kind: str
    origin: Origin
    args: tuple[frozenset[Origin], ...] = ()
    named: tuple[str, ...] = ()


Value = frozenset[Origin]


class Found(dict[Use, None]):
    """Uses in the order in which they were found.

    Attributes:
        stored: what was put into things that the function made, by the thing and the name of the attribute, or the
            key in brackets.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stored: dict[tuple[Origin, str], Value] = {}


_LONGEST, _WIDEST = 6, 24
_OWN = ("made", "const", "slice", "null", "code", "unknown")


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


def holding(members: Iterable[Value], made: Value = UNKNOWN) -> Value:
    """A container that is the function's own, ``made`` by it; some of its members may not be."""
    inner = {o.root[1] if o.root[0] == "holds" else o for member in members for o in member}
    kept = {o for o in inner if o.root[0] in FOREIGN}
    return narrow(frozenset(Origin(("holds", o)) for o in kept)) | made


def result_of(callee: Origin, arguments: Iterable[Value], keywords: tuple[str, ...]) -> Value:
    """What a call gives. Arguments that are results themselves are left out, so that no loop has ever longer ones."""
    if callee.root[0] not in FOREIGN[:-1]:
        return frozenset()
    given = tuple(frozenset(o for o in value if _first(o) in FOREIGN[:-1]) for value in arguments)
    return one("result", callee, given, keywords)


def _first(origin: Origin) -> str:
    root = origin.root
    return str(root[1].root[0] if root[0] == "holds" else root[0])


def taken(value: Value, name: str) -> Value:
    """An attribute of a value, or with :data:`WITHIN` one of its members."""
    return frozenset(_extended(origin, name) for origin in value)


def _extended(origin: Origin, name: str) -> Origin:
    root, path = origin
    if root[0] in ("null", "code", "const", "unknown", "made", "slice"):
        return Origin(("unknown",), () if name in (WITHIN, SLICE) else (name,))
    if root[0] == "holds" and name in (WITHIN, SLICE):
        return root[1] if name == WITHIN else origin
    if root[0] == "holds":
        return Origin(root, (name,))
    if name in (WITHIN, SLICE) and path[-1:] == (name,):
        return origin
    if len(path) >= _LONGEST:
        path = (*path[: _LONGEST - 1], WITHIN)
        return Origin(root, path if name == WITHIN else (*path, name))
    return Origin(root, (*path, name))


def narrow(value: Value) -> Value:
    """A value that may be of anything, where it is of too many; what may be another's is kept before what isn't."""
    if len(value) <= _WIDEST:
        return value
    return frozenset(sorted(value, key=lambda o: (o.root[0] in _OWN, repr(o)))[:_WIDEST]) | UNKNOWN


def starred(code: CodeType) -> list[tuple[str, str]]:
    """The names of a function's ``*rows`` and ``**named``, each with its stars."""
    names = list(code.co_varnames[code.co_argcount + code.co_kwonlyargcount :])
    flags = ((inspect.CO_VARARGS, "*"), (inspect.CO_VARKEYWORDS, "**"))
    return [(stars, names.pop(0)) for flag, stars in flags if code.co_flags & flag]
