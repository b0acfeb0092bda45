"""Which first-party functions run when something is called, decorated with or derived of while a module is imported."""

from __future__ import annotations

import ast
import functools
import inspect
import sys
import types
from collections import ChainMap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dataflow.memo.acts import Act, acts_in, imports_in
from dataflow.memo.code import node_of
from dataflow.memo.origin import class_owner, installed_as, module_of
from dataflow.memo.special import taken

__all__ = ["acts_of_function", "names_in", "passed", "resolved", "run_by", "top_of"]

# ``__set_name__`` in the body of a class, ``model_post_init`` as pydantic has it.
_MADE_BY = ("__new__", "__init__", "__post_init__", "__set_name__", "model_post_init")
_ENTERED = ("__enter__", "__exit__")


def top_of(module: str) -> str:
    """The first name of a module's, without the underscore of the part of it that is written in C."""
    return module.partition(".")[0].lstrip("_")


@dataclass(frozen=True)
class _Alias:
    """What a local name is given, and what the names in that mean."""

    expression: ast.expr
    space: Mapping[str, Any] | None = None  # else that of the function itself


def resolved(target: ast.expr, space: Mapping[str, Any], seen: tuple[str, ...] = ()) -> tuple[Any, list[str]]:
    """What the first name of an expression means, or what it leads to through locals and first-party modules; and the
    names that are taken of that, the last one first. ``seen`` are the locals that have led to it."""
    names: list[str] = []
    node: Any = target
    if isinstance(node, ast.Constant) and isinstance(node.value, str):  # as patching functions are told
        return sys.modules.get(top_of(node.value)), names
    while node is not None and not isinstance(node, ast.Name):
        names += [node.attr] if isinstance(node, ast.Attribute) else []
        if isinstance(node, ast.Call):
            asked = isinstance(node.func, ast.Name) and node.func.id == "getattr" and node.args
            node = node.args[0] if asked else node.func
        else:
            node = getattr(node, "value", None)
    named = node.id if node is not None else ""
    found = space.get(named) if named not in seen else None
    if (
        len(names) > 1
        and isinstance(space.get(attribute := f"{named}.{names[-1]}"), _Alias)
        and attribute not in seen
    ):
        named, found = attribute, space[attribute]
        names.pop()
    if isinstance(found, _Alias):
        elsewhere = found.space is not None
        found, more = resolved(found.expression, found.space or space, () if elsewhere else (*seen, named))
        names += more
    while isinstance(found, types.ModuleType) and installed_as(found.__name__) is None and names:
        found = getattr(found, names.pop(), None)
    return found, names


def passed(found: Any, names: list[str]) -> Iterator[Any]:
    """What :func:`resolved` has found, and what the names taken of it lead to, as far as no code runs for it."""
    yield found
    for name in reversed(names):
        found = inspect.getattr_static(found, name, None)
        if isinstance(found, staticmethod | classmethod):
            found = found.__func__
        yield found


def run_by(act: Act, found: Any, names: list[str]) -> Iterator[types.FunctionType]:
    """The first-party functions that an act runs. ``found`` and ``names`` are what :func:`resolved` says of it."""
    value = found
    for name in reversed(names):
        # Nothing is run by looking: of an object its class is asked.
        value = inspect.getattr_static(value, name, None)
    match act.how:
        case "derive":
            yield from _by_deriving(value)
        case "set":
            yield from _functions(value.fset if isinstance(value, property) else None)
            if isinstance(act.target, ast.Subscript):
                yield from _functions(inspect.getattr_static(type(value), "__setitem__", None))
        case "hand":
            yield from _functions(
                value if isinstance(value, types.FunctionType | functools.partial) else None
            )
        case _:
            yield from _by_calling(value, decorates=act.how == "decorate")
            # Of a chain of methods each is of what the one before gives: of the same object, perhaps.
            for name in names if isinstance(found, type) and len(names) > 1 else ():
                yield from _functions(inspect.getattr_static(found, name, None))


def _by_deriving(base: Any) -> Iterator[types.FunctionType]:
    """Those that run when a class is derived of a base, or made by a class of classes."""
    for one in getattr(base, "__mro__", ()):
        yield from _functions(vars(one).get("__init_subclass__"))
    for one in [base, type(base)] if isinstance(base, type) else []:
        for name in ("__new__", "__init__") if issubclass(one, type) else ():
            yield from _functions(taken(one, name))


def _by_calling(value: Any, *, decorates: bool) -> Iterator[types.FunctionType]:
    """Those that run when something is called; of a class that decorates, its object is called too."""
    yield from _functions(value)
    if decorates or not isinstance(value, type | types.FunctionType):
        kind = value if isinstance(value, type) else type(value)
        yield from _functions(inspect.getattr_static(kind, "__call__", None))


def acts_of_function(function: types.FunctionType) -> tuple[Act, ...]:
    """What a function may act on."""
    node = node_of(function.__code__)
    return acts_in(node) if node else ()


def names_in(
    function: types.FunctionType, given: Sequence[ast.expr] = (), outer: Mapping[str, Any] | None = None
) -> Mapping[str, Any]:
    """What the names in a function mean: those of its module, what it imports itself and is loaded, and what its locals
    are given.

    Args:
        function: a function that is called.
        given: what it is given, that of which it is a method first.
        outer: what the names in that mean.
    """
    node = node_of(function.__code__)
    parameters = function.__code__.co_varnames[: function.__code__.co_argcount]
    if len(given) > len(parameters):  # a function of a module is a method of none
        given = given[1:]
    local: dict[str, Any] = {name: _Alias(one, outer) for name, one in zip(parameters, given, strict=False)}
    local |= {name: _Alias(one) for name, one in _given(node)} if node else {}
    kind = function.__globals__.get(function.__qualname__.partition(".")[0])
    if isinstance(kind, type) and len(kind.__mro__) > 1:
        local["super"] = kind.__mro__[1]
    for statement in imports_in(node) if node else ():
        for one in statement.names:
            if isinstance(statement, ast.Import):
                name = one.name if one.asname else one.name.partition(".")[0]
                local[one.asname or name] = sys.modules.get(name)
            elif not statement.level and statement.module in sys.modules:
                local[one.asname or one.name] = getattr(sys.modules[statement.module], one.name, None)
    return ChainMap(local, function.__globals__) if local else function.__globals__


@functools.lru_cache(maxsize=4096)
def _given(node: ast.AST) -> tuple[tuple[str, ast.expr], ...]:
    """The names that statements give a meaning, with the expressions that they are given or are a part of."""
    return tuple(_giving(node))


def _giving(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    for one in ast.walk(node):
        if isinstance(one, ast.Assign):
            for target in one.targets:
                if isinstance(target, ast.Name):
                    yield target.id, one.value
                elif isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
                    yield f"{target.value.id}.{target.attr}", one.value
        elif (
            isinstance(one, ast.AnnAssign | ast.NamedExpr) and isinstance(one.target, ast.Name) and one.value
        ):
            yield one.target.id, one.value
        elif isinstance(one, ast.For | ast.comprehension) and isinstance(one.target, ast.Name):
            yield one.target.id, one.iter
        elif isinstance(one, ast.withitem) and isinstance(one.optional_vars, ast.Name):
            yield one.optional_vars.id, one.context_expr


def _functions(value: Any) -> Iterator[types.FunctionType]:
    """The first-party functions behind what is called: a class's that make its objects, a method's, a partial's."""
    if isinstance(value, staticmethod | classmethod | types.MethodType):
        value = value.__func__
    if isinstance(value, functools.partial):
        value = value.func
    if isinstance(value, functools._lru_cache_wrapper):
        value = value.__wrapped__
    if isinstance(value, types.FunctionType) and isinstance(registry := vars(value).get("registry"), Mapping):
        yield from (one for each in set(registry.values()) for one in _functions(each))  # `singledispatch`
    value = inspect.unwrap(value) if isinstance(value, types.FunctionType) else value
    if isinstance(value, types.FunctionType):
        if _is_own(value):
            yield value
    elif isinstance(value, type) and class_owner(value) is None and top_of(module_of(value)) != "dataflow":
        for name in (*_MADE_BY, *_ENTERED):
            yield from _functions(inspect.getattr_static(value, name, None))


def _is_own(function: types.FunctionType) -> bool:
    module = str(function.__globals__.get("__name__") or "")
    return top_of(module) != "dataflow" and installed_as(module) is None
