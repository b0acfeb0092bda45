"""Imports inside a function: what they bind, and what of that the function takes."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dataflow.memo.chains import chain_parts
from dataflow.memo.code import Chain, Import, once, reads, survives_imports
from dataflow.memo.keys import encode, tagged
from dataflow.memo.origin import installed_as, installed_unloaded

if TYPE_CHECKING:
    from dataflow.memo.walk import Walk

__all__ = ["import_parts"]

_FAILURES = {"ImportError", "ModuleNotFoundError"}


def import_parts(walk: Walk, statement: Import, space: Mapping[str, Any], code: types.CodeType) -> bytes:
    """An import inside a function: it binds what the module holds, so that is walked."""
    name = "." * statement.level + statement.module
    package = str(space.get("__package__") or "")
    try:
        full = importlib.util.resolve_name(name, package) if statement.level else statement.module
        # Whether an installed package can be imported here is a matter of the machine too.
        owner = None if _lives_without(code) else installed_unloaded(full)
        if owner is not None:
            walk.uses(full)
            return _installed_import(walk, owner, full)
        module = importlib.import_module(full)
        taken = {n: _attribute(module, n) for n in statement.names}
    except KeyboardInterrupt:
        raise
    except BaseException:  # the function may live with its absence, whatever it comes from
        return encode(("absent", name))
    for one in statement.names or ((),):
        walk.notices.unseen_in(module, (one,) if one else (), code)
    owner = installed_as(full)
    if owner is not None:
        walk.uses(full)
    if owner == "python":
        return encode(("import", full, statement.names))
    if owner is not None:
        return _installed_import(walk, owner, full)
    if taken:
        binds = dict(zip(statement.names, statement.binds, strict=False))
        return b"".join(_taken(walk, n, one, binds.get(n, ""), code) for n, one in taken.items())
    if walk.ignores(full):
        return tagged(b"ignored", encode(full))
    return _bound_import(walk, statement, full, module, code)


def _taken(walk: Walk, name: str, value: object, bound: str, code: types.CodeType) -> bytes:
    """What ``from package import name`` binds; of a first-party module, what is taken of it by the bound name."""
    own = isinstance(value, types.ModuleType) and installed_as(value.__name__) is None
    seen = _seen(code, bound) if own and bound else set()
    if not seen or walk.ignores(getattr(value, "__name__", "")):
        return walk.named(name, value)
    return b"".join(chain_parts(walk, chain, {bound: value}, code) for chain in sorted(seen))


def _seen(code: types.CodeType, bound: str) -> set[Chain]:
    """What is taken of what an import binds."""
    return {_before_dunder(chain) for chain in reads(code).local if chain[0] == bound}


def _bound_import(
    walk: Walk, statement: Import, full: str, module: types.ModuleType, code: types.CodeType
) -> bytes:
    """``import package.module`` binds the package, and runs the module: what is taken of them by the bound name.

    The whole of the module, where nothing is taken of it: it is imported for what that does, or read where it can't
    be seen. An installed package may hold what is first-party.
    """
    parts = tuple(full.split("."))
    bound = (
        _found_below(sys.modules[parts[0]], parts[1:], module) if statement.alias else sys.modules[parts[0]]
    )
    seen = _seen(code, statement.bound)
    whole = isinstance(bound, types.ModuleType) and installed_as(bound.__name__) is not None
    if not seen or whole:
        outer = b"" if bound is module else walk.named(parts[0], sys.modules[parts[0]])
        return walk.named(full, module) + outer
    space = {statement.bound: bound}
    described = b"".join(chain_parts(walk, chain, space, code) for chain in sorted(seen))
    reached = statement.alias or bound is module or any(chain[: len(parts)] == parts for chain in seen)
    return described + (b"" if reached else walk.named(full, module))


def _installed_import(walk: Walk, owner: str, name: str) -> bytes:
    if walk.ignores(name):
        return tagged(b"ignored", encode(name))
    return tagged(b"installed import", encode((owner, name)))


def _lives_without(code: types.CodeType) -> bool:
    """Whether code, or code in it, may do something else where an import fails."""
    return once(code, "lives without", _may_live_without)


def _may_live_without(code: types.CodeType) -> bool:
    inner = [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
    expects = not _FAILURES.isdisjoint(code.co_names) or survives_imports(code)
    return expects or any(map(_lives_without, inner))


def _found_below(package: Any, names: Sequence[str], module: types.ModuleType) -> Any:
    """What ``import package.module as name`` binds: an attribute, which need not be the module that was imported."""
    for name in names:
        package = getattr(package, name, module)
    return package


def _before_dunder(chain: Chain) -> Chain:
    """A chain as far as it says what is meant: ``__dict__`` may be anything, and ``__file__`` is another elsewhere."""
    ends = [
        place for place, name in enumerate(chain) if place and name.startswith("__") and name.endswith("__")
    ]
    return chain[: ends[0]] if ends else chain


def _attribute(module: types.ModuleType, name: str) -> object:
    """What ``from module import name`` binds: an attribute, or else a module inside of it."""
    try:
        return getattr(module, name)
    except AttributeError:
        try:
            return importlib.import_module(f"{module.__name__}.{name}")
        except ImportError:
            return module
