"""What statements that run when a module is imported may act on, by their syntax alone."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dataflow.memo.code import parsed

__all__ = ["Act", "Candidate", "acts_of", "candidates"]

_COMPOUND = (ast.If, ast.Try, ast.TryStar, ast.With, ast.For, ast.While, ast.Match)
_SEVERAL = ast.Assign | ast.Delete
_ASSIGNING = ast.Assign | ast.AugAssign | ast.AnnAssign | ast.Delete
_DEFINITIONS = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True)
class Act:
    """The expression that says on what a statement acts, and how: by setting something of it, by calling it, by
    decorating with it, or by deriving a class of it; and what it is given when it is called."""

    target: ast.expr
    how: str = "set"
    given: tuple[ast.expr, ...] = ()


@dataclass(frozen=True)
class Candidate:
    """A statement that may act on something."""

    tree: ast.Module
    acts: tuple[Act, ...]
    defines: str = ""


@functools.lru_cache(maxsize=4096)
def candidates(source: str) -> tuple[Candidate, ...]:
    """The statements of a module that may act on others; of one that holds others, all of it: a loop, a condition."""
    tree = parsed(source)
    found: list[Candidate] = []
    for statement in tree.body if tree else ():
        if isinstance(statement, _DEFINITIONS):
            for decorator in statement.decorator_list:
                act = _decorating(decorator)
                found.append(Candidate(_module_of(ast.Expr(decorator)), (act,), statement.name))
            for base in _bases(statement):
                found.append(Candidate(_module_of(ast.Expr(base)), (Act(base, "derive"),), statement.name))
        else:
            acts = tuple(acts_of(statement))
            found += [Candidate(_module_of(statement), acts)] if acts else []
    return tuple(found)


def _decorating(decorator: ast.expr) -> Act:
    if isinstance(decorator, ast.Call):
        return Act(decorator.func, "decorate", tuple(decorator.args))
    return Act(decorator, "decorate")


def _bases(definition: ast.stmt) -> list[ast.expr]:
    """What a class is derived of, and the class of classes that it is given."""
    if not isinstance(definition, ast.ClassDef):
        return []
    return [*definition.bases, *(one.value for one in definition.keywords)]


def acts_of(statement: Any) -> Iterator[Act]:
    """What a statement that runs may act on, and those in it; none of those that only a script runs."""
    if isinstance(statement, ast.ExceptHandler | ast.match_case):
        yield from (act for inner in statement.body for act in acts_of(inner))
    elif isinstance(statement, _COMPOUND):
        parts = ["orelse", "finalbody", "handlers", "cases"] + ["body"] * (not _is_for_scripts(statement))
        yield from (act for part in parts for inner in getattr(statement, part, ()) for act in acts_of(inner))
    elif isinstance(statement, ast.Expr):
        yield from _calls_in(statement.value)
    elif isinstance(statement, _ASSIGNING):
        for target in statement.targets if isinstance(statement, _SEVERAL) else [statement.target]:
            if isinstance(target, ast.Attribute | ast.Subscript):
                yield Act(target)
        yield from _calls_in(getattr(statement, "value", None))


def _calls_in(value: ast.expr | None) -> Iterator[Act]:
    """Calls that may set something. One that goes on with what another gave doesn't: ``frame().to_csv()``."""
    for call in ast.walk(value) if value else ():
        if not isinstance(call, ast.Call):
            continue
        if isinstance(call.func, ast.Name) and call.func.id in ("setattr", "delattr") and call.args:
            yield Act(call.args[0])
        inner = call.func
        while isinstance(inner, ast.Attribute):
            inner = inner.value
        if isinstance(inner, ast.Name):
            yield Act(call.func, "call", tuple(call.args))


def _is_for_scripts(statement: ast.stmt) -> bool:
    test = getattr(statement, "test", None)
    parts = ast.walk(test) if isinstance(test, ast.expr) else ()
    return any(isinstance(part, ast.Name) and part.id == "__name__" for part in parts)


def _module_of(statement: ast.stmt) -> ast.Module:
    return ast.fix_missing_locations(ast.Module([statement], []))
