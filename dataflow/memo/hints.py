"""How the walk describes a type hint."""

from __future__ import annotations

import sys
import types
import typing
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dataflow.memo.chains import meaning
from dataflow.memo.keys import encode, tagged

if TYPE_CHECKING:
    from dataflow.memo.walk import Walk

__all__ = ["each_hint", "hint", "hints_of"]

_NOTHING: Mapping[str, Any] = types.MappingProxyType({})
# They stand for another type, which is asked of them.
_WITH_VALUES = tuple(filter(None, (typing.NewType, getattr(typing, "TypeAliasType", None))))


def hints_of(walk: Walk, function: types.FunctionType) -> bytes:
    """What a function's annotations mean: decorators may act on them, and their text is part of the code only."""
    try:
        found = dict(function.__annotations__)
    except Exception:  # Python 3.14 evaluates them now, and a name may not be there
        return b""
    return tagged(b"annotations", each_hint(walk, found, function.__globals__))


def each_hint(walk: Walk, found: Mapping[str, Any], space: Mapping[str, Any]) -> bytes:
    """Annotations by name; those that are text, by what the names in it mean."""
    return b"".join(encode(name) + hint(walk, one, space) for name, one in found.items())


def hint(walk: Walk, value: object, space: Mapping[str, Any] = _NOTHING) -> bytes:
    """The description of a type hint: generics by their parts, text by what the names in it mean, typing's by name.

    Args:
        space: where the names in a text are looked up.
    """
    if isinstance(value, str):
        return meaning(walk, value, space)
    if isinstance(value, typing.ForwardRef):
        home = sys.modules.get(str(getattr(value, "__forward_module__", None)))
        return meaning(walk, value.__forward_arg__, space if home is None else vars(home))
    origin, parts = typing.get_origin(value), typing.get_args(value)
    if origin is typing.Literal:
        return tagged(b"literal", walk.value(parts))
    if origin is typing.Annotated:
        return tagged(b"annotated", hint(walk, parts[0], space) + walk.value(parts[1:]))
    if origin is not None and origin is not value:
        return tagged(b"hint", b"".join(hint(walk, part, space) for part in (origin, *parts)))
    if isinstance(value, (list, tuple)):
        return tagged(b"hints", b"".join(hint(walk, part, space) for part in value))
    if isinstance(value, typing.TypeVar):
        limits = [hint(walk, one, space) for one in (value.__bound__, *value.__constraints__)]
        return tagged(b"variable", encode(value.__name__) + b"".join(limits))
    if type(value).__module__ == "typing" and not isinstance(value, _WITH_VALUES):
        name = getattr(value, "_name", None) or getattr(value, "__name__", None) or str(value)
        return tagged(b"typing", encode(str(name)))
    return walk.value(value)
