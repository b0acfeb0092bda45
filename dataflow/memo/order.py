"""Values whose order may follow a set's, which varies with the hash seed: told by how they are made.

Nothing is assumed of a value. Where the statements that make it are closed (literals, other plain data, and functions
that do nothing but build), they are run again; if that gives the very same value, the statements and what they
read say all there is to say of it, in every process. Else the value is told by its content, order included.
"""

from __future__ import annotations

import ast
import builtins
import collections
import dis
import functools
import operator
import re
import sys
import types
import weakref
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any

from dataflow.memo.bindings import Binding, global_binding
from dataflow.memo.code import last_name
from dataflow.memo.keys import LEAVES, of_leaves
from dataflow.memo.origin import class_owner, installed_as

__all__ = [
    "FEW",
    "arranged",
    "follows_a_set",
    "has_order",
    "in_order_of_a_set",
    "is_plain",
    "lists_a_set",
    "made_again",
    "may_have_order",
    "seems_ordered",
]

_COLLECTIONS = (collections.Counter, collections.OrderedDict, collections.defaultdict, collections.deque)
_ORDERED = frozenset({str, bytes, list, tuple, dict, re.Pattern, *_COLLECTIONS})

_TABLES = frozenset({"ndarray", "DataFrame", "Series", "Index", "Table"})
_WITHOUT = (
    type(None), bool, int, float, complex, set, frozenset, type, types.ModuleType, types.FunctionType,
    types.BuiltinFunctionType,
)  # fmt: skip
_COMPREHENDED = ast.ListComp | ast.DictComp
_ROWS = frozenset({"list", "tuple", "join", "fromkeys", "enumerate"})
_ORDERLESS = frozenset({"sorted", "len", "min", "max"})

_BUILD = """
all any bool bytes chr dict enumerate filter float frozenset int len list map max min ord range repr reversed
set sorted str sum tuple zip
"""
_BUILDERS = frozenset(_BUILD.split())
_ASK = """
casefold copy count difference encode endswith format fromkeys get index intersection issubset issuperset items
join keys lower lstrip replace rstrip split startswith strip symmetric_difference title union upper values zfill
"""
_METHODS = frozenset(_ASK.split())
_CHANGES = frozenset(["add", "append", "extend", "setdefault", "update"])
_FRESH = frozenset({"dict", "list", "set"})
_SYNTAX = (
    ast.Assign, ast.AnnAssign, ast.For, ast.Expr, ast.expr, ast.expr_context, ast.operator, ast.unaryop,
    ast.boolop, ast.cmpop, ast.comprehension, ast.keyword, ast.Module,
)  # fmt: skip
_NEVER = (ast.Lambda, ast.Await, ast.Yield, ast.YieldFrom, ast.NamedExpr)
_SETS = (set, frozenset)
FEW = 20  # texts: of fewer, many orders look as that of a set
_MOST_TIMES = 5


def has_order(value: object) -> bool:
    """Whether an order can be in a value."""
    kind = type(value)
    return kind in _ORDERED or (kind.__name__ in _TABLES and class_owner(kind) is not None)


def may_have_order(value: object) -> bool:
    """Whether an order can be in a value, or in what an object that it is may hold."""
    return has_order(value) or not isinstance(value, _WITHOUT)


def in_order_of_a_set(value: Any, least: int) -> bool:
    """Whether texts, so many at least, stand in an order that a set of them may have in this process.

    A set's table is in the order of their hashes' last bits, but for those whose place was taken: of a few texts,
    those that share one, and one more; of many, a quarter. Of twenty texts in a random order none in 60,000 tries
    looked so; of a few, a good part does.
    """
    if type(value) not in (list, tuple, dict) or len(value) < least:
        return False
    order = list(value)
    if not {str, bytes}.issuperset(map(type, order)) or len(set(order)) < len(order):
        return False
    size = 8
    while size * 3 <= len(order) * 5:
        size *= 2
    places = [[hash(one) & (size * more - 1) for one in order] for more in (1, 2, 4, 8)]
    return any(_descents(each) <= _taken(each) for each in places) or list(set(order)) == order


def is_plain(value: Any) -> bool:
    """Whether a value is of plain data alone."""
    return all(_is_plain(one) for one in _all_below(value))


def seems_ordered(value: Any, made: Sequence[Binding]) -> bool:
    """Whether a value, or a part of it, is in the order of a set, as the statements that make it let one think, and
    isn't written out there.
    """
    parts = (one for one in _all_below(value) if in_order_of_a_set(one, 2))
    return any(not any(_is_written(part, one) for one in made) for part in parts)


def arranged(value: Any, made: Sequence[Binding]) -> tuple[str, list[Any]] | None:
    """The members of a set that the statements read, and the text that is around each of them, where a value holds
    just these, in whatever order; ``None`` where it holds others.

    Such a value is a list, a text or a pattern: ``sorted(words, key=len)``, ``re.compile("|".join(words))``.
    """
    text = value.pattern if isinstance(value, re.Pattern) else value
    for one in (found for binding in made for found in _sets_read(binding)):
        if type(text) in (list, tuple):
            if len(text) == len(one) and of_leaves(text) and set(text) == one:
                return "", _sorted(one)
        elif isinstance(text, str) and len(text) >= len(one) and all(type(m) is str and m for m in one):
            shown = {member: member if member in text else re.escape(member) for member in one}
            if all(piece in text for piece in shown.values()):
                longest = sorted(map(re.escape, shown.values()), key=lambda piece: (-len(piece), piece))
                return re.sub("|".join(longest), "\0", text), _sorted(one)
    return None


def _sets_read(binding: Binding) -> list[Set[Any]]:
    """The sets of several leaves that statements name, or that a name of theirs holds: once for many values."""
    known = _read.get(binding)
    if known is None:
        known = _read[binding] = list(_sets_in_reach(binding))
    return known


_read: weakref.WeakKeyDictionary[Binding, list[Set[Any]]] = weakref.WeakKeyDictionary()


def _sets_in_reach(binding: Binding) -> Iterator[Set[Any]]:
    for node in ast.walk(binding.tree):
        if isinstance(node, ast.Set) and all(isinstance(element, ast.Constant) for element in node.elts):
            yield ast.literal_eval(node)
        elif isinstance(node, ast.Name | ast.Attribute):
            for one in _all_below(_resolved(node, binding.space)):
                if isinstance(one, _SETS) and len(one) > 1 and of_leaves(list(one)):
                    yield one


def _sorted(members: Set[Any]) -> list[Any]:
    try:
        return sorted(members)
    except TypeError:
        return sorted(members, key=lambda one: (type(one).__name__, repr(one)))


def _is_written(value: Any, binding: Binding) -> bool:
    rows = [node for node in ast.walk(binding.tree) if isinstance(node, ast.List | ast.Tuple | ast.Dict)]
    written = [row.keys if isinstance(row, ast.Dict) else row.elts for row in rows]
    return list(value) in [[getattr(one, "value", None) for one in row] for row in written]


def _descents(places: list[int]) -> int:
    return sum(map(operator.gt, places, places[1:]))


def _taken(places: list[int]) -> int:
    """How many may have found their place taken, perhaps by one that had found its own taken."""
    if len(places) >= FEW:
        return (len(places) - 8) // 4
    shared = len(places) - len(set(places))
    return shared + 1 if shared else 0


def lists_a_set(binding: Binding) -> bool:
    """Whether the statements put what a set holds in a row, to be handed on."""
    calls = [node for node in ast.walk(binding.tree) if isinstance(node, ast.Call) and node.args]
    rows = [call.args[0] for call in calls if last_name(call.func) in _ROWS]
    comprehended = [one for call in calls for one in call.args if isinstance(one, _COMPREHENDED)]
    rows += [part.iter for one in comprehended for part in one.generators]
    trees = [Binding(binding.name, ast.Module([ast.Expr(row)], []), binding.space) for row in rows]
    return any(follows_a_set(one) for one in trees)


def made_again(binding: Binding) -> Iterator[Any]:
    """Values that the statements make when they are run again; none where they aren't closed.

    More than one: members of a set that collide are ordered by how they came, and those of a set that is written
    out come in their order in the source or in a module's cached file, and are put in once or more often.
    """
    space = _closed(binding)
    if space is None:
        return
    sets = _WrittenSets()
    tree = ast.fix_missing_locations(sets.visit(ast.parse(ast.unparse(binding.tree))))
    code = compile(tree, "<binding>", "exec", dont_inherit=True)
    for written in _ways(sets.members, binding.space):
        names = {**space, _WRITTEN: written}
        try:
            exec(code, names)
        except Exception:  # it worked when it was imported, so what it reads has changed
            return
        if binding.name in names:
            yield names[binding.name]


_WRITTEN = "written sets"


class _WrittenSets(ast.NodeTransformer):
    """Takes sets of constants out, so that they can be built in several ways."""

    def __init__(self) -> None:
        self.members: list[list[Any]] = []

    def visit_Set(self, node: ast.Set) -> ast.AST:
        if not all(isinstance(element, ast.Constant) for element in node.elts):
            return self.generic_visit(node)
        self.members.append([ast.literal_eval(element) for element in node.elts])
        place = ast.Constant(len(self.members) - 1)
        kept = ast.Subscript(ast.Name(_WRITTEN, ast.Load()), place, ast.Load())
        return ast.Set([ast.Starred(kept, ast.Load())])


def _ways(sets: list[list[Any]], space: Mapping[str, Any]) -> Iterator[list[Any]]:
    """The sets that were written out, built in all the ways in which Python may have built them."""
    if not sets:
        yield []
        return
    kept = _cached_sets(str(space.get("__name__")), str(space.get("__file__")))
    yield [next((one for one in kept if one == frozenset(members)), members) for members in sets]
    made: list[Any] = sets
    for _ in range(_MOST_TIMES):
        yield made
        made = [frozenset(list(members)) for members in made]


@functools.lru_cache(maxsize=1024)
def _cached_sets(module: str, file: str) -> list[frozenset[Any]]:
    """The sets in a module's code as its cached file has them."""
    spec = getattr(sys.modules.get(module), "__spec__", None)
    read = getattr(getattr(spec, "loader", None), "get_code", None)
    try:
        return list(_sets_in(read(module))) if read is not None else []
    except (ImportError, OSError, SyntaxError, ValueError):
        return []


def _sets_in(constant: Any) -> Iterator[frozenset[Any]]:
    if isinstance(constant, frozenset):
        yield constant
    for inner in getattr(constant, "co_consts", ()):
        yield from _sets_in(inner)


_TELLING = (ast.Name, ast.Attribute, ast.BinOp, ast.Set, ast.SetComp)


def follows_a_set(binding: Binding, seen: set[tuple[int, str]] | None = None) -> bool:
    """Whether a set has a part in how a value was made, as far as can be seen.

    Args:
        binding: how it was made.
        seen: the names, with their modules' spaces, that have been followed: each is once, whatever leads to it.
    """
    if seen is None:
        known = _followed.get(binding)
        if known is None:
            known = _followed[binding] = follows_a_set(binding, set())
        return known
    seen.add((id(binding.space), binding.name))
    return any(_is_of_a_set(node, binding, seen) for node in _telling(binding.tree))


_followed: weakref.WeakKeyDictionary[Binding, bool] = weakref.WeakKeyDictionary()


@functools.lru_cache(maxsize=8192)
def _telling(tree: ast.Module) -> tuple[ast.AST, ...]:
    """The nodes that can say that a set has a part in it. Statements of a module are the same object each time."""
    found: list[ast.AST] = []
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, _TELLING):
            found.append(node)
        waiting += () if _loses_order(node) else _others(node)
    return tuple(found)


def _others(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes in a node; not the ``set`` of ``defaultdict(set)``, of which none is made there."""
    factory = None
    if isinstance(node, ast.Call) and node.args:
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        factory = node.args[0] if called == "defaultdict" and isinstance(node.args[0], ast.Name) else None
    return (one for one in ast.iter_child_nodes(node) if one is not factory)


def _loses_order(node: ast.AST) -> bool:
    """Whether a call or a comparison gives the same in whatever order it gets what it is given."""
    if isinstance(node, ast.Compare):
        return True
    plain = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords
    return plain and node.func.id in _ORDERLESS  # type: ignore[attr-defined]


def _is_of_a_set(node: ast.AST, binding: Binding, seen: set[tuple[int, str]]) -> bool:
    if isinstance(node, ast.Name):
        read = isinstance(node.ctx, ast.Load) and (id(binding.space), node.id) not in seen
        return read and _leads_to_a_set(node.id, binding.space, seen)
    if isinstance(node, ast.Attribute):
        return _holds_a_set(_resolved(node, binding.space))
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitAnd | ast.BitOr | ast.BitXor | ast.Sub):
        # Views of dicts give sets too.
        return any(isinstance(n, ast.Attribute) and n.attr in ("keys", "items") for n in ast.walk(node))
    return isinstance(node, ast.Set | ast.SetComp)


def _leads_to_a_set(name: str, space: Mapping[str, Any], seen: set[tuple[int, str]]) -> bool:
    seen.add((id(space), name))
    if name not in space:
        return name in ("set", "frozenset")
    value = space[name]
    if isinstance(value, types.FunctionType):
        return _builds_a_set(value)
    if _holds_a_set(value):
        return True
    made = global_binding(name, value, space) if has_order(value) else None
    return made is not None and follows_a_set(made, seen)


def _builds_a_set(function: types.FunctionType) -> bool:
    code, space = function.__code__, function.__globals__
    if "sorted" in code.co_names or installed_as(str(space.get("__name__") or "")) is not None:
        return False
    return _code_builds_a_set(code) or any(_holds_a_set(space.get(name)) for name in code.co_names)


@functools.lru_cache(maxsize=4096)
def _code_builds_a_set(code: types.CodeType) -> bool:
    return bool({"set", "frozenset"}.intersection(code.co_names)) or any(
        step.opname == "BUILD_SET" for step in dis.get_instructions(code)
    )


def _holds_a_set(value: Any) -> bool:
    return any(isinstance(one, _SETS) for one in _all_below(value))


def _all_below(value: Any) -> Iterator[Any]:
    """A value and what it holds, each once, in whatever ways it is held."""
    waiting, seen = [value], set[int]()
    while waiting:
        one = waiting.pop()
        yield one
        if type(one) in (list, tuple, dict) and not of_leaves(one) and id(one) not in seen:
            seen.add(id(one))
            waiting += _members(one)


def _members(value: Any) -> Iterator[Any]:
    yield from value
    if type(value) is dict:
        yield from value.values()


def _is_plain(value: Any) -> bool:
    if isinstance(value, _SETS):
        return all(map(is_plain, value))
    return (
        type(value) in LEAVES
        or type(value) in (re.Pattern, re.RegexFlag, list, tuple, dict)
        or of_leaves(value)
    )


def _closed(binding: Binding) -> dict[str, Any] | None:
    """The names that the statements need, if running them again can do nothing but make a value."""
    nodes = list(ast.walk(binding.tree))
    bound = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    owners = {id(node.value) for node in nodes if isinstance(node, ast.Attribute)}
    space: dict[str, Any] = {"__builtins__": {}}
    for node in nodes:
        if not isinstance(node, _SYNTAX) or isinstance(node, _NEVER):
            return None
        if isinstance(node, ast.Call) and not _may_call(node.func, binding.space, bound):
            return None
        if isinstance(node, ast.Attribute) and not _may_take(node, binding.space):
            return None
        if (
            isinstance(node, ast.Name)
            and node.id not in bound
            and not _may_read(node.id, binding.space, space)
        ):
            return None
        # A module itself isn't data: only what is taken of it.
        named = isinstance(node, ast.Name | ast.Attribute) and id(node) not in owners
        if named and isinstance(_resolved(node, binding.space), types.ModuleType):
            return None
    return space if _stores_in_its_own(binding, nodes) else None


def _stores_in_its_own(binding: Binding, nodes: list[ast.AST]) -> bool:
    """Whether nothing but the value itself is changed in place, and that only if it is new."""
    name, changes = binding.name, [one for one in binding.tree.body if not _assigns(one)]
    targets = [t for node in nodes if isinstance(node, ast.Assign) for t in node.targets]
    own = {id(t) for t in targets if isinstance(t, ast.Subscript) and _is_name(t.value, name)}
    for node in nodes:
        stored = isinstance(node, ast.Subscript | ast.Attribute) and not isinstance(node.ctx, ast.Load)
        if stored and id(node) not in own:
            return False
    return not changes or (_begins_fresh(binding) and all(_changes(one, name) for one in changes))


def _may_read(name: str, outer: Mapping[str, Any], space: dict[str, Any]) -> bool:
    if name in outer:
        space[name] = outer[name]
        plain = is_plain(outer[name]) or _collects(outer[name])
        return plain or isinstance(outer[name], types.ModuleType)
    if name in _BUILDERS:
        space["__builtins__"][name] = getattr(builtins, name)
    return name in _BUILDERS


def _collects(value: object) -> bool:
    return isinstance(value, type) and value in _COLLECTIONS


def _may_call(function: ast.expr, space: Mapping[str, Any], bound: set[str]) -> bool:
    if isinstance(function, ast.Name):
        known = _collects(space[function.id]) if function.id in space else function.id in _BUILDERS
        return known and function.id not in bound
    return isinstance(function, ast.Attribute)


def _may_take(node: ast.Attribute, space: Mapping[str, Any]) -> bool:
    """Attributes: a module's plain data, ``re.compile``, and methods of plain data."""
    if isinstance(_resolved(node.value, space), types.ModuleType):
        found = _resolved(node, space)
        builds = found is re.compile or _collects(found)
        return builds or isinstance(found, types.ModuleType) or is_plain(found)
    return node.attr in _METHODS or node.attr in _CHANGES


def _resolved(node: ast.AST, space: Mapping[str, Any]) -> Any:
    if isinstance(node, ast.Name):
        return space.get(node.id)
    if not isinstance(node, ast.Attribute):
        return None
    owner = _resolved(node.value, space)
    return getattr(owner, node.attr, None) if isinstance(owner, types.ModuleType) else None


def _assigns(statement: ast.stmt) -> bool:
    plain = all(isinstance(target, ast.Name | ast.Tuple) for target in _targets(statement))
    return isinstance(statement, ast.Assign | ast.AnnAssign) and plain and not _calls_a_change(statement)


def _targets(statement: ast.stmt) -> list[ast.expr]:
    if isinstance(statement, ast.Assign):
        return statement.targets
    return [statement.target] if isinstance(statement, ast.AnnAssign) else []


def _begins_fresh(binding: Binding) -> bool:
    names = [(one, target) for one in binding.tree.body if _assigns(one) for target in _targets(one)]
    made = [one for one, target in names if any(_is_name(part, binding.name) for part in ast.walk(target))]
    value = getattr(made[0], "value", None) if len(made) == 1 else None
    if isinstance(value, ast.Call):
        return isinstance(value.func, ast.Name) and value.func.id in _FRESH
    return isinstance(value, ast.Dict | ast.List | ast.Set | ast.DictComp | ast.ListComp | ast.SetComp)


def _changes(statement: ast.stmt, name: str) -> bool:
    """Whether a statement does nothing but put something into the value of ``name`` itself."""
    if isinstance(statement, ast.For):
        return (
            not statement.orelse
            and not _calls_a_change(statement.iter)
            and all(_changes(inner, name) for inner in statement.body)
        )
    if isinstance(statement, ast.Expr):
        call = statement.value
        own = (
            isinstance(call, ast.Call)
            and isinstance(call.func, ast.Attribute)
            and _is_name(call.func.value, name)
        )
        return own and sum(_is_change(node) for node in ast.walk(statement)) == 1
    targets = _targets(statement)
    own = all(isinstance(target, ast.Subscript) and _is_name(target.value, name) for target in targets)
    return bool(targets) and own and not _calls_a_change(statement)


def _calls_a_change(node: ast.AST) -> bool:
    return any(_is_change(part) for part in ast.walk(node))


def _is_change(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and node.attr in _CHANGES


def _is_name(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name
