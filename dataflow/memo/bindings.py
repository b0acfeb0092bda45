"""The statements that make a name's value: a module's global, a class's or an object's attribute, a local."""

from __future__ import annotations

import ast
import functools
import linecache
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import FunctionType
from typing import Any

from dataflow.memo.code import parsed, syntax_of
from dataflow.memo.origin import class_owner, installed_as, module_of

__all__ = [
    "Binding",
    "Finder",
    "attribute_bindings",
    "class_bindings",
    "global_binding",
    "local_bindings",
    "source_of",
    "stored",
]

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_DEFINITIONS = (*_FUNCTIONS, ast.ClassDef, ast.Import, ast.ImportFrom, ast.Return)


@dataclass(frozen=True)
class Binding:
    """How a value was made.

    Attributes:
        name: what the statements bind it to.
        tree: the statements, in order.
        space: what the names in them mean.
    """

    name: str
    tree: ast.Module
    space: Mapping[str, Any]

    @property
    def bound(self) -> set[str]:
        """Names that the statements give a meaning themselves."""
        return stored(self.tree)

    @property
    def syntax(self) -> str:
        """The statements without positions."""
        return syntax_of(self.tree)


Finder = Callable[[str], Binding | None]
"""From the name of a part to how it was made; ``None`` where that can't be seen."""


def global_binding(name: str, value: object, space: Mapping[str, Any]) -> Binding | None:
    """How a global was made, in its own module or in the one that it was imported from."""
    made = _in_module(name, space)
    if made is not None or name == "__builtins__":  # which every module has, and none makes
        return made
    for module in list(sys.modules.values()):
        names = getattr(module, "__dict__", {})
        if names.get(name) is value and (made := _in_module(name, names)) is not None:
            return made
    return None


def class_bindings(kind: type) -> Finder:
    """How a class's attributes were made in its body."""

    def find(name: str) -> Binding | None:
        if class_owner(kind) is not None:
            return None
        node, space = _node_of(module_of(kind), kind.__qualname__, ast.ClassDef)
        return _binding(name, node.body, {**space, **vars(kind)}) if node else None

    return find


def attribute_bindings(kind: type) -> Finder:
    """How the attributes of a class's objects were made in its ``__init__``, of nothing but globals."""

    def find(name: str) -> Binding | None:
        if class_owner(kind) is not None:
            return None
        node, space = _node_of(module_of(kind), f"{kind.__qualname__}.__init__", *_FUNCTIONS)
        if node is None or not node.args.args:
            return None
        own = _Unbound(node.args.args[0].arg)
        body = [own.visit(statement) for statement in ast.parse(ast.unparse(node)).body[0].body]  # type: ignore[attr-defined]
        return _binding(name, body, space, inner=True)

    return find


def local_bindings(function: FunctionType) -> Finder:
    """How the closure variables of a function were made in the functions around it."""

    def find(name: str) -> Binding | None:
        outer = function.__code__.co_qualname.rpartition(".<locals>.")[0]
        module = str(function.__globals__.get("__name__", ""))
        while outer and installed_as(module) is None:
            node, _ = _node_of(module, outer.replace(".<locals>", ""), *_FUNCTIONS)
            made = _binding(name, node.body, function.__globals__, inner=True) if node else None
            if made is not None:
                return made
            outer = outer.rpartition(".<locals>.")[0]
        return None

    return find


def _in_module(name: str, space: Mapping[str, Any]) -> Binding | None:
    tree = _tree_of(space)
    made = _statements(name, tree) if tree else None
    return Binding(name, made, space) if made else None


@functools.lru_cache(maxsize=32768)
def _statements(name: str, tree: ast.Module) -> ast.Module | None:
    """The statements of a module that make ``name``. The tree is one of those that are kept, and never changed."""
    found = _binding(name, tree.body, {})
    return found.tree if found else None


def _binding(
    name: str, body: Sequence[ast.stmt], space: Mapping[str, Any], *, inner: bool = False
) -> Binding | None:
    """The statements of a body that make ``name``; of a function's body, also those that make what they read."""
    made = _by_name(tuple(body))
    taken = set(made.get(name, ()))
    if not any(name in stored(body[index]) for index in taken):
        return None
    waiting = [body[index] for index in taken] if inner else []
    while waiting:
        read = {part.id for part in ast.walk(waiting.pop()) if isinstance(part, ast.Name)}
        places = {place for one in read & _all_stored(tuple(body)) for place in made.get(one, ())}
        waiting += [body[place] for place in places - taken]
        taken |= places
    return Binding(name, ast.Module([body[index] for index in sorted(taken)], []), space)


@functools.lru_cache(maxsize=4096)
def _by_name(body: tuple[ast.stmt, ...]) -> dict[str, list[int]]:
    """The statements that may have a part in making a name, by their places; syntax is known by its identity."""
    found: dict[str, list[int]] = {}
    for index, statement in enumerate(body):
        for name in _made_by(statement):
            found.setdefault(name, []).append(index)
    return found


def _made_by(statement: ast.stmt) -> set[str]:
    if isinstance(statement, _DEFINITIONS):
        return set()
    if isinstance(statement, ast.Assign | ast.AnnAssign):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        return {name for target in targets for name in _mentioned(target)}
    return _mentioned(statement)


def _mentioned(node: ast.AST) -> set[str]:
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}


def stored(node: ast.AST) -> set[str]:
    """The names that statements give a meaning."""
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}


@functools.lru_cache(maxsize=4096)
def _all_stored(body: tuple[ast.stmt, ...]) -> set[str]:
    return {name for statement in body for name in stored(statement)}


class _Unbound(ast.NodeTransformer):
    """``self.name`` as a plain name, so that an object's attributes read like locals."""

    def __init__(self, own: str) -> None:
        self._own = own

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        if isinstance(node.value, ast.Name) and node.value.id == self._own:
            return ast.copy_location(ast.Name(node.attr, node.ctx), node)
        return self.generic_visit(node)


def _node_of(module: str, qualname: str, *kinds: type) -> tuple[Any, Mapping[str, Any]]:
    """A definition's syntax by its dotted name, and its module's names."""
    space = getattr(sys.modules.get(module), "__dict__", {})
    node: Any = _tree_of(space)
    for name in qualname.split("."):
        inner = [n for n in _children(node) if getattr(n, "name", None) == name]
        node = inner[-1] if len(inner) == 1 else None
    return (node if isinstance(node, kinds) else None), space


def _children(node: Any) -> Iterator[Any]:
    for part in getattr(node, "body", ()):
        if isinstance(part, (*_FUNCTIONS, ast.ClassDef)):
            yield part


def _tree_of(space: Mapping[str, Any]) -> ast.Module | None:
    source = source_of(space)
    return None if source is None else parsed(source)


def source_of(space: Mapping[str, Any]) -> str | None:
    """The text of the module whose names these are; ``None`` where it has no file."""
    file = space.get("__file__")
    if not isinstance(file, str):
        return None
    linecache.checkcache(file)
    return "".join(linecache.getlines(file))
