"""The statements that make a name's value: a module's global, a class's or an object's attribute, a local."""

from __future__ import annotations

import ast
import builtins
import functools
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import FunctionType
from typing import Any

from dataflow.memo.code import node_of, parsed, syntax_of
from dataflow.memo.keys import of_leaves
from dataflow.memo.origin import class_owner, installed_as, module_of
from dataflow.memo.texts import source_of

__all__ = [
    "Binding",
    "Finder",
    "attached_bindings",
    "attribute_bindings",
    "class_bindings",
    "default_bindings",
    "defaults_of",
    "global_binding",
    "local_bindings",
    "root_bindings",
    "stored",
]

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_RUNNING = (ast.For, ast.AsyncFor, ast.comprehension)
_DEFINED = (*_FUNCTIONS, ast.ClassDef)
_DEFINITIONS = (*_DEFINED, ast.Import, ast.ImportFrom, ast.Return)
_READING = """
all any bool dict enumerate frozenset hash isinstance len list max min print range repr reversed set sorted str sum
tuple zip
"""
_READING_FUNCTIONS = frozenset(_READING.split())
_ASKING = "copy count endswith format get index items join keys split startswith values"
_READING_METHODS = frozenset(_ASKING.split())


@dataclass(frozen=True, eq=False)
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

    @functools.cached_property
    def bound(self) -> set[str]:
        """Names that the statements give a meaning themselves."""
        return stored(self.tree)

    @functools.cached_property
    def is_given(self) -> bool:
        """Whether they read a name that has no meaning there, as an argument has none."""
        names = [_names_of(statement) for statement in self.tree.body]
        known = {name for _, _, running in names for name in running}
        given: set[str] = set()
        for loaded, bound, _ in names:
            given |= loaded - known  # also what it gives a new meaning: ``words = list(words)``
            known |= bound
        return any(name not in self.space and not hasattr(builtins, name) for name in given)

    @functools.cached_property
    def syntax(self) -> str:
        """The statements without positions."""
        return syntax_of(self.tree)


Finder = Callable[[str], Binding | None]
"""From the name of a part to how it was made; ``None`` where that can't be seen."""


def global_binding(name: str, value: object, space: Mapping[str, Any]) -> Binding | None:
    """How a global was made, in its own module or in the one that it was imported from."""
    fixed = _is_fixed(value)
    made = _in_module(name, space, fixed)
    if made is not None or name == "__builtins__":  # which every module has, and none makes
        return made
    for module in list(sys.modules.values()):
        names = getattr(module, "__dict__", {})
        if names.get(name) is value and (made := _in_module(name, names, fixed)) is not None:
            return made
    return None


def _is_fixed(value: object) -> bool:
    """Whether whoever is given the value can't change it: only what binds its name to it has made it."""
    return type(value) in (str, bytes, re.Pattern) or (type(value) is tuple and of_leaves(value))


def root_bindings(value: Any) -> tuple[Finder, str] | None:
    """How a function or a callable object that stands in its module by a name was made, and the name."""
    function = value.func if isinstance(value, functools.partial) else value
    space = getattr(sys.modules.get(str(getattr(function, "__module__", None))), "__dict__", {})
    space = getattr(function, "__globals__", space)
    for name, one in list(space.items()):
        if one is value:
            return (lambda asked: global_binding(asked, value, space)), name
    return None


def class_bindings(kind: type) -> Finder:
    """How a class's attributes were made in its body."""

    def find(name: str) -> Binding | None:
        if class_owner(kind) is not None:
            return None
        node, space = _node_of(module_of(kind), kind.__qualname__, ast.ClassDef)
        made = _binding(name, node.body, {**space, **vars(kind)}) if node else None
        return made or attached_bindings(kind.__qualname__, space)(name)

    return find


def attached_bindings(owner: str, space: Mapping[str, Any]) -> Finder:
    """How attributes were given to a function or a class in its module: ``f.words = list(WORDS)``."""

    def find(name: str) -> Binding | None:
        tree = _tree_of(space)
        value = _attached(owner, name, tree) if tree else None
        return None if value is None else _alone(f"_{name}_of_{owner}", value, space)

    return find


def attribute_bindings(kind: type) -> Finder:
    """How the attributes of a class's objects were made of nothing but globals: in its ``__init__``, in another of
    its methods, or by a dataclass's ``default_factory``."""
    own = [vars(one) for one in reversed(kind.__mro__) if class_owner(one) is None]
    members = {name: one for names in own for name, one in names.items() if not name.startswith("__")}

    def find(name: str) -> Binding | None:
        for one in kind.__mro__:
            if class_owner(one) is not None:
                continue
            node, space = _node_of(module_of(one), one.__qualname__, ast.ClassDef)
            for body in _bodies(node) if node else ():
                made = _binding(name, body, {**space, **members}, inner=True)
                if made is not None:
                    return made
        return None

    return find


def default_bindings(function: FunctionType) -> Finder:
    """How the defaults of a function's parameters were made."""

    def find(name: str) -> Binding | None:
        node = node_of(function.__code__)
        given = node.args if node else ast.arguments([], [], None, [], [], None, [])
        positional = [*given.posonlyargs, *given.args]
        both = [*zip(reversed(positional), reversed(given.defaults), strict=False)]
        for parameter, value in (*both, *zip(given.kwonlyargs, given.kw_defaults, strict=True)):
            if parameter.arg == name and value is not None:
                return _alone(f"_{name}_by_default", value, function.__globals__)
        return None

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


def defaults_of(function: FunctionType) -> dict[str, Any]:
    """The defaults of a function's parameters by their names."""
    positional = function.__code__.co_varnames[: function.__code__.co_argcount]
    # The last parameters have them; of more than there are parameters, the first ones mean nothing.
    pairs = zip(reversed(positional), reversed(function.__defaults__ or ()), strict=False)
    return {**dict(pairs), **(function.__kwdefaults__ or {})}


def _alone(name: str, value: ast.expr, space: Mapping[str, Any]) -> Binding:
    """How a value was made that has no name of its own."""
    assigned = ast.Assign([ast.Name(name, ast.Store())], value)
    return Binding(name, ast.fix_missing_locations(ast.Module([assigned], [])), space)


@functools.lru_cache(maxsize=4096)
def _attached(owner: str, name: str, tree: ast.Module) -> ast.expr | None:
    """What an attribute was set to at a module's top level, the last time."""
    found = None
    for statement in tree.body:
        for target in statement.targets if isinstance(statement, ast.Assign) else ():
            if (
                isinstance(target, ast.Attribute)
                and target.attr == name
                and ast.unparse(target.value) == owner
            ):
                found = statement.value  # type: ignore[attr-defined]
    return found


@functools.lru_cache(maxsize=1024)
def _bodies(node: ast.ClassDef) -> tuple[tuple[ast.stmt, ...], ...]:
    """What sets the attributes of a class's objects, with plain names for them: the likeliest first."""
    methods = [one for one in node.body if isinstance(one, _FUNCTIONS) and one.args.args]
    methods.sort(key=lambda one: (one.name != "__init__", one.name != "__post_init__"))
    bodies = []
    for one in methods:
        own, copied = _Unbound(one.args.args[0].arg), ast.parse(ast.unparse(one)).body[0]
        bodies.append(tuple(own.visit(statement) for statement in copied.body))  # type: ignore[attr-defined]
    return (*bodies, tuple(map(_by_factory, node.body)))


def _by_factory(statement: ast.stmt) -> ast.stmt:
    """``words: list = field(default_factory=...)`` with what the factory gives."""
    call = statement.value if isinstance(statement, ast.AnnAssign) else None
    for keyword in call.keywords if isinstance(call, ast.Call) else ():
        if keyword.arg in ("default_factory", "factory") and isinstance(statement, ast.AnnAssign):
            made = keyword.value
            given = made.body if isinstance(made, ast.Lambda) else ast.Call(made, [], [])
            return ast.fix_missing_locations(ast.Assign([statement.target], given))
    return statement


def _in_module(name: str, space: Mapping[str, Any], fixed: bool) -> Binding | None:
    tree = _tree_of(space)
    made = _statements(name, tree, fixed) if tree else None
    return Binding(name, made, space) if made else None


@functools.lru_cache(maxsize=32768)
def _statements(name: str, tree: ast.Module, fixed: bool) -> ast.Module | None:
    """The statements of a module that make ``name``. The tree is one of those that are kept, and never changed."""
    found = _binding(name, tree.body, {}, fixed=fixed)
    return found.tree if found else _decorators(name, tree)


def _decorators(name: str, tree: ast.Module) -> ast.Module | None:
    """Of what is defined, the decorators: what they are given may be a part of what they make."""
    named = (one for one in tree.body if isinstance(one, _DEFINED) and one.name == name)
    found = [ast.Expr(decorator) for one in named for decorator in one.decorator_list]
    return ast.fix_missing_locations(ast.Module(list(found), [])) if found else None


def _binding(
    name: str,
    body: Sequence[ast.stmt],
    space: Mapping[str, Any],
    *,
    inner: bool = False,
    fixed: bool = False,
) -> Binding | None:
    """The statements of a body that make ``name``; of a function's body, also those that make what they read."""
    made = _by_name(tuple(body))
    taken = {index for index in made.get(name, ()) if not fixed or name in stored(body[index])}
    if not any(name in stored(body[index]) and not _only_says_the_type(body[index]) for index in taken):
        return None
    waiting = [body[index] for index in taken] if inner else []
    while waiting:
        read = {part.id for part in ast.walk(waiting.pop()) if isinstance(part, ast.Name)}
        places = {place for one in read & _all_stored(tuple(body)) for place in made.get(one, ())}
        waiting += [body[place] for place in places - taken]
        taken |= places
    return Binding(name, ast.Module([body[index] for index in sorted(taken)], []), space)


def _only_says_the_type(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.AnnAssign) and statement.value is None


@functools.lru_cache(maxsize=4096)
def _by_name(body: tuple[ast.stmt, ...]) -> dict[str, list[int]]:
    """The statements that may have a part in making a name, by their places; syntax is known by its identity."""
    found: dict[str, list[int]] = {}
    for index, statement in enumerate(body):
        for name in _made_by(statement):
            found.setdefault(name, []).append(index)
    return found


def _made_by(node: ast.AST) -> set[str]:
    """The names that a statement gives a meaning, or whose values it may change; not those that it only reads."""
    if isinstance(node, _DEFINITIONS):
        return set()
    if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return {name for target in targets for name in _mentioned(target)}
    if isinstance(node, ast.Delete) or (isinstance(node, ast.Call) and not _only_reads(node.func)):
        return _mentioned(node)
    if isinstance(node, ast.Name):
        return {node.id} if isinstance(node.ctx, ast.Store) else set()
    return {name for part in ast.iter_child_nodes(node) for name in _made_by(part)}


def _only_reads(function: ast.expr) -> bool:
    """Whether a call leaves what it is given, and what it is a method of, as it was."""
    if isinstance(function, ast.Attribute):
        return function.attr in _READING_METHODS
    return isinstance(function, ast.Name) and function.id in _READING_FUNCTIONS


def _mentioned(node: ast.AST) -> set[str]:
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}


def stored(node: ast.AST) -> set[str]:
    """The names that statements give a meaning."""
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}


@functools.lru_cache(maxsize=8192)
def _names_of(statement: ast.stmt) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    """The names that a statement reads, those that it gives a meaning, and those that its loops within do."""
    running = [part.target for part in ast.walk(statement) if isinstance(part, _RUNNING)]
    within = frozenset(name for target in running for name in stored(target))
    return frozenset(_loaded(statement)), frozenset(stored(statement)), within


@functools.lru_cache(maxsize=4096)
def _all_stored(body: tuple[ast.stmt, ...]) -> set[str]:
    return {name for statement in body for name in stored(statement)}


def _loaded(node: ast.AST) -> set[str]:
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}


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
        if isinstance(part, _DEFINED):
            yield part


def _tree_of(space: Mapping[str, Any]) -> ast.Module | None:
    source = source_of(space)
    return None if source is None else parsed(source)
