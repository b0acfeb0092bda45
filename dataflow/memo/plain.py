"""Plain containers (lists and dicts of text, bytes and numbers, however nested): copied as they are, and weighed.

A copy takes a fraction of the time of decoding the value again, and is as much its owner's alone: whatever could be
changed in it is new, and what is shared can't be changed.
"""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["ATOMS", "Parts", "copy_of", "parts_of", "weight"]

ATOMS = frozenset({type(None), bool, int, float, str, bytes})
"""Types whose values nobody can change and which hold no others."""

Parts = tuple[tuple[Any, Any], ...]
"""Where in a container there are other containers, each with its own parts."""

# What is nested deeper isn't plain: copying it might need more of the stack than a caller has left.
_DEEPEST = 32


def parts_of(value: Any, depth: int = _DEEPEST, seen: set[int] | None = None) -> Parts | None:
    """The containers in a plain list or dict, looked for once so that copying needn't; ``None`` for all else.

    Tuples are taken where nothing in them can be changed; a container that stands in the value twice isn't plain.
    """
    kind = type(value)
    if kind is dict and ATOMS.issuperset(map(type, value)):
        members = value.items()
        if ATOMS.issuperset(map(type, value.values())):
            return ()
    elif kind is list:
        if ATOMS.issuperset(map(type, value)):
            return ()
        members = enumerate(value)
    else:
        return None
    found = []
    seen = set() if seen is None else seen
    for where, member in members:
        if _immutable(member, depth):
            continue
        parts = parts_of(member, depth - 1, seen) if depth and id(member) not in seen else None
        if parts is None:
            return None
        seen.add(id(member))
        found.append((where, parts))
    return tuple(found)


def copy_of(value: Any, parts: Parts) -> Any:
    """A copy of a list or dict whose parts are known."""
    copied = value.copy()
    for where, inner in parts:
        copied[where] = copy_of(copied[where], inner) if inner else copied[where].copy()
    return copied


def weight(value: Any) -> int:
    """Bytes that a plain value takes in memory; what stands in it twice counts twice."""
    size = sys.getsizeof(value)
    kind = type(value)
    if kind is dict:
        return size + sum(map(sys.getsizeof, value)) + sum(map(weight, value.values()))
    if kind is list or kind is tuple:
        flat = ATOMS.issuperset(map(type, value))
        return size + sum(map(sys.getsizeof if flat else weight, value))
    return size


def _immutable(value: Any, depth: int) -> bool:
    if type(value) is tuple:
        return depth > 0 and all(_immutable(member, depth - 1) for member in value)
    return type(value) in ATOMS
