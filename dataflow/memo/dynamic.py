"""What leads to code and content that can't be seen by reading: names made up while running, files, the environment."""

from __future__ import annotations

import dis
import importlib
import importlib.util
import inspect
import os
import pathlib
import pkgutil
import runpy
import sys
import types
from collections.abc import Iterator, Mapping
from typing import Any

from dataflow.memo.code import Reads

__all__ = ["READING", "dynamic_name", "taken_of", "texts_of", "unseen_by_name"]

READING = frozenset({"open", "read_bytes", "read_text"})
"""Methods of a path that lead to a file's content."""

_KNOWN: dict[str, tuple[Any, ...]] = {
    "builtins": (eval, exec, compile, globals, locals, vars, __import__),
    "importlib": (importlib.import_module, importlib.reload, importlib.__import__),
    "importlib.util": (importlib.util.spec_from_file_location, importlib.util.module_from_spec),
    "inspect": (
        inspect.currentframe,
        inspect.getmodule,
        inspect.getsource,
        inspect.getsourcelines,
        inspect.stack,
    ),
    "os": (os.getenv,),
    "pkgutil": (pkgutil.get_data, pkgutil.resolve_name),
    "runpy": (runpy.run_module, runpy.run_path),
    "sys": (sys._getframe,),
}
# Held in this table, they live as long as the process: no other object is given their identity.
_NAMES = {id(one): f"{one.__name__}()" for found in _KNOWN.values() for one in found}
_NAMES |= {id(sys.modules): "sys.modules", id(os.environ): "os.environ"}
# Of these the import takes too long: they are looked for where they are loaded.
_LATER = {
    "importlib.resources": ("files", "open_binary", "open_text", "read_binary", "read_text"),
    "logging.config": ("dictConfig", "fileConfig"),
    "pydoc": ("locate",),
}
_CALLED = (types.FunctionType, types.BuiltinFunctionType)
_NAMESPACES = frozenset({"__globals__", "f_globals", "f_locals"})
_OPENERS = frozenset({"bz2", "codecs", "gzip", "io", "lzma", "os"})
_BETWEEN = frozenset({"PUSH_NULL", "CACHE", "EXTENDED_ARG", "NOP", "PRECALL"})


def dynamic_name(value: object) -> str | None:
    """How a value is called that leads to code unseen; ``None`` for any other."""
    known = _NAMES.get(id(value))
    if known is None and isinstance(value, _CALLED):
        for module, names in _LATER.items():
            name = value.__name__
            if name in names and value is getattr(sys.modules.get(module), name, None):
                return f"{name}()"
    return known


def taken_of(module: types.ModuleType, code: types.CodeType) -> Iterator[object]:
    """What code that has a whole module at hand may take of it that leads to code unseen."""
    if module.__name__ not in _KNOWN and module.__name__ not in _LATER:
        return
    for name in sorted(_words(code)):
        found = getattr(module, name, None)
        if isinstance(found, types.ModuleType) and found is not module:
            yield from taken_of(found, code)
        elif dynamic_name(found) is not None:
            yield found


def unseen_by_name(code: types.CodeType, found: Reads, space: Mapping[str, Any]) -> Iterator[str]:
    """What code uses by name that leads to code or content unseen: another's globals, a file that it opens itself."""
    yield from sorted(_NAMESPACES & found.loose.union(*found.chains))
    if ("__file__",) in found.chains:  # most likely for a file that lies beside it
        yield "__file__"
    for constant, name in _files_opened(code):
        if isinstance(space.get(name) if name else constant, str | pathlib.PurePath):
            yield f"open({name or repr(constant)})"


def _files_opened(code: types.CodeType) -> Iterator[tuple[str, str]]:
    """Paths that code opens to read which are no matter of its arguments: a constant, or a global's name."""
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            yield from _files_opened(inner)
    if "open" not in code.co_names:
        return
    steps = [step for step in dis.get_instructions(code) if step.opname not in _BETWEEN]
    for index in (index for index in range(len(steps) - 2) if _is_open(steps, index)):
        path, mode = steps[index + 1], steps[index + 2]
        if mode.opname == "LOAD_CONST" and isinstance(mode.argval, str) and set(mode.argval) & set("wax+"):
            continue
        if path.opname == "LOAD_CONST" and isinstance(path.argval, str):
            yield path.argval, ""
        elif path.opname == "LOAD_GLOBAL":
            yield "", str(path.argval)


def _is_open(steps: list[dis.Instruction], index: int) -> bool:
    """Whether an instruction loads the function that opens files, and no method of that name."""
    step, before = steps[index], steps[index - 1]
    if step.argval != "open":
        return False
    return step.opname == "LOAD_GLOBAL" or (before.opname == "LOAD_GLOBAL" and before.argval in _OPENERS)


def texts_of(code: types.CodeType) -> tuple[str, ...]:
    """All texts in code, in order, and in the code that is nested in it."""
    inner = [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
    own = [constant for constant in code.co_consts if isinstance(constant, str)]
    return (*own, *(text for one in inner for text in texts_of(one)))


def _words(code: types.CodeType) -> set[str]:
    """All names, and all texts that may be names, in code."""
    words = {*code.co_names, *(constant for constant in code.co_consts if isinstance(constant, str))}
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            words |= _words(constant)
    return words
