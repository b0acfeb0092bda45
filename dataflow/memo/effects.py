"""What first-party modules do to installed ones when they are imported: options that they set, functions that they
replace, handlers that they register.

Of installed code a fingerprint knows the version alone, so what was changed in it is told by the statements that
change it: ``json.dumps = mine``, ``pandas.set_option(...)``, ``decimal.getcontext().prec = 5``,
``@register_dataframe_accessor("mine")``. They count where the code that is described uses what they act on.
"""

from __future__ import annotations

import ast
import builtins
import functools
import operator
import os
import re
import sys
import types
from collections import OrderedDict, defaultdict, deque
from collections.abc import Collection, Iterator, Mapping, Set
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from dataflow.memo.acts import Act, candidates, imported, imported_by_words
from dataflow.memo.code import last_name
from dataflow.memo.origin import installed_as
from dataflow.memo.running import acts_of_function, names_in, passed, resolved, run_by, top_of
from dataflow.memo.texts import source_of

__all__ = ["Effect", "Spaces", "effects_around"]

Spaces = dict[str, Mapping[str, Any]]
"""First-party modules' names by the module's."""

_ALL = """
codecs copyreg decimal locale os.environ os.putenv sys.setrecursionlimit sys.set_int_max_str_digits
pandas.set_option pandas.reset_option pandas.options pandas.set_eng_float_format
numpy.set_printoptions numpy.seterr numpy.seterrcall
"""
_FOR_ALL = frozenset(_ALL.split())
"""What acts on code that doesn't name it: error handlers, copying, precision, sorting, the environment; and how the
frames and arrays are shown that it is given."""

_ON_NUMPY = frozenset({"pandas", "scipy", "sklearn", "skimage", "xarray", "cv2"})
# Running a pipeline, logging and making room set nothing; where modules are found is seen by which are.
_NO_SETTING = frozenset(
    {"dataflow", "sys.exit", "sys.path", "sys.stdout", "sys.stderr", "os.makedirs", "os.mkdir"}
)
_NO_CALLS = frozenset({"logging", "warnings"})
# How functions are called that set something for others.
_SETTING = re.compile(
    "set|regist|add|enable|disable|patch|use|install|init|conf|seed|option|update|append|extend|insert|default|push|pop"
    "|limit|env"
)
_REGISTERING = re.compile("regist|patch")
_PATCHING = re.compile("patch|wrap(?!s)")  # what they act on is an argument, or is named by one
# Whose classes make others in a way that leaves nothing behind in them.
_KEEPING_NOTHING = frozenset(
    {
        "abc",
        "attr",
        "attrs",
        "builtins",
        "ctypes",
        "enum",
        "msgspec",
        "pydantic",
        "typing",
        "typing_extensions",
    }
)
_CALLED = (types.ModuleType, types.FunctionType, types.BuiltinFunctionType, type)
_RUNNING = frozenset({"create_function", "execute", "executemany", "from_query", "query", "sql"})
_CONTAINERS = (list, dict, set, deque, defaultdict, OrderedDict)
_ASKING = frozenset({"get", "copy", "items", "keys", "values"})
_METHODS_OF = frozenset({"dict", "list", "set", "object", "type"})
_CHANGING = re.compile("append|extend|insert|update|setdefault|add|pop|remove|clear|discard|sort|reverse")


@dataclass(frozen=True)
class Effect:
    """A statement that acts on an installed module.

    Attributes:
        module: the name of the one that it is in.
        index: which it is there.
        tree: the statement; of a definition that is registered, its decorator.
        defines: the name of what is registered; empty for all else.
        space: what the names in it mean.
    """

    module: str
    index: int
    tree: ast.Module
    defines: str
    space: Mapping[str, Any]


def effects_around(
    spaces: Spaces,
    used: Set[str],
    saying: Mapping[int, object],
    kept: Collection[int] = (),
    named: Set[str] = frozenset(),
) -> Iterator[Effect]:
    """What the import of modules, of the packages that they are in, and of all first-party ones that they import,
    does to the packages in ``used``, which are named as :func:`top_of` does, and sets on the objects of which the
    identity is in ``saying``, or in any way with those in ``kept``; and what it gives installed classes under a name
    in ``named``, of which the code takes it that is described.
    """
    around, waiting = dict(spaces), list(spaces.items())
    while waiting:
        for name in _first_party_around(*waiting.pop()):
            if name not in around:
                around[name] = vars(sys.modules[name])
                waiting.append((name, around[name]))
    judge = _Used(used | {"numpy"} if used & _ON_NUMPY else used, saying, kept, named)
    for name, space in around.items():
        for index, candidate in enumerate(candidates(source_of(space) or "")):
            if any(judge.touched(one, space, names=candidate.names) for one in candidate.acts):
                yield Effect(name, index, candidate.tree, candidate.defines, space)


def _first_party_around(name: str, space: Mapping[str, Any]) -> Iterator[str]:
    parts = name.split(".")
    text, package = source_of(space) or "", str(space.get("__package__") or "")
    asked = [".".join(parts[:count]) for count in range(1, len(parts))]
    asked += imported(text, package)
    words = imported_by_words(text)
    found = [one for one in (*asked, *words) if _is_first_party(one)]
    yield from found
    if words:  # a folder of plugins, perhaps
        below = tuple(f"{one}." for one in {package, *found} if hasattr(sys.modules.get(one), "__path__"))
        yield from (one for one in list(sys.modules) if one.startswith(below) and _is_first_party(one))


def _is_first_party(module: str) -> bool:
    return module in sys.modules and top_of(module) != "dataflow" and installed_as(module) is None


class _Used:
    """The packages that are used, and what acts on them."""

    def __init__(
        self, names: Set[str], saying: Mapping[int, object], kept: Collection[int], named: Set[str]
    ) -> None:
        self._names, self._saying, self._kept, self._named = names, saying, kept, named
        self._kinds = set(map(type, saying.values()))
        self._held: dict[int, str] | None = None
        self._seen: set[types.FunctionType] = set()

    def touched(self, act: Act, space: Mapping[str, Any], *, names: bool) -> bool:
        """Whether an act, or what it runs, acts on one of them. ``names`` says that the statement gives a name to what
        comes of it."""
        self._seen.clear()
        return self._is_touched(act, space, inside=not names)

    def _is_touched(self, act: Act, space: Mapping[str, Any], *, inside: bool = False) -> bool:
        found, names = resolved(act.target, space)
        found = found.func if isinstance(found, functools.partial) else found
        if act.how == "set" and id(found) in self._saying:
            return True
        if self._kept and self._is_done_to_kept(act, list(passed(found, names))):
            return True
        if inside and act.how == "call" and self._makes(found, names):
            return True
        own = list(run_by(act, found, names))
        if own:
            return any(self._is_touched_by(one, act, space) for one in own)
        if act.how in ("call", "decorate") and self._is_touched_by_given(act, found, space):
            return True
        # What goes on with what another call gave sets nothing: `frame().to_csv()`. Nor does installed code by itself.
        if act.how in ("chain", "hand"):
            return False
        target = self._container(found, act) or _target(found, names, act)
        # As an accessor of pandas, where no code names that.
        if target is not None and _gives(act) in self._named:
            return True
        if target is None or not _NO_SETTING.isdisjoint({top_of(target), target}):
            return False
        if act.how != "set" and top_of(target) in _NO_CALLS:
            return False
        return top_of(target) in self._names or not _FOR_ALL.isdisjoint({top_of(target), target})

    def _makes(self, found: Any, names: list[str]) -> bool:
        """Whether what is called makes such objects as say themselves what their state is, of which it then depends on
        the call: one that stands in a module by itself is seen where the object is.
        """
        *_, called = passed(found, names)
        return any(called is kind for kind in self._kinds)

    def _is_done_to_kept(self, act: Act, way: list[Any]) -> bool:
        """Whether something is done with what a function with a cache gives; to call that function does nothing."""
        only_called = act.how == "call" and id(way[-1]) in self._kept
        return not only_called and any(id(one) in self._kept for one in way)

    def _is_touched_by(self, function: types.FunctionType, act: Act, space: Mapping[str, Any]) -> bool:
        """Whether a first-party function that runs does it, to what it is given or by calling what it decorates."""
        if function in self._seen:
            return False
        self._seen.add(function)
        owner = (act.target.value,) if isinstance(act.target, ast.Attribute) else ()
        acts, inside = acts_of_function(function), names_in(function, (*owner, *act.given), space)
        given = (*owner, *act.given) if any(_is_of_a_parameter(one, function) for one in acts) else ()
        return (
            any(self._is_touched(one, inside, inside=True) for one in acts)
            or any(self._is_touched(Act(one), space) for one in given)
            or any(self._is_touched(one, space) for one in act.around)
        )

    def _is_touched_by_given(self, act: Act, found: Any, space: Mapping[str, Any]) -> bool:
        """Whether what is patched is one of them: it is an argument; or what is mapped does it."""
        name = last_name(act.target)
        if _PATCHING.search(name):
            return any(self._is_touched(Act(one), space) for one in act.given)
        if found is operator or (found is None and _first_name(act.target) in _METHODS_OF):
            # `dict.update(TABLE, ...)`
            return any(self._is_touched(Act(one), space) for one in act.given[:1])
        if isinstance(act.target, ast.Subscript) and type(found) in (list, tuple, dict):
            setters = found.values() if type(found) is dict else found
            return any(self._is_set_by(one, act) for one in setters)
        if found is None and hasattr(builtins, name):
            return any(self._is_touched(Act(one, "chain"), space) for one in act.given)
        return False

    def _is_set_by(self, value: Any, act: Act) -> bool:
        """Whether to call one of the functions that a container has sets something of them."""
        value = value.func if isinstance(value, functools.partial) else value
        name = str(getattr(value, "__name__", ""))
        return isinstance(value, _CALLED) and self._is_touched(
            Act(ast.Name(name), "call", act.given), {name: value}
        )

    def _container(self, found: Any, act: Act) -> str | None:
        """The module that holds a plain list or dict which is changed by whatever name."""
        if type(found) not in _CONTAINERS or (
            act.how == "call" and not _CHANGING.search(last_name(act.target))
        ):
            return None
        if self._held is None:
            modules = [(n, m) for n, m in list(sys.modules.items()) if top_of(n) in self._names]
            self._held = {
                id(one): name
                for name, module in modules
                if isinstance(module, types.ModuleType) and installed_as(name) is not None
                for one in vars(module).values()
                if type(one) in _CONTAINERS
            }
        return self._held.get(id(found))


def _gives(act: Act) -> str | None:
    """The name under which an act puts something, or registers it."""
    if isinstance(act.target, ast.Attribute) and act.how == "set" and not act.given:
        return act.target.attr
    first = act.given[0] if act.given else None
    told = act.how == "set" or _REGISTERING.search(last_name(act.target))
    return first.value if told and isinstance(first, ast.Constant) and isinstance(first.value, str) else None


def _first_name(target: ast.expr) -> str:
    """Of an attribute of a name, that."""
    held = target.value if isinstance(target, ast.Attribute) else None
    return held.id if isinstance(held, ast.Name) else ""


def _is_of_a_parameter(act: Act, function: types.FunctionType) -> bool:
    code, node = function.__code__, act.target
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return act.how == "set" and isinstance(node, ast.Name) and node.id in code.co_varnames[: code.co_argcount]


def _target(found: Any, names: list[str], act: Act) -> str | None:
    """The installed module that is acted on, with what is taken of it; ``None`` where it is none, or nothing is set."""
    if found is os.environ:
        return "os.environ"
    module = found.__name__ if isinstance(found, types.ModuleType) else _home_of(found)
    if module is None or installed_as(module) is None:
        return None
    if act.how == "derive":
        return module if _keeps_classes(found, names) else None
    if act.how != "set" and module != "copyreg" and not _may_change(found, names, act):
        return None
    if isinstance(found, types.ModuleType):
        return ".".join([module, *names[-1:]])
    return f"{module}.{found.__name__}" if isinstance(found, types.FunctionType) else module


def _may_change(found: Any, names: list[str], act: Act) -> bool:
    """Whether to call something, or to decorate with it, may change what isn't seen: by its name."""
    registers = _REGISTERING.search(last_name(act.target)) is not None
    if not isinstance(found, _CALLED) and names and registers:
        return True  # an object of theirs, which their own code asks
    if act.how == "decorate":
        return (registers and _may_set(found, act.target, names)) or not _shows_state(found)
    return _may_set(found, act.target, names)


def _keeps_classes(base: Any, names: list[str]) -> bool:
    """Whether a base, or a class of classes, may take note of what is derived of it."""
    for name in reversed(names):
        base = getattr(base, name, None)
    if not isinstance(base, type):
        return False
    hook = next((one for one in base.__mro__ if "__init_subclass__" in vars(one)), object)
    makers = {top_of(type(base).__module__), top_of(hook.__module__)}
    makers |= {top_of(base.__module__)} if issubclass(base, type) else set()
    return not makers <= _KEEPING_NOTHING


def _shows_state(value: Any) -> bool:
    """Whether a fingerprint can see what something holds; of what is compiled it can't."""
    return isinstance(value, _CALLED) or hasattr(value, "__dict__")


def _home_of(value: object) -> str | None:
    """Where a function or a class is from, or the class of an object."""
    home = "contextvars" if isinstance(value, ContextVar) else getattr(value, "__module__", None)
    if home is None and not _shows_state(value):  # what is compiled may not say it itself
        home = type(value).__module__
    return home if isinstance(home, str) and home != "builtins" else None


def _may_set(value: object, target: ast.expr, names: list[str]) -> bool:
    """Whether to call it, or a method of it, may set what isn't seen: by its name; other objects show their state."""
    if "environ" in names:
        return last_name(target) not in _ASKING
    if isinstance(value, ContextVar):
        return True
    if isinstance(value, types.ModuleType) and value.__name__ == "duckdb" and last_name(target) in _RUNNING:
        return True  # on the connection that all of its functions share
    # What Cython compiles is of a kind of its own.
    called = isinstance(value, _CALLED) or type(value).__name__ == "cython_function_or_method"
    if not called:
        return False
    # By its own name too: `from csv import register_dialect as dialect`.
    own = "" if isinstance(value, types.ModuleType) else str(getattr(value, "__name__", ""))
    return any(_SETTING.search(name.lower()) for name in (last_name(target), own))
