"""How the walk describes a type hint."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dataflow.memo.chains import meaning
from dataflow.memo.keys import encode, tagged

if TYPE_CHECKING:
    from dataflow.memo.walk import Walk

__all__ = ["each_hint", "hint", "hints_of"]


def hints_of(walk: Walk, function: types.FunctionType) -> bytes:
    """What a function's annotations mean: decorators may act on them, and their text is part of the code only."""
    try:
        found = dict(function.__annotations__)
    except Exception:  # Python 3.14 evaluates them now, and a name may not be there
        return b""
    return tagged(b"annotations", each_hint(walk, found, function.__globals__))


def each_hint(walk: Walk, found: Mapping[str, Any], space: Mapping[str, Any]) -> bytes:
    """Annotations by name; those that are text, by what the names in it mean."""
    return b"".join(
        encode(name) + (meaning(walk, one, space) if isinstance(one, str) else hint(walk, one))
        for name, one in found.items()
    )


def hint(walk: Walk, value: object) -> bytes:
    """The description of a type hint: generics by their parts, typing's names by name."""
    origin = typing.get_origin(value)
    if origin is not None and origin is not value:
        parts = [hint(walk, part) for part in (origin, *typing.get_args(value))]
        return tagged(b"hint", b"".join(parts))
    if isinstance(value, (list, tuple)):
        return tagged(b"hints", b"".join(hint(walk, part) for part in value))
    if isinstance(value, typing.ForwardRef):
        return encode(value.__forward_arg__)
    if isinstance(value, typing.TypeVar):
        limits = [hint(walk, one) for one in (value.__bound__, *value.__constraints__)]
        return tagged(b"variable", encode(value.__name__) + b"".join(limits))
    if type(value).__module__ == "typing":
        name = getattr(value, "_name", None) or getattr(value, "__name__", None) or str(value)
        return tagged(b"typing", encode(str(name)))
    return walk.value(value)
