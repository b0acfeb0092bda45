"""What statements that run when a module is imported may act on, and what they import, by their syntax alone."""

from __future__ import annotations

import ast
import functools
import importlib.util
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from dataflow.memo.code import last_name, parsed

__all__ = ["Act", "Candidate", "acts_in", "candidates", "imported", "imported_by_words", "imports_in"]

_COMPOUND = (ast.If, ast.Try, ast.TryStar, ast.With, ast.For, ast.While, ast.Match)
_SEVERAL = ast.Assign | ast.Delete
_ASSIGNING = ast.Assign | ast.AugAssign | ast.AnnAssign | ast.Delete
_FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef
_DEFINITIONS = _FUNCTIONS | ast.ClassDef
_IMPORTS = ast.Import | ast.ImportFrom
_BY_WORDS = re.compile(r"\b(import_module|__import__|iter_modules|walk_packages|load_module|exec_module)\b")


@dataclass(frozen=True)
class Act:
    """What a statement may do to something.

    Attributes:
        target: the expression that says to what.
        how: by setting something of it, by ``call`` of it, by a call of what another call gave (``chain``), by
            ``decorate`` with it, by ``derive`` of a class of it, or by whoever it is handed to (``hand``).
        given: what it is given when it is called.
        around: what the function that is decorated may do, if the decorator calls it.
    """

    target: ast.expr
    how: str = "set"
    given: tuple[ast.expr, ...] = ()
    around: tuple[Act, ...] = ()


@dataclass(frozen=True)
class Candidate:
    """A statement that may act on something."""

    tree: ast.Module
    acts: tuple[Act, ...]
    defines: str = ""

    @property
    def names(self) -> bool:
        """Whether it does nothing but give names a value, by which what is made is found."""
        (statement,) = self.tree.body
        targets = (
            statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
        )
        return isinstance(statement, ast.Assign | ast.AnnAssign) and all(
            isinstance(t, ast.Name) for t in targets
        )


@functools.lru_cache(maxsize=4096)
def candidates(source: str) -> tuple[Candidate, ...]:
    """The statements of a module that may act on others; of one that holds others, all of it: a loop, a condition."""
    tree = parsed(source)
    found: list[Candidate] = []
    for statement in tree.body if tree else ():
        if isinstance(statement, _DEFINITIONS):
            found += _of_definition(statement)
        else:
            acts = tuple(_acts_of(statement))
            found += [Candidate(_module_of(statement), acts)] if acts else []
    return tuple(found)


@functools.lru_cache(maxsize=4096)
def imported(source: str, package: str) -> tuple[str, ...]:
    """The modules that a module's imports may load, those under a condition too, and the packages that they are in."""
    tree = parsed(source)
    found: dict[str, None] = {}
    for name in _imported_by(tree.body if tree else (), package):
        parts = name.split(".")
        found |= {".".join(parts[: count + 1]): None for count in range(len(parts))}
    return tuple(found)


@functools.lru_cache(maxsize=4096)
def imported_by_words(source: str) -> tuple[str, ...]:
    """All texts of a module that imports others by their names: each may be one. None where it doesn't."""
    tree = parsed(source) if _BY_WORDS.search(source) else None
    found = {one.value: None for one in ast.walk(tree) if _is_text(one)} if tree else {}  # type: ignore[attr-defined]
    return tuple(found)


@functools.lru_cache(maxsize=4096)  # a file that is read again has other nodes
def acts_in(definition: ast.AST) -> tuple[Act, ...]:
    """What a function that is called may act on, and those that are defined in it."""
    return tuple(_acts_in(definition))


def _acts_in(definition: ast.AST) -> Iterator[Act]:
    for one in ast.walk(definition):
        if isinstance(one, _FUNCTIONS):
            yield from (act for statement in one.body for act in _acts_of(statement))
        elif isinstance(one, ast.Lambda):
            yield from _calls_in(one.body)
        if isinstance(one, _DEFINITIONS) and one is not definition:
            yield from map(_decorating, one.decorator_list)


@functools.lru_cache(maxsize=4096)
def imports_in(definition: ast.AST) -> tuple[ast.Import | ast.ImportFrom, ...]:
    """The imports in a function."""
    return tuple(one for one in ast.walk(definition) if isinstance(one, _IMPORTS))


def _of_definition(definition: Any) -> Iterator[Candidate]:
    name, inner = definition.name, isinstance(definition, _FUNCTIONS)
    for decorator in definition.decorator_list:
        around = acts_in(definition) if inner else ()
        yield Candidate(_alone(decorator), (_decorating(decorator, around),), name)
    if inner:
        defaults = [*definition.args.defaults, *definition.args.kw_defaults]
        yield from (Candidate(_alone(one), tuple(_calls_in(one))) for one in defaults if one is not None)
        return
    for base in (*definition.bases, *(one.value for one in definition.keywords)):
        yield Candidate(_alone(base), (Act(base, "derive"),), name)
    for statement in definition.body:
        if not isinstance(statement, _DEFINITIONS):
            yield Candidate(_module_of(statement), tuple(_acts_of(statement)))


def _decorating(decorator: ast.expr, around: tuple[Act, ...] = ()) -> Act:
    if isinstance(decorator, ast.Call):
        return Act(decorator.func, "decorate", tuple(decorator.args), around)
    return Act(decorator, "decorate", (), around)


def _acts_of(statement: Any) -> Iterator[Act]:
    """What a statement that runs may act on, and those in it; none of those that only a script runs."""
    if isinstance(statement, ast.ExceptHandler | ast.match_case):
        yield from (act for inner in statement.body for act in _acts_of(inner))
    elif isinstance(statement, _COMPOUND):
        for item in getattr(statement, "items", ()):
            yield from _calls_in(item.context_expr)
        if not _is_for_scripts(statement):
            for part in ("test", "iter", "subject"):
                yield from _calls_in(getattr(statement, part, None))
        yield from (act for inner in _inside(statement) for act in _acts_of(inner))
    elif isinstance(statement, ast.Expr | ast.Return):
        yield from _calls_in(statement.value)
    elif isinstance(statement, ast.Assert):
        yield from _calls_in(statement.test)
    elif isinstance(statement, _ASSIGNING):
        for target in statement.targets if isinstance(statement, _SEVERAL) else [statement.target]:
            for one in target.elts if isinstance(target, ast.Tuple | ast.List) else [target]:
                # `TABLE |= ...` changes what it names, whoever else has it.
                if isinstance(one, ast.Attribute | ast.Subscript) or isinstance(statement, ast.AugAssign):
                    yield Act(one)
        yield from _calls_in(getattr(statement, "value", None))


def _inside(statement: ast.AST) -> Iterator[Any]:
    """The parts of a compound statement, without what only a script runs."""
    parts = ["orelse", "finalbody", "handlers", "cases"] + ["body"] * (not _is_for_scripts(statement))
    return (inner for part in parts for inner in getattr(statement, part, ()))


def _calls_in(value: ast.expr | None) -> Iterator[Act]:
    """Calls that may set something."""
    for call in ast.walk(value) if value else ():
        if not isinstance(call, ast.Call):
            continue
        if isinstance(call.func, ast.Name) and call.func.id in ("setattr", "delattr") and call.args:
            yield Act(call.args[0], given=tuple(call.args[1:2]))
        inner = call.func
        while isinstance(inner, ast.Attribute | ast.Subscript):
            inner = inner.value
        if isinstance(inner, ast.Name):
            yield Act(call.func, "call", tuple(call.args))
        elif isinstance(inner, ast.Call):
            yield Act(call.func, "chain", tuple(call.args))
        # What is handed over may be called: `Thread(target=setup)`, `pool.map(setup, names)`.
        handed = (*call.args, *(one.value for one in call.keywords))
        yield from (Act(one, "hand") for one in handed if isinstance(one, ast.Name | ast.Attribute))


def _imported_by(statements: Iterable[Any], package: str) -> Iterator[str]:
    for statement in statements:
        if isinstance(statement, ast.Import):
            yield from (one.name for one in statement.names)
        elif isinstance(statement, ast.ImportFrom):
            base = "." * statement.level + (statement.module or "")
            try:
                base = importlib.util.resolve_name(base, package)
            except ImportError:
                continue
            yield from (base, *(f"{base}.{one.name}" for one in statement.names))
        elif isinstance(statement, (*_COMPOUND, ast.ExceptHandler, ast.match_case, ast.ClassDef)):
            yield from _imported_by(_inside(statement), package)
        elif not isinstance(statement, _FUNCTIONS):
            yield from _told_to_import(statement)


def _told_to_import(statement: ast.stmt) -> Iterator[str]:
    for call in ast.walk(statement):
        if isinstance(call, ast.Call) and last_name(call.func) in ("import_module", "__import__"):
            yield from (one.value for one in call.args[:1] if _is_text(one))  # type: ignore[attr-defined]


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _is_for_scripts(statement: ast.AST) -> bool:
    test = getattr(statement, "test", None)
    parts = ast.walk(test) if isinstance(test, ast.expr) else ()
    return any(isinstance(part, ast.Name) and part.id == "__name__" for part in parts)


def _alone(expression: ast.expr) -> ast.Module:
    return _module_of(ast.Expr(expression))


def _module_of(statement: ast.stmt) -> ast.Module:
    return ast.fix_missing_locations(ast.Module([statement], []))
