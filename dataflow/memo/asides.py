"""What is told of functions, classes and objects only where code asks for it: docstrings, the order of attributes."""

from __future__ import annotations

import functools
import types
from collections.abc import Iterable, Iterator, Mapping, Set

from dataflow.memo.code import Reads
from dataflow.memo.filenames import texts_of
from dataflow.memo.keys import encode, tagged
from dataflow.memo.origin import class_owner, installed_as

__all__ = ["asides", "asks_for"]


_OF_DOCS = frozenset({"getdoc", "render_doc"})
_OF_SCHEMAS = frozenset({"json_schema", "model_json_schema", "models_json_schema"})


def asks_for(found: Reads, code: types.CodeType, space: Mapping[str, object]) -> Iterator[str]:
    """What code asks for of what can't be told, such as a local; for all that was met, then."""
    names = found.loose.union(*found.chains)
    values = [space.get(chain[0]) for chain in found.chains]
    called = {one.__name__ for one in values if isinstance(one, types.FunctionType)}
    texts = (*texts_of(code), *(one for one in values if type(one) is str))
    if "__doc__" in found.loose or _OF_DOCS & (names | called) or "__doc__" in texts:
        yield "docs"
    if _OF_SCHEMAS & names:
        yield "schema"
    if "__dict__" in names:
        yield "order"
    if "__subclasses__" in found.loose or ("type", "__subclasses__") in found.chains:
        yield "derived"  # which the walk itself tells: it leads on


def asides(asked: Set[str], met: Iterable[object]) -> bytes:
    """What was asked for, of all that was met."""
    met = list(met)
    told = met if "docs" in asked else []
    if not told and "schema" in asked:  # what makes a schema of classes reads theirs
        told = [one for one in met if isinstance(one, type)]
    docs = tagged(b"docs", b"".join(map(_docs_of, told))) if told else b""
    return docs + (tagged(b"order", b"".join(map(_order_of, met))) if "order" in asked else b"")


def _docs_of(value: object) -> bytes:
    """The docstrings of a function, and of what is defined in it, or of a class."""
    if isinstance(value, types.FunctionType):
        inner = texts_of(value.__code__)
        return encode((value.__doc__, inner)) if installed_as(value.__module__ or "") is None else b""
    own = isinstance(value, type) and class_owner(value) is None
    own = own or (isinstance(value, types.ModuleType) and installed_as(value.__name__) is None)
    return encode(value.__doc__) if own else b""


def _order_of(value: object) -> bytes:
    """In which order a class's or an object's attributes were defined."""
    if isinstance(value, types.FunctionType | types.ModuleType):
        return b""
    kind, names = type(value), getattr(value, "__dict__", {})
    # What a property keeps was put there when it was first read.
    kept = {name for name in names if isinstance(getattr(kind, name, None), functools.cached_property)}
    return encode([name for name in names if not name.startswith("__") and name not in kept])
