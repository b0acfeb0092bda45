"""What leads to code and content that can't be seen by reading: names made up while running, files, the environment."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import pkgutil
import runpy
import sys
import types
from collections.abc import Iterator, Mapping
from typing import Any

from dataflow.memo.code import Reads
from dataflow.memo.filenames import led_to

__all__ = ["dynamic_name", "taken_of", "unseen_by_name"]

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
    "os": (os.getenv, os.popen, os.system),
    "os.path": (os.path.expandvars, os.path.expanduser),
    "pkgutil": (pkgutil.get_data, pkgutil.resolve_name),
    "runpy": (runpy.run_module, runpy.run_path),
    "sys": (sys._getframe,),
}
# Held in this table, they live as long as the process: no other object is given their identity.
_NAMES = {id(one): f"{one.__name__}()" for found in _KNOWN.values() for one in found}
_NAMES |= {id(sys.modules): "sys.modules", id(os.environ): "os.environ", id(sys.argv): "sys.argv"}
# Of these the import takes too long: they are looked for where they are loaded.
_LATER = {
    "importlib.resources": ("files", "open_binary", "open_text", "read_binary", "read_text"),
    "logging.config": ("dictConfig", "fileConfig"),
    "dotenv": ("dotenv_values", "load_dotenv"),
    "pydoc": ("locate",),
    "asyncio": ("create_subprocess_exec", "create_subprocess_shell"),
    "subprocess": ("Popen", "call", "check_call", "check_output", "getoutput", "getstatusoutput", "run"),
}
_LOADERS = ("FileSystemLoader", "PackageLoader", "ModuleLoader")
_CALLED = (types.FunctionType, types.BuiltinFunctionType)
_NAMESPACES = frozenset({"__globals__", "co_filename", "co_firstlineno", "f_globals", "f_locals"})


def dynamic_name(value: object) -> str | None:
    """How a value is called that leads to code unseen; ``None`` for any other."""
    known = _NAMES.get(id(value))
    if known is None and isinstance(value, _CALLED):
        for module, names in _LATER.items():
            name = value.__name__
            if name in names and value is getattr(sys.modules.get(module), name, None):
                return f"{name}()"
    return known or _loader_of_templates(value)


def _loader_of_templates(value: object) -> str | None:
    """Jinja's loaders of files: an object of one, or what makes one, derived classes included."""
    loaders = sys.modules.get("jinja2.loaders")
    kind = value if isinstance(value, type) else type(value)
    for name in _LOADERS if loaders is not None and not isinstance(kind, types.GenericAlias) else ():
        if issubclass(kind, getattr(loaders, name)):
            return f"a {kind.__name__}"
    return None


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
    """What code uses by name that leads to code or content unseen: another's globals, its own file, the environment."""
    yield from sorted(_NAMESPACES & found.loose.union(*found.chains))
    if ("__file__",) in found.chains:  # most likely for a file that lies beside it
        yield "__file__"
    yield from sorted(".".join(chain) for chain in found.chains if _takes_settings(led_to(chain, space)))


def _takes_settings(value: object) -> bool:
    """Whether a value is a class whose objects are made of the environment: pydantic's ``BaseSettings``."""
    bases = value.__mro__ if isinstance(value, type) else ()
    return any(
        (one.__module__.partition(".")[0], one.__name__) == ("pydantic_settings", "BaseSettings")
        for one in bases
    )


def _words(code: types.CodeType) -> set[str]:
    """All names, and all texts that may be names, in code."""
    words = {*code.co_names, *(constant for constant in code.co_consts if isinstance(constant, str))}
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            words |= _words(constant)
    return words
