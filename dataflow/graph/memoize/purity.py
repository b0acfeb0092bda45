"""Does a task's result follow from its code and arguments alone? What looks outside is found out here.

First-party code is searched through, as deep as it goes: :mod:`dataflow.graph.memoize.flow` says what a function does
with names that aren't its own, and here they are looked up. Installed code is known by its names alone, which stand in
:mod:`dataflow.graph.memoize.impure`. A function that is called with an object that isn't the caller's own is looked at
again with that object in its parameter's place.
"""

from __future__ import annotations

import functools
import inspect
import operator
import types
from collections import deque
from collections.abc import Collection, Iterator
from typing import Any

from dataflow.graph.memoize import impure
from dataflow.graph.memoize.flow import uses
from dataflow.graph.memoize.impure import ALLOWED, DENIED, DENIED_METHODS
from dataflow.graph.memoize.look import Looked, own_parts, texts_of
from dataflow.graph.memoize.standins import Call, Reached, is_first_party
from dataflow.memo.keys import LEAVES, of_leaves
from dataflow.memo.origin import installed_as
from dataflow.memo.special import importable
from dataflow.pipeline import Stage

__all__ = ["ALLOWED", "DENIED", "Purity", "names_of"]


# Each is a function with other objects in its parameters' places: of a few dozen functions there may be millions.
_MOST_CALLS = 3000


class Purity:
    """Looks things through; what was looked through once isn't again.

    Args:
        trust: functions, or names of functions, that aren't looked at.
    """

    def __init__(self, trust: Collection[Any] = ()) -> None:
        self._trusted_names = {one for one in trust if isinstance(one, str)}
        self._trusted = [one for one in trust if not isinstance(one, str)]
        self._known: dict[int, tuple[Any, str | None, bool]] = {}

    def why_not(self, value: object) -> str | None:
        """What the value reaches that its result may follow; ``None`` if there is nothing."""
        return self._looked(value)[1]

    def makes_times(self, value: object) -> bool:
        """Whether the value reaches what makes times of texts: then a text that says "now" may be the time of day."""
        return self._looked(value)[2]

    def _looked(self, value: object) -> tuple[Any, str | None, bool]:
        known = self._known.get(id(value))
        if known is None:
            known = self._known[id(value)] = (value, *self._search_safely(value))
        return known

    def _search_safely(self, root: object) -> tuple[str | None, bool]:
        try:
            return self._search(root)
        except Exception as error:  # an object's own code runs at any look at it, and does as it likes
            return f"looking at what it reaches raised {type(error).__name__}", False

    def _search(self, root: object) -> tuple[str | None, bool]:
        if reason := _root_reason(root):
            return reason, False
        waiting: list[Any] = [root]
        seen: dict[Any, Any] = {}
        plain: list[Any] = []
        makes_times, calls = False, 0
        while waiting:
            value = waiting.pop()
            mark = value.mark if isinstance(value, Call) else id(value)
            subject = value.function if isinstance(value, Call) else value
            if mark in seen or self._is_trusted(subject):
                continue
            calls += isinstance(value, Call)
            if calls > _MOST_CALLS:
                return "it calls too much with what isn't its own to be looked through", makes_times
            seen[mark] = value  # kept alive: the identity of what is gone would be given to another
            texts = texts_of(subject) if isinstance(subject, types.FunctionType) else ()
            plain.extend(texts)
            makes_times |= any(map(impure.makes_times, (subject, *texts)))
            if type(subject) in LEAVES or of_leaves(subject):
                plain.append(subject)
                continue
            if not isinstance(value, Call):
                reason = next((r for check in _CHECKS if (r := check(value))), None)
                if reason:
                    return reason, makes_times
            for found in _reached(value):
                if isinstance(found, str):
                    return found, makes_times
                waiting.append(found.value)
        if makes_times and any(map(impure.says_now, plain)):
            return "it holds the text 'now' and makes times of texts", True
        return None, makes_times

    def _is_trusted(self, value: Any) -> bool:
        names = names_of(value)
        return bool(names & self._trusted_names) or any(value is one for one in self._trusted)


def names_of(value: Any) -> set[str]:
    """The names that people know a callable by: short, qualified, and with its module."""
    value = value.func if isinstance(value, functools.partial) else value
    name, full = getattr(value, "__name__", None), getattr(value, "__qualname__", None)
    if not isinstance(name, str) or not isinstance(full, str):
        return set()
    return {name, full, f"{getattr(value, '__module__', None)}.{full}"}


def _root_reason(root: Any) -> str | None:
    """A task's own function whose arguments would have to be seen."""
    if isinstance(root, type) and impure.is_text_clock(root):
        return f"{root.__qualname__} makes the time of day of the text 'now'"
    if impure.is_zoned(root):
        return f"it takes the machine's time zone by .{root.__name__}()"
    return None


def _method_reason(value: Any) -> str | None:
    """An installed method that is handed on: ``Path.read_text``, ``methodcaller("read_text")``."""
    if isinstance(value, operator.methodcaller):
        name = next((one for one in _called(value.__reduce__()) if isinstance(one, str)), "")
        return f"it calls .{name}()" if name in DENIED_METHODS else None
    if type(value).__name__ == "methodcaller" and getattr(value, "method", None) in DENIED_METHODS:
        return f"it calls .{value.method}()"
    name = str(getattr(value, "__name__", ""))
    if name not in DENIED_METHODS or isinstance(value, type):
        return None
    function = getattr(value, "__func__", value)
    if isinstance(function, types.FunctionType) and is_first_party(function):
        return None
    return f"it calls .{name}()" if "." in str(getattr(value, "__qualname__", "")) else None


def _called(reduced: Any) -> Iterator[Any]:
    make, arguments = reduced
    yield from getattr(make, "args", ())
    yield from arguments


def _partial_reason(value: Any) -> str | None:
    if not isinstance(value, functools.partial) or not impure.is_text_clock(value.func):
        return None
    texts = [one for one in (*value.args, *value.keywords.values()) if isinstance(one, str)]
    said = impure.CLOCK_TEXTS.intersection(text.lower() for text in texts)
    return f"it makes the time of day of the text {min(said)!r}" if said else None


def _code_reason(value: Any) -> str | None:
    """An installed function that has no name of its own, such as a closure, mustn't write outside of it."""
    if not isinstance(value, types.FunctionType) or is_first_party(value):
        return None
    if value.__module__ == "functools" or importable(value.__module__ or "", value.__qualname__) is value:
        return None  # what singledispatch writes is a cache of its own
    for use in uses(value.__code__):
        if use.kind == "write" and use.origin.root[0] in ("free", "global") and not use.origin.path:
            return f"{value.__qualname__} writes {use.origin.root[1]}, which is not its own"
    return None


def _reached(value: Any) -> Iterator[Reached | str]:
    """What a value leads to, or the reason to refuse it."""
    if isinstance(value, Call):
        yield from Looked(value.function, value.bound).reached()
    elif isinstance(value, Stage):
        yield Reached(value.function) if value.pure else f"stage {value.name} says pure=False"
    elif isinstance(value, types.FunctionType):
        if is_first_party(value):
            yield from Looked(value, {}).reached()
        yield from map(Reached, own_parts(value))
    elif isinstance(value, types.ModuleType):
        if installed_as(value.__name__) is None:
            yield from (Reached(v) for v in vars(value).values() if isinstance(v, types.FunctionType))
    elif isinstance(value, type):
        # Of a compiled type it may be a descriptor.
        module: Any = value.__module__
        if isinstance(module, str) and installed_as(module) is None:
            # Where an object lies in a table is in no result; a frozen dataclass has it told by `hash`. And what is
            # done about a subclass was done when that was made: see `Looked`, for functions that make some.
            own = [m for name, m in vars(value).items() if name not in ("__hash__", "__init_subclass__")]
            yield from map(Reached, [*own, *value.__bases__, type(value)])
    else:
        yield from map(Reached, [*_members(value), *_state(value)])


def _members(value: Any) -> list[Any]:
    if isinstance(value, dict | types.MappingProxyType):
        return [*value.keys(), *value.values()]
    if isinstance(value, list | tuple | set | frozenset | deque):
        return list(value)
    if type(value).__module__ == "numpy" and getattr(getattr(value, "dtype", None), "hasobject", False):
        return list(value.ravel().tolist()) if hasattr(value, "ravel") else []
    return []


def _state(value: Any) -> list[Any]:
    """What an object of any other kind holds, without asking it to compute anything."""
    if isinstance(value, functools.partial):
        return [value.func, value.args, value.keywords, *_partly(value)]
    if isinstance(value, types.MethodType):
        return [value.__func__, value.__self__, *_with_self(value.__func__, value.__self__)]
    if isinstance(value, types.BuiltinFunctionType):
        owner = value.__self__
        return [] if owner is None or isinstance(owner, types.ModuleType) else [owner]
    kind = type(value)
    parts = [getattr(value, "__wrapped__", None), getattr(value, "__func__", None), kind]
    if isinstance(value, property):
        parts += [value.fget, value.fset, value.fdel]
    parts += list(getattr(value, "__dict__", {}).values())
    parts += _with_self(inspect.getattr_static(kind, "__call__", None), value)
    parts.append(getattr(value, "default_factory", None) if isinstance(value, dict) else None)
    slots = [s for base in kind.__mro__ for s in _slots(base)]
    return parts + [getattr(value, name, None) for name in slots]


def _with_self(function: Any, owner: object) -> list[Any]:
    if not isinstance(function, types.FunctionType) or not is_first_party(function):
        return []
    names = function.__code__.co_varnames[:1] if function.__code__.co_argcount else ()
    return [Call(function, dict.fromkeys(names, owner))]


def _partly(value: functools.partial[Any]) -> list[Any]:
    function = value.func
    if not isinstance(function, types.FunctionType) or not is_first_party(function):
        return []
    names = function.__code__.co_varnames[: function.__code__.co_argcount]
    bound = {**dict(zip(names, value.args, strict=False)), **value.keywords}
    return [Call(function, {n: v for n, v in bound.items() if type(v) not in LEAVES})]


def _slots(kind: type) -> list[str]:
    slots = vars(kind).get("__slots__", ())
    names = [slots] if isinstance(slots, str) else list(slots)
    return [n for n in names if inspect.ismemberdescriptor(vars(kind).get(n))]


_CHECKS = (impure.denied_value, _method_reason, _partial_reason, _code_reason)
