"""A look at one first-party function: what its uses of outside names lead to, and which of them are refused.

A function that is called with an object that isn't the caller's own is looked at again with that object in its
parameter's place, so that a helper or a method that changes it is found out.
"""

from __future__ import annotations

import dis
import functools
import importlib
import importlib.util
import inspect
import io
import logging
import sys
import types
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from dataflow.graph.memoize import impure
from dataflow.graph.memoize.flow import codes, uses
from dataflow.graph.memoize.impure import DENIED_METHODS
from dataflow.graph.memoize.origins import ANY, FOREIGN, SLICE, WITHIN, Origin, Use, one, taken
from dataflow.graph.memoize.standins import (
    ABSENT,
    OWN,
    SOME,
    Call,
    Made,
    Method,
    Partial,
    Reached,
    any_of,
    by_names,
    getters_of,
    is_first_party,
    is_mark,
    of_module,
    of_object,
)
from dataflow.memo.keys import LEAVES, of_leaves
from dataflow.memo.origin import installed_as
from dataflow.pipeline import Stage

__all__ = ["Looked", "own_parts", "texts_of"]

_CACHED = type(functools.cache(lambda: None))
_DEEPEST = 4  # calls, of which the innermost gives what all others hand on
_MOST_PLACES = 16
_CLASS_MAKERS = frozenset(("type", "new_class", "make_dataclass", "create_model"))


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


@functools.lru_cache(maxsize=4096)
def _may_make_classes(code: types.CodeType) -> bool:
    """Whether a function's code has a class statement, or names what makes classes."""
    return any(
        not _CLASS_MAKERS.isdisjoint(one.co_names)
        or any(step.opname == "LOAD_BUILD_CLASS" for step in dis.get_instructions(one))
        for one in codes(code)
    )


def _is_filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not ABSENT
    except ValueError:
        return False


class Looked:
    """One look at a first-party function: its uses of what isn't its own, with the names looked up."""

    def __init__(
        self, function: types.FunctionType, bound: Mapping[str, Any], callers: tuple[Any, ...] = ()
    ) -> None:
        self._function, self._bound, self._code = function, bound, function.__code__
        self._callers = (*callers, function.__code__)
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
        self._memory: dict[Origin, tuple[Any, str | None]] = {}
        # What runs, or may run, where something is taken of an object, each with the object.
        self._getters: list[tuple[Any, Any]] = []

    @functools.cached_property
    def _texts(self) -> set[str]:
        return texts_of(self._function)

    @functools.cached_property
    def _names(self) -> set[str]:
        return {name for code in codes(self._code) for name in code.co_names}

    def reached(self) -> Iterator[Reached | str]:
        """What the function leads to, or the reason to refuse it."""
        for use in uses(self._code):
            if use.kind in ("return", "store"):
                continue
            if use.kind == "opaque":
                yield f"{self._function.__qualname__} is too long to be looked through"
                continue
            value, reason = self._resolved(use.origin)
            yield from self._passed_by()
            reason = reason or self._reason(use, value)
            if reason:
                yield reason
                return
            if isinstance(value, Method):
                yield Reached(value.__func__)
                yield Reached(Call(value.__func__, self._arguments(value.__func__, use, value.__self__)))
            elif value is not ABSENT and value is not SOME and not isinstance(value, types.ModuleType | Made):
                yield Reached(value)
                if use.kind == "call":
                    yield from self._bound_call(value, use)
            elif isinstance(value, types.ModuleType):
                yield Reached(value)
        if _may_make_classes(self._code):
            for base in (*map(self._space.get, self._names), *self._cells.values()):
                hook = getattr(base, "__init_subclass__", None) if isinstance(base, type) else None
                yield from map(Reached, filter(None, [getattr(hook, "__func__", None)]))

    def _passed_by(self) -> Iterator[Reached]:
        """What ran on the way to what has been looked up since."""
        while self._getters:
            getter, owner = self._getters.pop()
            yield Reached(getter)
            if isinstance(getter, types.FunctionType) and is_first_party(getter):
                yield Reached(Call(getter, by_names(getter.__code__, [owner], {})))

    def given(self) -> Any:
        """What the function gives its caller that isn't the caller's own; ``ABSENT`` if nothing is known to be."""
        origins = [use.origin for use in uses(self._code) if use.kind == "return"]
        whole = self._one_of([origin for origin in origins if origin.root[0] != "holds"])
        if whole is not ABSENT:
            return whole
        member = self._one_of([origin.root[1] for origin in origins if origin.root[0] == "holds"])
        return member if member is ABSENT else Made(list, {WITHIN: member})

    def _one_of(self, origins: Iterable[Origin]) -> Any:
        """What isn't this function's own, and may change, among these; ``SOME`` where that is one of several."""
        found = [self._resolved(origin)[0] for origin in origins if self._is_foreign(origin)]
        kept = {id(v): v for v in found if not (v is ABSENT or isinstance(v, Made) or impure.is_fixed(v))}
        return ABSENT if not kept else next(iter(kept.values())) if len(kept) == 1 else SOME

    def _bound_call(self, value: Any, use: Use) -> Iterator[Reached]:
        function, bound = self._callee(value, use)
        if function is not None and bound:
            yield Reached(Call(function, bound))

    def _callee(self, value: Any, use: Use) -> tuple[types.FunctionType | None, dict[str, Any]]:
        """The first-party function that a call runs, and which of its parameters aren't the caller's own."""
        value = value.function if isinstance(value, Stage) else value
        function, owner = value, ABSENT
        if isinstance(value, types.MethodType | Method):
            function, owner = value.__func__, value.__self__
        elif isinstance(value, type):
            function, owner = inspect.getattr_static(value, "__init__", None), OWN
        elif not isinstance(value, types.FunctionType):
            function, owner = inspect.getattr_static(type(value), "__call__", None), value
        if not isinstance(function, types.FunctionType) or not is_first_party(function):
            return None, {}
        return function, self._arguments(function, use, owner)

    def _arguments(self, function: types.FunctionType, use: Use, owner: object) -> dict[str, Any]:
        """Which objects that aren't this function's own it passes on, by the parameters' names."""
        placed = [] if owner is ABSENT else [owner]
        named: dict[str, Any] = {}
        if use.named == (ANY,):
            placed += self._all_placed(use.args[0])
            named = self._all_named(use.args[1])
        else:
            given = [self._passed(argument) for argument in use.args]
            placed += given[: len(given) - len(use.named)]
            named = dict(zip(use.named, given[len(given) - len(use.named) :], strict=True))
        return {name: v for name, v in by_names(function.__code__, placed, named).items() if v is not OWN}

    def _passed(self, argument: frozenset[Origin]) -> Any:
        """An object that isn't this function's own, among those that an argument may be; else ``OWN``."""
        found = [self._resolved(origin)[0] for origin in argument if self._is_foreign(origin)]
        kept = {id(v): v for v in found if v is not ABSENT and type(v) not in LEAVES}
        if len(kept) > 1:
            return SOME
        own = [v for origin in argument if isinstance(v := self._resolved(origin)[0], Made)]
        return next((v for v in (*kept.values(), *own)), OWN)

    def _all_placed(self, argument: frozenset[Origin]) -> list[Any]:
        """The members of ``*argument``: each in its place where it is this function's own ``*rows``, or known."""
        for values in map(self._whole, argument):
            if isinstance(values, list | tuple):
                return [OWN if type(value) in LEAVES else value for value in values]
        any_of_them = self._passed(taken(argument, WITHIN))
        return [] if any_of_them is OWN else [any_of_them] * _MOST_PLACES

    def _all_named(self, argument: frozenset[Origin]) -> dict[str, Any]:
        """The members of ``**argument``, likewise."""
        for values in map(self._whole, argument):
            if isinstance(values, dict):
                return {str(name): OWN if type(value) in LEAVES else value for name, value in values.items()}
        any_of_them = self._passed(taken(argument, WITHIN))
        return {} if any_of_them is OWN else {ANY: any_of_them}

    def _whole(self, origin: Origin) -> Any:
        inner = origin.root[1] if origin.root[0] == "holds" else origin
        if inner.root[0] == "param" and not inner.path and inner.root[1].startswith("*"):
            return self._bound.get(inner.root[1])
        return self._resolved(origin)[0]

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
            return self._zone_reason(use) or self._place_reason(use) or self._call_reason(use, value)
        if use.kind == "read" and impure.is_zoned(value):
            return f"{self._function.__qualname__} hands on .{value.__name__}, which takes the machine's time zone"
        # ``map(ROWS.append, x)``: what is only held, and no method, is read.
        return self._held_reason(use.origin, value, frozenset()) if value is SOME or callable(value) else None

    def _zone_reason(self, use: Use) -> str | None:
        """A call that takes the machine's time zone, since it is given none."""
        path = use.origin.path
        needs = (
            impure.needs_zone(path[-1], self._resolved(Origin(use.origin.root, path[:-1]))[0]) if path else 0
        )
        if not needs or isinstance(self._resolved(use.origin)[0], Method):
            return None
        zone = dict(zip(use.named[::-1], use.args[::-1], strict=False)).get("tz")
        if zone is None and use.named != (ANY,) and len(use.args) >= needs:
            zone = use.args[needs - 1]
        if zone is None or zone == one("const", None):
            return f"{self._function.__qualname__} takes the machine's time zone by .{path[-1]}()"
        return None

    def _place_reason(self, use: Use) -> str | None:
        """A call that writes to the place that it is given, if that isn't in memory: ``frame.to_json(path)``."""
        path, called = use.origin.path, self._resolved(use.origin)[0]
        writes = bool(path) and path[-1] in impure.WRITING_METHODS
        if isinstance(called, Method):
            return None
        if not writes:
            return self._file_reason(use, called)
        if use.named == (ANY,):
            places = list(use.args)
        else:
            named = dict(zip(use.named[::-1], use.args[::-1], strict=False))
            places = list(use.args[: min(1, len(use.args) - len(named))])
            places += [given for name, given in named.items() if name in impure.PLACES]
        if all(map(self._is_in_memory, places)):
            return None
        return f"{self._function.__qualname__} writes to the place that it gives .{path[-1]}()"

    def _file_reason(self, use: Use, called: object) -> str | None:
        """A call of what is installed that is given a file by a name that says so: ``XMLSchema(file=path)``."""
        if called is ABSENT or called is SOME or impure.is_plain(called):
            return None
        if installed_as(str(getattr(called, "__module__", None) or "builtins")) is None:
            return None  # it is looked at itself
        named = dict(zip(use.named[::-1], use.args[::-1], strict=False))
        files = [given for name, given in named.items() if name in impure.FILES]
        if all(map(self._is_in_memory, files)):
            return None
        return f"{self._function.__qualname__} gives {_shown(use.origin)}() a file by its name"

    def _is_in_memory(self, place: frozenset[Origin]) -> bool:
        """Whether it is ``io.BytesIO()``, or ``None``."""
        made = [origin for origin in place if origin.root[0] != "made"]
        files = [self._resolved(o.root[1])[0] for o in made if o.root[0] == "result" and not o.path]
        in_memory = len(files) == len(made) and all(file in (io.BytesIO, io.StringIO) for file in files)
        return place == one("const", None) or (bool(files) and in_memory)

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
        first = taken(first, WITHIN) if use.named == (ANY,) else first
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
        if not origin.path or isinstance(value, Method) or origin.path[-1] in (WITHIN, SLICE):
            return None
        owner = Origin(origin.root, origin.path[:-1])
        held = self._resolved(owner)[0]
        if isinstance(held, type):
            written = impure.mutates(..., origin.path[-1]) and not issubclass(held, impure.FIXED)
            if written and any(map(self._writes, first)):
                return f"{name} changes what is not its own by {_shown(origin)}()"
            return None
        if impure.mutates(... if held is SOME or held is ABSENT else held, origin.path[-1]):
            return f"{name} changes {_shown(owner)}, which is not its own" if self._writes(owner) else None
        return None

    def _says_now(self, origin: Origin) -> bool:
        text = origin.root[1] if origin.root[0] == "const" else self._resolved(origin)[0]
        return isinstance(text, str) and text.lower() in impure.CLOCK_TEXTS

    def _is_foreign(self, origin: Origin) -> bool:
        kind = origin.root[0]
        if kind in ("param", "result") and isinstance(self._resolved(Origin(origin.root))[0], Made):
            value = self._resolved(origin)[0]
            return value is not ABSENT and not isinstance(value, Made | Method)
        if kind == "param":
            return origin.root[1] in self._bound or origin.root[1] in self._defaults
        if kind == "result":
            return self._resolved(Origin(origin.root))[0] is not ABSENT
        return kind in FOREIGN

    def _writes(self, origin: Origin) -> bool:
        """Whether a write to it would last: it isn't made here, and it isn't a plain number or text."""
        if not self._is_foreign(origin):
            return False
        value = self._resolved(origin)[0]
        if isinstance(value, Made):
            return False
        return bool(origin.root[0] in ("global", "free") and not origin.path) or not impure.is_fixed(value)

    def _resolved(self, origin: Origin) -> tuple[Any, str | None]:
        """What an origin leads to, or the reason to refuse what it passes by."""
        if origin not in self._memory:
            self._memory[origin] = self._resolve(origin)
        return self._memory[origin]

    def _resolve(self, origin: Origin) -> tuple[Any, str | None]:
        kind, *rest = origin.root
        value: Any = ABSENT
        dotted = ""
        if kind == "global":
            value = self._space.get(rest[0], self._builtins.get(rest[0], ABSENT))
        elif kind == "free":
            value = self._cells.get(rest[0], ABSENT)
        elif kind == "param":
            value = self._bound.get(rest[0], self._defaults.get(rest[0], ABSENT))
            if rest[0] not in self._bound and type(value) in LEAVES:
                value = ABSENT if origin.path else value
            if rest[0].startswith("*") and value is not ABSENT:
                value = any_of(value)
        elif kind == "result":
            value = self._result(Use("call", *rest))
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

    def _result(self, use: Use) -> Any:
        """What a call gives that isn't this function's own: its callee hands out what others have too."""
        value, reason = self._resolved(use.origin)
        if reason or value is ABSENT or value is SOME:
            return ABSENT
        if value is functools.partial and use.args and use.named != (ANY,):
            return self._partial(use)
        if isinstance(value, _CACHED):
            inside = getattr(value, "__wrapped__", None)
            return SOME if isinstance(inside, types.FunctionType) and is_first_party(inside) else ABSENT
        function, bound = self._callee(value, use)
        if function is None or len(self._callers) > _DEEPEST or function.__code__ in self._callers:
            return ABSENT
        inside = Looked(function, bound, self._callers)
        return inside.made(value) if isinstance(value, type) else inside.given()

    def made(self, kind: type) -> Any:
        """The object that this function, a class's ``__init__``, sets on what isn't its own; else ``ABSENT``."""
        owner = self._code.co_varnames[0]
        stores = [use for use in uses(self._code) if use.kind == "store" and use.origin.root[1] == owner]
        set_to = {use.origin.path[0]: self._passed(use.args[0]) for use in stores}
        # A default that only says that nothing was given isn't set on anything.
        foreign = {n: v for n, v in set_to.items() if not (v is OWN or isinstance(v, Made) or is_mark(v))}
        return Made(kind, foreign) if foreign else ABSENT

    def _partial(self, use: Use) -> Any:
        given = [OWN if isinstance(v, Partial) else v for v in map(self._passed, use.args)]
        function, *placed = [None if v is OWN else v for v in given]
        named = dict(zip(use.named[::-1], placed[::-1], strict=False))
        placed = placed[: len(placed) - len(named)]
        return Partial(function, *placed, **named) if callable(function) else ABSENT

    def _step(self, value: Any, name: str) -> tuple[Any, str | None]:
        if name == WITHIN:
            # The members of plain data are plain: any of them is as good as a text.
            if value is ABSENT or isinstance(value, Made):
                return value.attributes.get(WITHIN, ABSENT) if isinstance(value, Made) else value, None
            return "" if of_leaves(value) else SOME, None
        if name == SLICE:
            is_copy = isinstance(value, list | tuple | str | bytes | bytearray)
            return Made(list, {}) if is_copy else value, None
        if value is ABSENT or value is SOME:
            return value, self._method(name)
        if isinstance(value, Made):
            inner = value.step(name)
            return inner, self._method(name) if inner is ABSENT else None
        if isinstance(value, Method):
            return SOME, None
        if isinstance(value, types.ModuleType):
            inner = of_module(value, name)
            reason = None if isinstance(inner, types.ModuleType) else impure.denied_attribute(value, name)
            return inner, reason
        reason = impure.denied_attribute(value, name)
        if reason:
            return value, reason
        self._getters += [(getter, value) for getter in getters_of(value, name)]
        inner = of_object(value, name)
        own = isinstance(inner, Method) or (isinstance(inner, types.FunctionType) and is_first_party(inner))
        if isinstance(inner, types.FunctionType) and not own and not isinstance(value, type | logging.Logger):
            self._getters.append((value, value))  # what an installed method runs may be what its object holds
        data = inner is not SOME and not callable(inner)
        return inner, None if own or data else self._method(name)

    def _method(self, name: str) -> str | None:
        return f"{self._function.__qualname__} calls .{name}()" if name in DENIED_METHODS else None

    def _import(self, name: str, level: int, whole: bool) -> tuple[Any, str, str | None]:
        """The module that an import statement binds, its name, and the reason to refuse it."""
        package = str(self._space.get("__package__") or "")
        try:
            full = importlib.util.resolve_name("." * level + name, package) if level else name
        except ImportError:
            return ABSENT, "", None
        bound = full if whole or level else full.partition(".")[0]
        try:
            if full not in sys.modules:
                importlib.import_module(full)
            return sys.modules.get(bound, ABSENT), bound, None
        except ImportError:
            # It isn't there: what it would be is known by its name alone.
            return ABSENT, bound, None
        except (Exception, SystemExit) as error:
            return ABSENT, bound, f"it imports {full}, which fails ({type(error).__name__})"


def _dotted(owner: Any) -> str:
    return (
        owner.__name__ if isinstance(owner, types.ModuleType) else f"{owner.__module__}.{owner.__qualname__}"
    )


def _shown(origin: Origin) -> str:
    first = f"{_shown(origin.root[1])}()" if origin.root[0] == "result" else str(origin.root[1])
    names = (first, *(name for name in origin.path if name not in (WITHIN, SLICE)))
    return ".".join(names)
