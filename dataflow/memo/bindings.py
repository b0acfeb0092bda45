"""The statements of a module that make one of its globals."""

from __future__ import annotations

import ast
import functools
import linecache
import sys
from collections.abc import Mapping
from types import CodeType
from typing import Any

from dataflow.memo.code import Bare

__all__ = ["binding", "home"]

_DEFINITIONS = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom


def binding(name: str, space: Mapping[str, Any]) -> tuple[str, CodeType] | None:
    """The module-level statements that mention a global: their syntax without positions, and their code.

    ``None`` where the module has no source or no such statement; a name that was imported is not made there.
    """
    file = space.get("__file__")
    if not isinstance(file, str):
        return None
    linecache.checkcache(file)
    return _binding(name, "".join(linecache.getlines(file)), file)


def home(name: str, value: object, space: Mapping[str, Any]) -> Mapping[str, Any]:
    """The names of the module that makes a global, which another one may have imported from it."""
    if binding(name, space) is not None:
        return space
    for module in list(sys.modules.values()):
        names = getattr(module, "__dict__", {})
        if names.get(name) is value and binding(name, names) is not None:
            return names
    return space


@functools.lru_cache(maxsize=256)
def _binding(name: str, source: str, file: str) -> tuple[str, CodeType] | None:
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return None
    made = [node for node in tree.body if not isinstance(node, _DEFINITIONS) and _mentions(node, name)]
    if not any(isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store) for m in made for n in ast.walk(m)):
        return None
    module = ast.Module(made, [])
    code = compile(module, file, "exec", dont_inherit=True)
    return ast.dump(Bare().visit(module)), code


def _mentions(node: ast.AST, name: str) -> bool:
    return any(isinstance(part, ast.Name) and part.id == name for part in ast.walk(node))
