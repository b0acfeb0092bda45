"""What first-party modules do to installed ones when they are imported: options that they set, functions that they
replace, handlers that they register.

Of installed code a fingerprint knows the version alone, so what was changed in it is told by the statements that
change it: ``json.dumps = mine``, ``pandas.set_option(...)``, ``decimal.getcontext().prec = 5``,
``@register_dataframe_accessor("mine")``. They count where the code that is described uses what they act on.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
import os
import re
import sys
import types
from collections.abc import Iterator, Mapping, Set
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from dataflow.memo.acts import Act, acts_of, candidates
from dataflow.memo.bindings import source_of
from dataflow.memo.code import last_name, node_of
from dataflow.memo.origin import installed_as

__all__ = ["Effect", "Spaces", "effects_around", "top_of"]

Spaces = dict[str, Mapping[str, Any]]
"""First-party modules' names by the module's."""

_FOR_ALL = frozenset(
    {"codecs", "copyreg", "decimal", "locale", "os.environ", "os.putenv", "sys.setrecursionlimit"}
)
"""What acts on code that doesn't name it: error handlers, copying, precision, sorting, the environment."""

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
_IMPORT = re.compile(r"^(?:from\s+([.\w]+)\s+import\s+(\([^)]*\)|[^\n#]*)|import\s+([^\n#]+))", re.MULTILINE)


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


def effects_around(spaces: Spaces, used: Set[str]) -> Iterator[Effect]:
    """What the import of modules, of the packages that they are in, and of all first-party ones that they import,
    does to the packages in ``used``, which are named as :func:`top_of` does.
    """
    used = used | {"numpy"} if used & _ON_NUMPY else used
    around, waiting = dict(spaces), list(spaces.items())
    while waiting:
        for name in _first_party_around(*waiting.pop()):
            if name not in around:
                around[name] = vars(sys.modules[name])
                waiting.append((name, around[name]))
    for name, space in around.items():
        for index, candidate in enumerate(candidates(source_of(space) or "")):
            if any(_counts(one, space, used) for one in candidate.acts):
                yield Effect(name, index, candidate.tree, candidate.defines, space)


def top_of(module: str) -> str:
    """The first name of a module's, without the underscore of the part of it that is written in C."""
    return module.partition(".")[0].lstrip("_")


def _counts(
    act: Act, space: Mapping[str, Any], used: Set[str], seen: set[types.FunctionType] | None = None
) -> bool:
    found, names = _resolved(act.target, space)
    if act.how in ("call", "decorate") and _is_own_function(found):
        seen = set() if seen is None else seen
        if found in seen:
            return False
        seen.add(found)
        acts = _acts_in(found)
        given = act.given if any(_is_of_a_parameter(one, found) for one in acts) else ()
        return any(_counts(one, found.__globals__, used, seen) for one in acts) or any(
            _counts(Act(one), space, used) for one in given
        )
    patching = act.given if _PATCHING.search(last_name(act.target)) else ()
    if any(_counts(Act(one), space, used) for one in patching):
        return True
    target = _target(found, names, act)
    if target is None or not _NO_SETTING.isdisjoint({top_of(target), target}):
        return False
    if act.how != "set" and top_of(target) in _NO_CALLS:
        return False
    return top_of(target) in used or not _FOR_ALL.isdisjoint({top_of(target), target})


def _is_of_a_parameter(act: Act, function: types.FunctionType) -> bool:
    code, node = function.__code__, act.target
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return act.how == "set" and isinstance(node, ast.Name) and node.id in code.co_varnames[: code.co_argcount]


def _is_own_function(value: object) -> bool:
    if not isinstance(value, types.FunctionType):
        return False
    module = str(value.__globals__.get("__name__") or "")
    return top_of(module) != "dataflow" and installed_as(module) is None


def _acts_in(function: types.FunctionType) -> tuple[Act, ...]:
    """What a function that is called while a module is imported may act on."""
    node = node_of(function.__code__)
    inner = (one for one in ast.walk(node) if isinstance(one, ast.FunctionDef)) if node else ()
    return tuple(act for one in inner for statement in one.body for act in acts_of(statement))


def _first_party_around(name: str, space: Mapping[str, Any]) -> Iterator[str]:
    parts = name.split(".")
    asked = [".".join(parts[:count]) for count in range(1, len(parts))]
    asked += _imported(source_of(space) or "", str(space.get("__package__") or ""))
    for one in asked:
        if one in sys.modules and top_of(one) != "dataflow" and installed_as(one) is None:
            yield one


@functools.lru_cache(maxsize=4096)
def _imported(source: str, package: str) -> tuple[str, ...]:
    """The modules that the imports at a module's top level may load. The text tells them: parsing takes long."""
    found: dict[str, None] = {}
    for base, names, plain in _IMPORT.findall(source):
        full = re.findall(r"(?:^|,)\s*([\w.]+)", plain)
        if base:
            try:
                base = importlib.util.resolve_name(base, package)
            except ImportError:
                continue
            full = [base, *(f"{base}.{one}" for one in re.findall(r"\w+", names))]
        for parts in (one.split(".") for one in full):
            found |= {".".join(parts[: count + 1]): None for count in range(len(parts))}
    return tuple(found)


def _resolved(target: ast.expr, space: Mapping[str, Any]) -> tuple[Any, list[str]]:
    """What the first name of an expression means, or what it leads to through first-party modules; and the names that
    are taken of that, the last one first."""
    names: list[str] = []
    node: Any = target
    if isinstance(node, ast.Constant) and isinstance(node.value, str):  # as patching functions are told
        return sys.modules.get(top_of(node.value)), names
    while node is not None and not isinstance(node, ast.Name):
        names += [node.attr] if isinstance(node, ast.Attribute) else []
        node = node.func if isinstance(node, ast.Call) else getattr(node, "value", None)
    found = space.get(node.id) if node is not None else None
    while isinstance(found, types.ModuleType) and installed_as(found.__name__) is None and names:
        found = getattr(found, names.pop(), None)
    return found, names


def _target(found: Any, names: list[str], act: Act) -> str | None:
    """The installed module that is acted on, with what is taken of it; ``None`` where it is none, or nothing is set."""
    if found is os.environ:
        return "os.environ"
    module = found.__name__ if isinstance(found, types.ModuleType) else _home_of(found)
    if module is None or installed_as(module) is None:
        return None
    if act.how == "derive":
        return module if _keeps_classes(found, names) else None
    if act.how == "decorate" and not _REGISTERING.search(last_name(act.target)) and _shows_state(found):
        return None
    calls = act.how == "call" or _shows_state(found)
    if act.how != "set" and module != "copyreg" and calls and not _may_set(found, act.target, names):
        return None
    return ".".join([module, *names[-1:]]) if isinstance(found, types.ModuleType) else module


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
    if isinstance(value, ContextVar) or "environ" in names:
        return True
    # What Cython compiles is of a kind of its own.
    called = isinstance(value, _CALLED) or type(value).__name__ == "cython_function_or_method"
    return called and bool(_SETTING.search(last_name(target).lower()))
