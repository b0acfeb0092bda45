"""A look at one first-party function: what its uses of outside names lead to, and which of them are refused.

A function that is called with an object that isn't the caller's own is looked at again with that object in its
parameter's place, so that a helper or a method that changes it is found out.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
import types
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

from dataflow.graph.memoize import impure
from dataflow.graph.memoize.flow import codes, uses
from dataflow.graph.memoize.impure import DENIED_METHODS
from dataflow.graph.memoize.origins import WITHIN, Origin, Use, one
from dataflow.memo.keys import LEAVES, of_leaves
from dataflow.memo.origin import installed_as

__all__ = ["Call", "Looked", "Reached", "is_first_party", "own_parts", "texts_of"]

_ABSENT = object()
_SOME = object()  # a value that isn't known, inside of one that isn't the function's own


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
        self.mark = (id(function), *sorted((name, id(value)) for name, value in bound.items()))


class _Method:
    """A first-party method, and the object it is taken of."""

    __slots__ = ("function", "owner")

    def __init__(self, function: types.FunctionType, owner: object) -> None:
        self.function, self.owner = function, owner


def is_first_party(function: types.FunctionType) -> bool:
    """Whether a function's code is read, and not just its name."""
    return installed_as(str(function.__globals__.get("__name__") or function.__module__ or "")) is None


def own_parts(function: types.FunctionType) -> list[Any]:
    """What a function carries with it: its cells, defaults and attributes."""
    cells = [cell.cell_contents for cell in function.__closure__ or () if _is_filled(cell)]
    return [*cells, *(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values(),
            *vars(function).values()]  # fmt: skip


def texts_of(function: types.FunctionType) -> set[str]:
    """The texts that stand in a first-party function's code."""
    if not is_first_party(function):
        return set()
    every = [constant for code in codes(function.__code__) for constant in code.co_consts]
    return {t for c in every for t in (c if isinstance(c, tuple | frozenset) else (c,)) if isinstance(t, str)}


def _is_filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not _ABSENT
    except ValueError:
        return False


class Looked:
    """One look at a first-party function: its uses of what isn't its own, with the names looked up."""

    def __init__(self, function: types.FunctionType, bound: Mapping[str, Any]) -> None:
        self._function, self._bound, self._code = function, bound, function.__code__
        self._space = function.__globals__
        builtins = self._space.get("__builtins__", {})
        self._builtins = builtins if isinstance(builtins, dict) else vars(builtins)
        self._cells = {
            name: cell.cell_contents
            for name, cell in zip(self._code.co_freevars, function.__closure__ or (), strict=False)
            if _is_filled(cell)
        }
        count, defaults = self._code.co_argcount, function.__defaults__ or ()
        names = self._code.co_varnames[count - len(defaults) : count] if defaults else ()
        self._defaults = {**dict(zip(names, defaults, strict=False)), **(function.__kwdefaults__ or {})}
        self._texts = texts_of(function)
        self._names = {name for code in codes(self._code) for name in code.co_names}
        self._memory: dict[Origin, tuple[Any, str | None]] = {}

    def reached(self) -> Iterator[Reached | str]:
        """What the function leads to, or the reason to refuse it."""
        for use in uses(self._code):
            if use.kind == "opaque":
                yield f"{self._function.__qualname__} is too long to be looked through"
                continue
            value, reason = self._resolved(use.origin)
            reason = reason or self._reason(use, value)
            if reason:
                yield reason
                return
            if isinstance(value, _Method):
                yield Reached(value.function)
                yield Reached(Call(value.function, self._arguments(value.function, use, value.owner)))
            elif value is not _ABSENT and value is not _SOME and not isinstance(value, types.ModuleType):
                yield Reached(value)
                if use.kind == "call":
                    yield from self._bound_call(value, use)
            elif isinstance(value, types.ModuleType):
                yield Reached(value)

    def _bound_call(self, value: Any, use: Use) -> Iterator[Reached]:
        function, owner = value, _ABSENT
        if isinstance(value, types.MethodType):
            function, owner = value.__func__, value.__self__
        elif not isinstance(value, types.FunctionType | type):
            function, owner = inspect.getattr_static(type(value), "__call__", None), value
        if isinstance(function, types.FunctionType) and is_first_party(function):
            bound = self._arguments(function, use, owner)
            if bound:
                yield Reached(Call(function, bound))

    def _arguments(self, function: types.FunctionType, use: Use, owner: object) -> dict[str, Any]:
        """Which objects that aren't this function's own it passes on, by the parameters' names."""
        given = [] if owner is _ABSENT else [(owner, True)]
        for argument in use.args:
            known = [self._resolved(origin)[0] for origin in argument if self._is_foreign(origin)]
            kept = [v for v in known if v is not _ABSENT and type(v) not in LEAVES]
            given.append((kept[0], True) if kept else (None, False))
        names = function.__code__.co_varnames[: function.__code__.co_argcount]
        if use.named:
            keywords = dict(zip(use.named[::-1], given[::-1], strict=False))
            given = given[: len(given) - len(use.named)]
        else:
            keywords = {}
        bound = {**dict(zip(names, given, strict=False)), **keywords}
        return {name: value for name, (value, is_known) in bound.items() if is_known}

    def _reason(self, use: Use, value: Any) -> str | None:
        origin, name = use.origin, self._function.__qualname__
        if use.kind in ("write", "in place"):
            in_place = use.kind == "in place" and not isinstance(value, list | set | dict | deque | bytearray)
            if in_place and type(value).__module__ != "numpy":
                return None
            return f"{name} writes {_shown(origin)}, which is not its own" if self._writes(origin) else None
        if use.kind == "dynamic":
            owner = value if isinstance(value, types.ModuleType | type) else None
            if owner is not None and impure.denied_below(_dotted(owner)):
                return f"{name} takes of {_dotted(owner)} what can't be seen"
            return None
        if isinstance(value, types.ModuleType | type):
            reason = self._escape(value)
            if reason:
                return reason
        if use.kind == "call":
            return self._zone_reason(use) or self._call_reason(use, value)
        if use.kind == "read" and impure.is_zoned(value):
            return f"{self._function.__qualname__} hands on .{value.__name__}, which takes the machine's time zone"
        # ``map(ROWS.append, x)``: what is only held, and no method, is read.
        return (
            self._held_reason(use.origin, value, frozenset()) if value is _SOME or callable(value) else None
        )

    def _zone_reason(self, use: Use) -> str | None:
        """A call that takes the machine's time zone, since it is given none."""
        path = use.origin.path
        needs = (
            impure.needs_zone(path[-1], self._resolved(Origin(use.origin.root, path[:-1]))[0]) if path else 0
        )
        if not needs or isinstance(self._resolved(use.origin)[0], _Method):
            return None
        zone = dict(zip(use.named[::-1], use.args[::-1], strict=False)).get("tz")
        if zone is None and len(use.args) >= needs:
            zone = use.args[needs - 1]
        if zone is None or zone == one("const", None):
            return f"{self._function.__qualname__} takes the machine's time zone by .{path[-1]}()"
        return None

    def _escape(self, owner: Any) -> str | None:
        """A module or class that is handed on: its names may be taken of it elsewhere, or by their text."""
        dotted = _dotted(owner)
        if isinstance(owner, types.ModuleType):
            reason = impure.denied(dotted)
            if reason:
                return reason
        words = self._texts | (self._names if isinstance(owner, types.ModuleType) else set())
        if not impure.denied_below(dotted):
            return None
        return next((r for r in (impure.denied(f"{dotted}.{w}") for w in sorted(words)) if r), None)

    def _call_reason(self, use: Use, value: Any) -> str | None:
        origin, name = use.origin, self._function.__qualname__
        if impure.is_text_clock(value) and (
            {t.lower() for t in self._texts}.intersection(impure.CLOCK_TEXTS)
            or any(self._says_now(origin) for given in use.args for origin in given)
        ):
            return f"{name} makes the time of day of the text 'now'"
        first: frozenset[Origin] = use.args[0] if use.args else frozenset()
        if impure.mutates_first(value) and any(map(self._writes, first)):
            return f"{name} writes what is not its own by {_shown(origin)}()"
        for keyword, given in zip(use.named[::-1], use.args[::-1], strict=False):
            if keyword == "out" and any(map(self._writes, given)):
                return f"{name} writes what is not its own by out="
            if keyword == "inplace" and origin.path and self._writes(Origin(origin.root, origin.path[:-1])):
                return f"{name} changes {_shown(origin)[: -len(origin.path[-1]) - 1]}, which is not its own"
        return self._held_reason(origin, value, first)

    def _held_reason(self, origin: Origin, value: Any, first: frozenset[Origin]) -> str | None:
        """A method that changes the object it is taken of, where that isn't the function's own."""
        name = self._function.__qualname__
        if not origin.path or isinstance(value, _Method) or origin.path[-1] == WITHIN:
            return None
        owner = Origin(origin.root, origin.path[:-1])
        held = self._resolved(owner)[0]
        if isinstance(held, type):
            written = impure.mutates(..., origin.path[-1]) and not issubclass(held, impure.FIXED)
            if written and any(map(self._writes, first)):
                return f"{name} changes what is not its own by {_shown(origin)}()"
            return None
        if impure.mutates(... if held is _SOME or held is _ABSENT else held, origin.path[-1]):
            return f"{name} changes {_shown(owner)}, which is not its own" if self._writes(owner) else None
        return None

    def _says_now(self, origin: Origin) -> bool:
        text = origin.root[1] if origin.root[0] == "const" else self._resolved(origin)[0]
        return isinstance(text, str) and text.lower() in impure.CLOCK_TEXTS

    def _is_foreign(self, origin: Origin) -> bool:
        kind = origin.root[0]
        if kind == "param":
            return origin.root[1] in self._bound or origin.root[1] in self._defaults
        return kind in ("global", "free", "import")

    def _writes(self, origin: Origin) -> bool:
        """Whether a write to it would last: it isn't made here, and it isn't a plain number or text."""
        if not self._is_foreign(origin):
            return False
        value = self._resolved(origin)[0]
        return bool(origin.root[0] in ("global", "free") and not origin.path) or not impure.is_fixed(value)

    def _resolved(self, origin: Origin) -> tuple[Any, str | None]:
        """What an origin leads to, or the reason to refuse what it passes by."""
        if origin not in self._memory:
            self._memory[origin] = self._resolve(origin)
        return self._memory[origin]

    def _resolve(self, origin: Origin) -> tuple[Any, str | None]:
        kind, *rest = origin.root
        value: Any = _ABSENT
        dotted = ""
        if kind == "global":
            value = self._space.get(rest[0], self._builtins.get(rest[0], _ABSENT))
        elif kind == "free":
            value = self._cells.get(rest[0], _ABSENT)
        elif kind == "param":
            value = self._bound.get(rest[0], self._defaults.get(rest[0], _ABSENT))
            if rest[0] not in self._bound and type(value) in LEAVES:
                value = _ABSENT if origin.path else value
        elif kind == "import":
            value, dotted, reason = self._import(*rest)
            if reason:
                return value, reason
        for name in origin.path:
            reason = impure.denied(dotted := f"{dotted}.{name}") if dotted and name != WITHIN else None
            if reason and not isinstance(getattr(value, name, None), types.ModuleType):
                return value, reason
            value, reason = self._step(value, name)
            if reason:
                return value, reason
        return value, None

    def _step(self, value: Any, name: str) -> tuple[Any, str | None]:
        if name == WITHIN:
            # The members of plain data are plain: any of them is as good as a text.
            return (value if value is _ABSENT else "" if of_leaves(value) else _SOME), None
        if value is _ABSENT or value is _SOME:
            return value, self._method(name)
        if isinstance(value, _Method):
            return _SOME, None
        if isinstance(value, types.ModuleType):
            inner = _of_module(value, name)
            reason = None if isinstance(inner, types.ModuleType) else impure.denied_attribute(value, name)
            return inner, reason
        reason = impure.denied_attribute(value, name)
        if reason:
            return value, reason
        inner = _of_object(value, name)
        own = isinstance(inner, _Method) or (isinstance(inner, types.FunctionType) and is_first_party(inner))
        data = inner is not _SOME and not callable(inner)
        return inner, None if own or data else self._method(name)

    def _method(self, name: str) -> str | None:
        return f"{self._function.__qualname__} calls .{name}()" if name in DENIED_METHODS else None

    def _import(self, name: str, level: int, whole: bool) -> tuple[Any, str, str | None]:
        """The module that an import statement binds, its name, and the reason to refuse it."""
        package = str(self._space.get("__package__") or "")
        try:
            full = importlib.util.resolve_name("." * level + name, package) if level else name
        except ImportError:
            return _ABSENT, "", None
        bound = full if whole or level else full.partition(".")[0]
        try:
            if full not in sys.modules:
                importlib.import_module(full)
            return sys.modules.get(bound, _ABSENT), bound, None
        except ImportError:
            # It isn't there: what it would be is known by its name alone.
            return _ABSENT, bound, None
        except (Exception, SystemExit) as error:
            return _ABSENT, bound, f"it imports {full}, which fails ({type(error).__name__})"


def _of_module(module: types.ModuleType, name: str) -> Any:
    try:
        return getattr(module, name)
    except Exception:
        if not hasattr(module, "__path__"):
            return _ABSENT
    try:
        return importlib.import_module(f"{module.__name__}.{name}")
    except (Exception, SystemExit):
        return _ABSENT


def _of_object(value: Any, name: str) -> Any:
    """What an object or class holds under a name, without running any of its code."""
    try:
        held = inspect.getattr_static(value, name)
    except AttributeError:
        return _SOME
    if isinstance(held, staticmethod):
        return held.__func__
    if isinstance(held, classmethod):
        owner = value if isinstance(value, type) else type(value)
        function: Any = held.__func__
        is_own = isinstance(function, types.FunctionType) and is_first_party(function)
        return _Method(function, owner) if is_own else getattr(owner, name, _SOME)
    if isinstance(held, types.FunctionType) and not isinstance(value, type):
        return _Method(held, value) if is_first_party(held) else held
    if isinstance(value, type):
        return held
    return _SOME if hasattr(type(held), "__get__") else held


def _dotted(owner: Any) -> str:
    return (
        owner.__name__ if isinstance(owner, types.ModuleType) else f"{owner.__module__}.{owner.__qualname__}"
    )


def _shown(origin: Origin) -> str:
    names = (str(origin.root[1]), *(name for name in origin.path if name != WITHIN))
    return ".".join(names)
