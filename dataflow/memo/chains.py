"""How the walk describes what code reads by name: a global, and the attributes that are taken of it at once."""

from __future__ import annotations

import ast
import builtins
import functools
import sys
import types
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dataflow.memo.bindings import global_binding
from dataflow.memo.code import Chain, reads
from dataflow.memo.keys import encode, tagged
from dataflow.memo.origin import class_owner, installed_as, module_of

if TYPE_CHECKING:
    from dataflow.memo.walk import Walk

__all__ = ["chain_parts", "derived_classes", "meaning"]

_PLAIN = (str, bytes, int, float, list, dict, set, tuple)
# A checkout may lie anywhere, and a script may be imported. What lies beside a file is warned of.
_ELSEWHERE = (("__file__",), ("__name__",))


def chain_parts(walk: Walk, chain: Chain, space: Mapping[str, Any], code: types.CodeType) -> bytes:
    """What a name with the attributes that are taken of it leads to, in the namespace where it is looked up."""
    name = chain[0]
    if walk.ignores(name):
        return tagged(b"ignored", encode(name))
    if chain in _ELSEWHERE:
        return encode(name)
    if name not in space:
        return _builtin(walk, name)
    value, taken, planted = space[name], 1, b""
    while isinstance(value, types.ModuleType) and taken < len(chain) and hasattr(value, chain[taken]):
        if installed_as(value.__name__) is not None:
            walk.notices.unseen_in(value, chain[taken:], code)
            planted = _planted(walk, value, chain[taken:])
            break
        space, value = vars(value), getattr(value, chain[taken])
        taken += 1
    else:
        walk.notices.unseen_in(value, (), code)
    last, inside = chain[taken - 1], space
    described = walk.named(".".join(chain[:taken]), value, lambda _: global_binding(last, value, inside))
    return encode(taken) + described + planted + _asked_of(walk, value, chain[taken:])


def meaning(walk: Walk, text: str, space: Mapping[str, Any]) -> bytes:
    """An annotation that is text: what the names in it mean, and in the texts in it."""
    code = _annotation(text)
    if code is None:
        return encode(text)
    told = [chain_parts(walk, one, space, code) for one in sorted(reads(code).chains)]
    told += [meaning(walk, one, space) for one in _texts_in(text) if one != text]
    return encode(text) + b"".join(told)


@functools.lru_cache(maxsize=4096)
def _texts_in(text: str) -> tuple[str, ...]:
    """The texts in an annotation that stand for types, as those in a literal and what is annotated besides don't."""
    waiting: list[ast.AST] = [ast.parse(text, mode="eval").body]
    found = []
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Subscript):
            name = getattr(node.value, "attr", getattr(node.value, "id", None))
            if name == "Annotated" and isinstance(node.slice, ast.Tuple):
                waiting.append(node.slice.elts[0])
            elif name != "Literal":
                waiting.append(node.slice)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.append(node.value)
        else:
            waiting += ast.iter_child_nodes(node)
    return tuple(found)


def _builtin(walk: Walk, name: str) -> bytes:
    found = getattr(builtins, name, None)
    walk.notices.unseen_by(found)
    added = b"" if _comes_with_python(found) else walk.value(found)
    return tagged(b"builtin" if found is not None else b"absent", encode(name) + added)


def _comes_with_python(value: object) -> bool:
    """Whether a name of ``builtins`` stands for what it always does, and nobody has put it there."""
    module = getattr(value, "__module__", None) or type(value).__module__
    return module in ("builtins", "io", "_io", "_sitebuiltins") and not isinstance(value, _PLAIN)


def _asked_of(walk: Walk, value: object, names: Sequence[str]) -> bytes:
    """What is no part of a value, but asked for by name."""
    described = b""
    if "__subclasses__" in names and isinstance(value, type):
        described += derived_classes(walk, value)
    if "__doc__" in names:  # a prompt, perhaps
        described += encode(str(getattr(value, "__doc__", None)))
        if names[0] != "__doc__":
            walk.asked.add("docs")
    return described


def _planted(walk: Walk, value: Any, names: Sequence[str]) -> bytes:
    """What first-party code has put into an installed module, or a class of it, by a name that is read."""
    for name in names:
        value = getattr(value, name, None)
        home = value.__globals__ if isinstance(value, types.FunctionType) else {}
        if isinstance(value, type):
            home = getattr(sys.modules.get(module_of(value)), "__dict__", {})
        if str(home.get("__file__")).endswith(".py") and installed_as(str(home["__name__"])) is None:
            return tagged(b"planted", walk.value(value))
    return b""


def derived_classes(walk: Walk, kind: type) -> bytes:
    """The classes that are derived of one, as a registry of plugins has them, in the order of their definitions."""
    derived: list[type] = type.__subclasses__(kind)
    first_party = [one for one in derived if class_owner(one) is None]
    return tagged(b"derived", b"".join(walk.value(one) + derived_classes(walk, one) for one in first_party))


@functools.lru_cache(maxsize=4096)
def _annotation(text: str) -> types.CodeType | None:
    try:
        return compile(text, "<annotation>", "eval", dont_inherit=True)
    except (SyntaxError, ValueError):
        return None
