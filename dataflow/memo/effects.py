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

from dataflow.memo.bindings import source_of
from dataflow.memo.code import last_name, node_of, parsed
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
_COMPOUND = (ast.If, ast.Try, ast.TryStar, ast.With, ast.For, ast.While, ast.Match)
_SEVERAL = ast.Assign | ast.Delete
_ASSIGNING = ast.Assign | ast.AugAssign | ast.AnnAssign | ast.Delete
_DEFINITIONS = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
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
        for index, candidate in enumerate(_candidates(source_of(space) or "")):
            if any(_counts(one, space, used) for one in candidate.acts):
                yield Effect(name, index, candidate.tree, candidate.defines, space)


def top_of(module: str) -> str:
    """The first name of a module's, without the underscore of the part of it that is written in C."""
    return module.partition(".")[0].lstrip("_")


@dataclass(frozen=True)
class _Act:
    """The expression that says on what a statement acts; whether that is merely called, or decorates."""

    target: ast.expr
    called: bool
    decorates: bool = False


@dataclass(frozen=True)
class _Candidate:
    """A statement that may act on something."""

    tree: ast.Module
    acts: tuple[_Act, ...]
    defines: str = ""


def _counts(
    act: _Act, space: Mapping[str, Any], used: Set[str], seen: set[types.FunctionType] | None = None
) -> bool:
    found, names = _resolved(act.target, space)
    if act.called and _is_own_function(found):
        seen = set() if seen is None else seen
        if found in seen:
            return False
        seen.add(found)
        return any(_counts(one, found.__globals__, used, seen) for one in _acts_in(found))
    if act.decorates and not _REGISTERING.search(last_name(act.target)):
        return False
    target = _target(found, names, act)
    if target is None or not _NO_SETTING.isdisjoint({top_of(target), target}):
        return False
    if act.called and top_of(target) in _NO_CALLS:
        return False
    return top_of(target) in used or not _FOR_ALL.isdisjoint({top_of(target), target})


def _is_own_function(value: object) -> bool:
    if not isinstance(value, types.FunctionType):
        return False
    module = str(value.__globals__.get("__name__") or "")
    return top_of(module) != "dataflow" and installed_as(module) is None


def _acts_in(function: types.FunctionType) -> tuple[_Act, ...]:
    """What a function that is called while a module is imported may act on."""
    node = node_of(function.__code__)
    inner = (one for one in ast.walk(node) if isinstance(one, ast.FunctionDef)) if node else ()
    return tuple(act for one in inner for statement in one.body for act in _acts_of(statement))


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


@functools.lru_cache(maxsize=4096)
def _candidates(source: str) -> tuple[_Candidate, ...]:
    """The statements of a module that may act on others; of one that holds others, all of it: a loop, a condition."""
    tree = parsed(source)
    found: list[_Candidate] = []
    for statement in tree.body if tree else ():
        if isinstance(statement, _DEFINITIONS):
            for decorator in statement.decorator_list:
                called = decorator.func if isinstance(decorator, ast.Call) else decorator
                act = _Act(called, called=True, decorates=True)
                found.append(_Candidate(_module_of(ast.Expr(decorator)), (act,), statement.name))
        else:
            acts = tuple(_acts_of(statement))
            found += [_Candidate(_module_of(statement), acts)] if acts else []
    return tuple(found)


def _acts_of(statement: Any) -> Iterator[_Act]:
    """What a statement that runs may act on, and those in it; none of those that only a script runs."""
    if isinstance(statement, ast.ExceptHandler | ast.match_case):
        yield from (act for inner in statement.body for act in _acts_of(inner))
    elif isinstance(statement, _COMPOUND):
        parts = ["orelse", "finalbody", "handlers", "cases"] + ["body"] * (not _is_for_scripts(statement))
        yield from (
            act for part in parts for inner in getattr(statement, part, ()) for act in _acts_of(inner)
        )
    elif isinstance(statement, ast.Expr):
        yield from _calls_in(statement.value)
    elif isinstance(statement, _ASSIGNING):
        for target in statement.targets if isinstance(statement, _SEVERAL) else [statement.target]:
            if isinstance(target, ast.Attribute | ast.Subscript):
                yield _Act(target, called=False)
        yield from _calls_in(getattr(statement, "value", None))


def _calls_in(value: ast.expr | None) -> Iterator[_Act]:
    """Calls that may set something. One that goes on with what another gave doesn't: ``frame().to_csv()``."""
    for call in ast.walk(value) if value else ():
        if not isinstance(call, ast.Call):
            continue
        if isinstance(call.func, ast.Name) and call.func.id in ("setattr", "delattr") and call.args:
            yield _Act(call.args[0], called=False)
        inner = call.func
        while isinstance(inner, ast.Attribute):
            inner = inner.value
        if isinstance(inner, ast.Name):
            yield _Act(call.func, called=True)


def _is_for_scripts(statement: ast.stmt) -> bool:
    test = getattr(statement, "test", None)
    parts = ast.walk(test) if isinstance(test, ast.expr) else ()
    return any(isinstance(part, ast.Name) and part.id == "__name__" for part in parts)


def _module_of(statement: ast.stmt) -> ast.Module:
    return ast.fix_missing_locations(ast.Module([statement], []))


def _resolved(target: ast.expr, space: Mapping[str, Any]) -> tuple[Any, list[str]]:
    """What the first name of an expression means, or what it leads to through first-party modules; and the names that
    are taken of that, the last one first."""
    names: list[str] = []
    node: Any = target
    while node is not None and not isinstance(node, ast.Name):
        names += [node.attr] if isinstance(node, ast.Attribute) else []
        node = node.func if isinstance(node, ast.Call) else getattr(node, "value", None)
    found = space.get(node.id) if node is not None else None
    while isinstance(found, types.ModuleType) and installed_as(found.__name__) is None and names:
        found = getattr(found, names.pop(), None)
    return found, names


def _target(found: Any, names: list[str], act: _Act) -> str | None:
    """The installed module that is acted on, with what is taken of it; ``None`` where it is none, or nothing is set."""
    if found is os.environ:
        return "os.environ"
    module = found.__name__ if isinstance(found, types.ModuleType) else _home_of(found)
    if module is None or installed_as(module) is None:
        return None
    if act.called and module != "copyreg" and not _may_set(found, act.target, names):
        return None
    return ".".join([module, *names[-1:]]) if isinstance(found, types.ModuleType) else module


def _home_of(value: object) -> str | None:
    """Where a function or a class is from, or the class of an object."""
    home = "contextvars" if isinstance(value, ContextVar) else getattr(value, "__module__", None)
    return home if isinstance(home, str) else None


def _may_set(value: object, target: ast.expr, names: list[str]) -> bool:
    """Whether to call it, or a method of it, may set what isn't seen: by its name; other objects show their state."""
    if isinstance(value, ContextVar) or "environ" in names:
        return True
    kinds = (types.ModuleType, types.FunctionType, types.BuiltinFunctionType, type)
    # What Cython compiles is of a kind of its own.
    called = isinstance(value, kinds) or type(value).__name__ == "cython_function_or_method"
    return called and bool(_SETTING.search(last_name(target).lower()))
