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
from collections.abc import Iterable, Iterator, Mapping, Set
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from dataflow.memo.bindings import source_of
from dataflow.memo.code import parsed
from dataflow.memo.origin import installed_as

__all__ = ["Effect", "Spaces", "effects_around", "top_of"]

Spaces = dict[str, Mapping[str, Any]]
"""First-party modules' names by the module's."""

_FOR_ALL = frozenset({"codecs", "copyreg", "decimal", "locale"})
"""Modules whose settings act on code that doesn't name them: error handlers, copying, precision, sorting."""

_ENVIRONMENT = ("os.environ", "os.putenv", "os.unsetenv")
# Running a pipeline sets nothing; where modules are found is seen by which are.
_NO_SETTING = frozenset({"dataflow", "sys.exit", "sys.path"})

_COMPOUND = (ast.If, ast.Try, ast.TryStar, ast.With, ast.For, ast.While, ast.Match)
_SEVERAL = ast.Assign | ast.Delete
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_IMPORT = re.compile(r"^(?:from\s+([.\w]+)\s+import\s+(\([^)]*\)|[^\n#]*)|import\s+([^\n#]+))", re.MULTILINE)


@dataclass(frozen=True)
class Effect:
    """A statement that acts on an installed module.

    Attributes:
        place: which it is, among those of its process.
        tree: the statement; of a definition that is registered, its decorator.
        defines: the name of what is registered; empty for all else.
        space: what the names in it mean.
    """

    place: tuple[str, int]
    tree: ast.Module
    defines: str
    space: Mapping[str, Any]


def effects_around(spaces: Spaces, used: Set[str]) -> Iterator[Effect]:
    """What the import of modules, of the packages that they are in, and of all first-party ones that they import,
    does to the packages in ``used``, which are named as :func:`top_of` does.
    """
    around, waiting = dict(spaces), list(spaces.items())
    while waiting:
        for name in _first_party_around(*waiting.pop()):
            if name not in around:
                around[name] = vars(sys.modules[name])
                waiting.append((name, around[name]))
    for name, space in around.items():
        source = source_of(space) or ""
        if any(word in source for word in (*used, *_FOR_ALL, "environ", "putenv")):
            yield from _effects_of(name, space, source, used)


def top_of(module: str) -> str:
    """The first name of a module's, without the underscore of the part of it that is written in C."""
    return module.partition(".")[0].lstrip("_")


def _effects_of(name: str, space: Mapping[str, Any], source: str, used: Set[str]) -> Iterator[Effect]:
    for index, candidate in enumerate(_candidates(source)):
        target = _acted_on(candidate, space)
        if target and _counts(target, used):
            yield Effect((name, index), candidate.tree, candidate.defines, space)


def _counts(target: str, used: Set[str]) -> bool:
    top = top_of(target)
    if not _NO_SETTING.isdisjoint({top, target}):
        return False
    return top in used or top in _FOR_ALL or target in _ENVIRONMENT


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


@dataclass(frozen=True)
class _Candidate:
    """A statement that may act on something, and the expression that says on what; whether it is a mere call."""

    tree: ast.Module
    target: ast.expr
    defines: str = ""
    called: bool = False


@functools.lru_cache(maxsize=4096)
def _candidates(source: str) -> tuple[_Candidate, ...]:
    tree = parsed(source)
    statements = _run_on_import(tree.body) if tree else ()
    return tuple(found for statement in statements for found in _of_statement(statement))


def _run_on_import(body: Iterable[Any]) -> Iterator[ast.stmt]:
    """The statements of a module's body that run when it is imported, those in others one by one."""
    for statement in body:
        if isinstance(statement, ast.ExceptHandler | ast.match_case):
            yield from _run_on_import(statement.body)
        elif not isinstance(statement, _COMPOUND):
            yield statement
        else:
            parts = ["orelse", "finalbody", "handlers", "cases"] + ["body"] * (not _is_for_scripts(statement))
            for part in parts:
                yield from _run_on_import(getattr(statement, part, ()))


def _is_for_scripts(statement: ast.stmt) -> bool:
    test = getattr(statement, "test", None)
    parts = ast.walk(test) if isinstance(test, ast.expr) else ()
    return any(isinstance(part, ast.Name) and part.id == "__name__" for part in parts)


def _of_statement(statement: ast.stmt) -> Iterator[_Candidate]:
    if isinstance(statement, _DEFINITIONS):
        for decorator in statement.decorator_list:
            called = decorator.func if isinstance(decorator, ast.Call) else decorator
            if "regist" in _last_name(called):
                yield _Candidate(_module_of(ast.Expr(decorator)), called, statement.name)
    elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        target = _set_by(statement.value)
        if target is not None:
            yield _Candidate(_module_of(statement), target, called=True)
    elif isinstance(statement, ast.Assign | ast.AugAssign | ast.AnnAssign | ast.Delete):
        for target in statement.targets if isinstance(statement, _SEVERAL) else [statement.target]:
            if isinstance(target, ast.Attribute | ast.Subscript):
                yield _Candidate(_module_of(statement), target)


def _set_by(call: ast.Call) -> ast.expr | None:
    """What a call may set; ``None`` where it goes on with what another gave: ``frame().to_csv()`` sets nothing."""
    if isinstance(call.func, ast.Name) and call.func.id in ("setattr", "delattr") and call.args:
        return call.args[0]
    inner = call.func
    while isinstance(inner, ast.Attribute):
        inner = inner.value
    return call.func if isinstance(inner, ast.Name) else None


def _module_of(statement: ast.stmt) -> ast.Module:
    return ast.fix_missing_locations(ast.Module([statement], []))


def _last_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _acted_on(candidate: _Candidate, space: Mapping[str, Any]) -> str | None:
    """The installed module that a statement acts on, with what it takes of it; ``None`` for all else."""
    names: list[str] = []
    node: Any = candidate.target
    while not isinstance(node, ast.Name):
        names += [node.attr] if isinstance(node, ast.Attribute) else []
        node = node.func if isinstance(node, ast.Call) else getattr(node, "value", None)
        if node is None:
            return None
    found = space.get(node.id)
    while isinstance(found, types.ModuleType) and installed_as(found.__name__) is None and names:
        found = getattr(found, names.pop(), None)
    if found is os.environ:
        return "os.environ"
    if candidate.called and not _holds_settings(found):
        return None
    module = found.__name__ if isinstance(found, types.ModuleType) else _home_of(found)
    if module is None or installed_as(module) is None:
        return None
    return ".".join([module, *names[-1:]]) if isinstance(found, types.ModuleType) else module


def _home_of(value: object) -> str | None:
    """Where a function or a class is from, or the class of an object."""
    home = "contextvars" if isinstance(value, ContextVar) else getattr(value, "__module__", None)
    return home if isinstance(home, str) else None


def _holds_settings(value: object) -> bool:
    """Whether to call it, or a method of it, may set what isn't seen: other objects show their state."""
    kinds = (types.ModuleType, types.FunctionType, types.BuiltinFunctionType, type, ContextVar)
    return isinstance(value, kinds)
