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

from dataflow.memo.code import TRANSPARENT, Chain, Reads

__all__ = [
    "dynamic_name",
    "names_a_file",
    "reads_files",
    "taken_of",
    "texts_of",
    "unseen_by_name",
    "written_names",
]

# What leads to a file's content, or a folder's.
_READERS = frozenset(
    [
        "connect", "fromfile", "genfromtxt", "getline", "getlines", "glob", "iterdir", "listdir", "loadtxt", "memmap",
        "open", "read_bytes", "read_csv", "read_excel", "read_feather", "read_fwf", "read_html", "read_json",
        "read_orc", "read_parquet", "read_sas", "read_spss", "read_stata", "read_table", "read_text", "read_xml",
        "rglob", "scandir",
    ]
)  # fmt: skip
_OPENERS = _READERS | {"Path"}
# What may do so, or take the content itself: the name of a file that is there tells.
_PERHAPS = _READERS | frozenset(
    [
        "Document", "ExcelFile", "ParquetFile", "PdfDocument", "PdfReader", "Reader", "XMLSchema", "ZipFile", "cat",
        "dataset", "dotenv_values", "input", "iterparse", "load", "load_workbook", "mbox", "parse", "read", "read_ipc",
        "scan_csv", "scan_parquet", "sql", "truetype",
    ]
)  # fmt: skip
_FEW = 64

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
    "asyncio": ("create_subprocess_exec", "create_subprocess_shell"),
    "subprocess": ("Popen", "call", "check_call", "check_output", "getoutput", "getstatusoutput", "run"),
}
_LOADERS = ("FileSystemLoader", "PackageLoader")
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
    kind = type(value)
    if kind.__name__ in _LOADERS and kind.__module__ == "jinja2.loaders":
        return f"a {kind.__name__}"
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
    if reads_files(code, found):
        yield from sorted(".".join(chain) for chain in found.chains if names_a_file(_led_to(chain, space)))
        yield from sorted({*map(repr, _opened_texts(code)), *written_names(code)})


def reads_files(code: types.CodeType, found: Reads) -> bool:
    """Whether code may read a file, by the names of what it calls."""
    return not _PERHAPS.isdisjoint(found.loose.union(*found.chains)) and not _only_writes(code)


def written_names(code: types.CodeType) -> set[str]:
    """Texts in code that name a file which is there, as they are written."""
    return {repr(text) for text in texts_of(code) if _is_there(text)}


def _opened_texts(code: types.CodeType) -> Iterator[str]:
    """Texts that are the first argument of what opens files: of a function of a module, and of no object's method."""
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            yield from _opened_texts(inner)
    last = ""
    for step in dis.get_instructions(code) if not _OPENERS.isdisjoint(code.co_names) else ():
        if step.opname == "LOAD_GLOBAL" or (last and step.opname in ("LOAD_ATTR", "LOAD_METHOD")):
            last = str(step.argval)
        elif step.opname not in TRANSPARENT:
            if last in _OPENERS and step.opname == "LOAD_CONST" and isinstance(step.argval, str):
                yield step.argval
            last = ""


def _only_writes(code: types.CodeType) -> bool:
    modes = {text for text in texts_of(code) if 0 < len(text) <= 3 and set(text) <= set("rwaxbt+")}
    return bool(modes) and not any(mode[0] == "r" for mode in modes)


def _led_to(chain: Chain, space: Mapping[str, Any]) -> Any:
    """What a name with its attributes leads to, as far as no code runs for it."""
    value = space.get(chain[0])
    for name in chain[1:]:
        held = getattr(value, "__dict__", {})
        if name not in held:
            return value
        value = held[name]
    return value


def names_a_file(value: Any, depth: int = 2) -> bool:
    """Whether a value is a path, or a text that names a file which is there, or holds one of them."""
    kind = type(value)  # and not what the value says that it is
    if issubclass(kind, dict | list | tuple) and len(value) <= _FEW:
        return depth > 0 and any(
            names_a_file(one, depth - 1) for one in (value.values() if isinstance(value, dict) else value)
        )
    return issubclass(kind, pathlib.PurePath) or (issubclass(kind, str) and _is_there(value))


def _is_there(text: str) -> bool:
    """Whether a text is the name of a file, or of a folder that isn't at the top of all."""
    if not 2 < len(text) < 256 or any(one in text for one in "\n\0 "):
        return False
    return ("." in text or "/" in text) and os.path.exists(text) and text.strip("./") != ""


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
