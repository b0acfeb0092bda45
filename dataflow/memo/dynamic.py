"""Code that finds other code by a name that it makes up: what that leads to can't be seen by reading."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import pkgutil
import runpy
import sys
import types
from collections.abc import Iterator
from typing import Any

__all__ = ["dynamic_name", "taken_of"]

_KNOWN: dict[str, tuple[Any, ...]] = {
    "builtins": (eval, exec, compile, globals, locals, vars, __import__),
    "importlib": (importlib.import_module, importlib.reload, importlib.__import__),
    "importlib.util": (importlib.util.spec_from_file_location, importlib.util.module_from_spec),
    "inspect": (inspect.currentframe, inspect.stack),
    "pkgutil": (pkgutil.resolve_name,),
    "pydoc": (),  # whose import takes 10 ms: see below
    "runpy": (runpy.run_module, runpy.run_path),
    "sys": (sys._getframe,),
}
# Held in this table, they live as long as the process: no other object is given their identity.
_NAMES = {id(one): f"{one.__name__}()" for found in _KNOWN.values() for one in found}
_NAMES[id(sys.modules)] = "sys.modules"
_NOTHING = object()


def dynamic_name(value: object) -> str | None:
    """How a value is called that leads to code unseen; ``None`` for any other."""
    known = _NAMES.get(id(value))
    if known is None and value is getattr(sys.modules.get("pydoc"), "locate", _NOTHING):
        return "locate()"
    return known


def taken_of(module: types.ModuleType, code: types.CodeType) -> Iterator[object]:
    """What code that has a whole module at hand may take of it that leads to code unseen."""
    if module.__name__ not in _KNOWN:
        return
    for name in sorted(_words(code)):
        found = getattr(module, name, None)
        if isinstance(found, types.ModuleType) and found is not module:
            yield from taken_of(found, code)
        elif dynamic_name(found) is not None:
            yield found


def _words(code: types.CodeType) -> set[str]:
    """All names, and all texts that may be names, in code."""
    words = {*code.co_names, *(constant for constant in code.co_consts if isinstance(constant, str))}
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            words |= _words(constant)
    return words
