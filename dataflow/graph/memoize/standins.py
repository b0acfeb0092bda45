"""What stands for objects, calls and arguments while a function is looked at; no code of theirs is run."""

from __future__ import annotations

import functools
import importlib
import inspect
import types
from collections.abc import Iterator
from typing import Any

from dataflow.graph.memoize.origins import ANY, starred
from dataflow.memo.origin import installed_as

__all__ = [
    "ABSENT",
    "OWN",
    "SOME",
    "Call",
    "Further",
    "Made",
    "Method",
    "Named",
    "Partial",
    "Reached",
    "any_of",
    "by_names",
    "getters_of",
    "is_first_party",
    "is_mark",
    "of_module",
    "of_object",
]

ABSENT = object()
SOME = object()  # a value that isn't known, inside of one that isn't the function's own
OWN = object()  # an argument that is the caller's own, or plain


def is_first_party(function: types.FunctionType) -> bool:
    """Whether a function's code is read, and not just its name."""
    return installed_as(str(function.__globals__.get("__name__") or function.__module__ or "")) is None


class Reached:
    """A value that is reached; a plain string in its place is a reason to refuse."""

    __slots__ = ("value",)

    def __init__(self, value: object) -> None:
        self.value = value


class Call:
    """A first-party function with objects that aren't its caller's own as its arguments."""

    __slots__ = ("bound", "function", "mark")

    def __init__(self, function: types.FunctionType, bound: dict[str, Any]) -> None:
        self.function, self.bound = function, bound
        self.mark = (id(function), *sorted((name, _mark(value)) for name, value in bound.items()))


class Made:
    """An object that a function makes of its own, with attributes that aren't."""

    __slots__ = ("attributes", "kind")

    def __init__(self, kind: type, attributes: dict[str, Any]) -> None:
        self.kind, self.attributes = kind, attributes

    def step(self, name: str) -> Any:
        """What it has under a name."""
        if name in self.attributes:
            return self.attributes[name]
        held = inspect.getattr_static(self.kind, name, None)
        return Method(held, self) if isinstance(held, types.FunctionType) and is_first_party(held) else ABSENT


class Further(tuple[Any, ...]):
    """What a call passes as ``*rows``."""


class Named(dict[str, Any]):
    """What a call passes as ``**named``."""


class Partial(functools.partial[Any]):
    """What a function makes with ``partial`` of what isn't its own."""


def _mark(value: Any) -> Any:
    """What tells values apart; what is made anew at each look is told apart by what it holds."""
    if isinstance(value, Further):
        return ("*", *map(_mark, value))
    if isinstance(value, Named):
        return ("**", *sorted((name, _mark(one)) for name, one in value.items()))
    if isinstance(value, Made):
        return ("made", id(value.kind), *sorted((name, id(one)) for name, one in value.attributes.items()))
    return ("", id(value))


class Method:
    """A first-party method, and the object it is taken of."""

    __slots__ = ("__func__", "__self__")

    def __init__(self, function: types.FunctionType, owner: object) -> None:
        self.__func__, self.__self__ = function, owner


def is_mark(value: Any) -> bool:
    """Whether a default only says that nothing was given."""
    return type(value) is object or type(value).__module__ == "dataclasses"


def by_names(code: types.CodeType, placed: list[Any], named: dict[str, Any]) -> dict[str, Any]:
    """A call's arguments by the parameters' names, those of ``*rows`` and ``**named`` with their stars."""
    names = code.co_varnames[: code.co_argcount]
    every = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    bound = dict(zip(names, placed, strict=False))
    anything = named.get(ANY, OWN)
    bound |= {name: anything for name in every if name not in bound and anything is not OWN}
    bound |= {name: value for name, value in named.items() if name in every}
    placed_rest = Further(placed[len(names) :])
    named_rest = Named({name: value for name, value in named.items() if name not in every})
    for stars, name in starred(code):
        rest: Further | Named = placed_rest if stars == "*" else named_rest
        bound |= {stars + name: rest} if _foreign_of(rest) else {}
    return bound


def _foreign_of(values: Further | Named) -> list[Any]:
    return [v for v in (values.values() if isinstance(values, dict) else values) if v is not OWN]


def any_of(values: Further | Named) -> Any:
    """Any one of a call's further arguments: itself where it is the only one that isn't the caller's own."""
    kept = _foreign_of(values)
    return kept[0] if len(kept) == 1 else SOME


def of_module(module: types.ModuleType, name: str) -> Any:
    """What a module holds under a name; a submodule that isn't loaded yet is imported."""
    try:
        return getattr(module, name)
    except Exception:
        if not hasattr(module, "__path__"):
            return ABSENT
    try:
        return importlib.import_module(f"{module.__name__}.{name}")
    except (Exception, SystemExit):
        return ABSENT


def getters_of(value: Any, name: str) -> Iterator[Any]:
    """What runs when an attribute is taken of an object, or of a class: a property's function, ``__getattr__``."""
    kind = type(value)
    yield from _own_method(kind, "__getattribute__")
    try:
        held = inspect.getattr_static(value, name)
    except AttributeError:
        yield from _own_method(kind, "__getattr__")
        return
    of_its_own = issubclass(kind, type) and any(name in vars(one) for one in value.__mro__)
    if isinstance(held, property):
        yield from () if of_its_own or held.fget is None else (held.fget,)
    elif isinstance(held, functools.cached_property):
        yield from () if of_its_own else (held.func,)
    elif type(held).__module__ not in ("builtins", "types"):
        yield from _own_method(type(held), "__get__")


def _own_method(kind: type, name: str) -> Iterator[types.FunctionType]:
    held = inspect.getattr_static(kind, name, None)
    if isinstance(held, types.FunctionType) and is_first_party(held):
        yield held


def of_object(value: Any, name: str) -> Any:
    """What an object or class holds under a name, without running any of its code."""
    try:
        held = inspect.getattr_static(value, name)
    except AttributeError:
        return SOME
    if isinstance(held, staticmethod):
        return held.__func__
    if isinstance(held, classmethod):
        owner = value if isinstance(value, type) else type(value)
        function: Any = held.__func__
        is_own = isinstance(function, types.FunctionType) and is_first_party(function)
        return Method(function, owner) if is_own else getattr(owner, name, SOME)
    if isinstance(held, types.FunctionType) and not isinstance(value, type):
        return Method(held, value) if is_first_party(held) else held
    if isinstance(value, type):
        return held
    return held if inspect.getattr_static(type(held), "__get__", None) is None else SOME
