"""How the walk describes a type hint."""

from __future__ import annotations

import typing
from typing import TYPE_CHECKING

from dataflow.memo.keys import encode, tagged

if TYPE_CHECKING:
    from dataflow.memo.walk import Walk

__all__ = ["hint"]


def hint(walk: Walk, value: object) -> bytes:
    """The description of a type hint: generics by their parts, typing's names by name."""
    origin = typing.get_origin(value)
    if origin is not None:
        parts = [hint(walk, part) for part in (origin, *typing.get_args(value))]
        return tagged(b"hint", b"".join(parts))
    if isinstance(value, (list, tuple)):
        return tagged(b"hints", b"".join(hint(walk, part) for part in value))
    if isinstance(value, typing.ForwardRef):
        return encode(value.__forward_arg__)
    if type(value).__module__ == "typing":
        name = getattr(value, "_name", None) or getattr(value, "__name__", None) or str(value)
        return tagged(b"typing", encode(str(name)))
    return walk.value(value)
