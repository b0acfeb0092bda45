"""Names of files in code and data, and code that reads what they name: its content is no part of a key."""

from __future__ import annotations

import ast
import dis
import os
import pathlib
import types
from collections.abc import Iterator, Mapping
from typing import Any

from dataflow.memo.code import TRANSPARENT, Chain, Reads, last_name, node_of, once

__all__ = ["files_named", "led_to", "names_a_file", "reads_files", "texts_of", "written_names"]

# What leads to a file's content, or a folder's.
_READERS = frozenset(
    [
        "FileInput", "FileIO", "OSFile", "connect", "fromfile", "genfromtxt", "getline", "getlines", "glob", "iglob",
        "iterdir", "listdir", "loadtxt", "memmap", "memory_map", "open", "rglob", "scandir",
    ]
)  # fmt: skip
_READING = ("read_", "scan_")  # of whatever: how libraries of tables name their readers, and paths theirs
_OPENERS = _READERS | {"Path"}
# What may do so, or take the content itself: the name of a file that is there tells.
_PERHAPS = _READERS | frozenset(
    [
        "Document", "ExcelFile", "ParquetFile", "PdfDocument", "PdfReader", "Reader", "XMLSchema", "ZipFile", "cat",
        "dataset", "exists", "from_file", "from_path", "getmtime", "getsize", "input", "isfile", "is_file", "iterparse",
        "load", "load_workbook", "mbox", "parse", "read", "sql", "stat", "truetype", "walk",
    ]
)  # fmt: skip
# What makes a path of its first argument.
_JOINERS = _OPENERS | {"PurePath", "PosixPath", "WindowsPath", "join", "joinpath"}
_NAMED = frozenset({types.FunctionType, types.BuiltinFunctionType, types.MethodType, type})
_FEW = 64


def reads_files(code: types.CodeType, found: Reads, space: Mapping[str, Any]) -> bool:
    """Whether code may read a file, by the names of what it calls, or the texts by which it calls it."""
    readers = {name for name in found.loose.union(*found.chains) if name in _PERHAPS or _reads(name)}
    readers |= set(filter(_reads, texts_of(code)))
    called = (led_to(chain, space) for chain in found.chains)
    names = {one.__name__ for one in called if type(one) in _NAMED}
    readers |= {name for name in names if name in _READERS or _reads(name)}
    return bool(readers) and not (readers == {"open"} and _only_writes(code))


def _reads(name: str) -> bool:
    return name.startswith(_READING) and name.isidentifier()


def written_names(code: types.CodeType) -> set[str]:
    """Texts in code that name a file, or a folder, which is there, as they are written."""
    built = {one.value for one in _built_of(code) if isinstance(one, ast.Constant)}
    named = {text for text in texts_of(code) if _is_there(text)}
    return {
        repr(text) for text in named | {one for one in built if isinstance(one, str) and _lies_there(one)}
    }


def files_named(code: types.CodeType, found: Reads, space: Mapping[str, Any]) -> list[str]:
    """What code that reads files names them by: names that lead to one or to a folder, and texts that it opens."""
    names = {".".join(chain) for chain in found.chains if names_a_file(led_to(chain, space))}
    built = {one.id for one in _built_of(code) if isinstance(one, ast.Name)}
    names |= {name for name in built if isinstance(held := space.get(name), str) and _lies_there(held)}
    return [*sorted(names), *sorted(set(map(repr, _opened_texts(code))))]


def _opened_texts(code: types.CodeType) -> Iterator[str]:
    """Texts that are the first argument of what opens files: of a function of a module, and of no object's method."""
    return (text for name, text in once(code, "given texts", _given_texts) if _opens(name, text))


def _given_texts(code: types.CodeType) -> list[tuple[str, str]]:
    """What may open files, and the text that it is given first."""
    found = [pair for one in code.co_consts if isinstance(one, types.CodeType) for pair in _given_texts(one)]
    last = ""
    opens = any(map(_may_open, code.co_names))
    for step in dis.get_instructions(code) if opens else ():
        if step.opname == "LOAD_GLOBAL" or (last and step.opname in ("LOAD_ATTR", "LOAD_METHOD")):
            last = str(step.argval)
        elif step.opname not in TRANSPARENT:
            if step.opname == "LOAD_CONST" and isinstance(step.argval, str) and _may_open(last):
                found.append((last, step.argval))
            last = ""
    return found


def _may_open(name: str) -> bool:
    return name in _OPENERS or name in _PERHAPS or _reads(name)


def _opens(name: str, text: str) -> bool:
    """Whether to call something of that name with a text opens a file of that name."""
    return name in _OPENERS or _reads(name) or (name in _PERHAPS and _lies_there(text))


def names_a_file(value: Any, depth: int = 2) -> bool:
    """Whether a value is a path, a path's method, or a text that names a file which is there; or holds one of them."""
    kind = type(value)  # and not what the value says that it is
    if issubclass(kind, dict | list | tuple) and len(value) <= _FEW:
        return depth > 0 and any(
            names_a_file(one, depth - 1) for one in (value.values() if issubclass(kind, dict) else value)
        )
    if kind is types.MethodType:
        return issubclass(type(value.__self__), pathlib.PurePath)
    return issubclass(kind, pathlib.PurePath) or (issubclass(kind, str) and _is_there(value))


def led_to(chain: Chain, space: Mapping[str, Any]) -> Any:
    """What a name with its attributes leads to, as far as no code runs for it."""
    value = space.get(chain[0])
    for name in chain[1:]:
        held = getattr(value, "__dict__", {})
        if not isinstance(held, Mapping) or name not in held:  # some answer to any name
            return value
        value = held[name]
    return value


def texts_of(code: types.CodeType) -> tuple[str, ...]:
    """All texts in code, in order, and in the code that is nested in it."""
    inner = [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
    own = [constant for constant in code.co_consts if isinstance(constant, str)]
    return (*own, *(text for one in inner for text in texts_of(one)))


def _is_there(text: str) -> bool:
    """Whether a text is the name of a file, or of a folder that isn't at the top of all; or begins with a folder's
    and goes on with a place for the rest: ``prompts/{}.txt``.
    """
    if not 2 < len(text) < 256 or any(one in text for one in "\n\0 "):
        return False
    place = min((text.find(one) for one in "{%" if one in text), default=-1)
    if place >= 0:
        text = text[: text.rfind("/", 0, place) + 1]
    return ("." in text or "/" in text) and _lies_there(text)


def _lies_there(text: str) -> bool:
    """The same of a text that stands where a path begins, and so needs no dot or slash to be one."""
    return 0 < len(text) < 256 and "\0" not in text and text.strip("./") != "" and os.path.exists(text)


def _built_of(code: types.CodeType) -> list[ast.expr]:
    """What stands where code begins a path: ``join("prompts", x)``, ``Path(DATA)``, ``f"{DATA}/{x}"``."""
    return once(code, "begins paths with", lambda code: list(_beginnings(code)))


def _beginnings(code: types.CodeType) -> Iterator[ast.expr]:
    for one in _syntax(code):
        if isinstance(one, ast.Call) and last_name(one.func) in _JOINERS and one.args:
            yield one.args[0]
        elif isinstance(one, ast.BinOp) and isinstance(one.op, ast.Div | ast.Add):
            if isinstance(one.op, ast.Div) or _begins_with_slash(one.right):
                yield one.left
        elif isinstance(one, ast.JoinedStr) and len(one.values) > 1 and _begins_with_slash(one.values[1]):
            first = one.values[0]
            yield first.value if isinstance(first, ast.FormattedValue) else first


def _begins_with_slash(node: ast.expr) -> bool:
    first = node.values[0] if isinstance(node, ast.JoinedStr) and node.values else node
    return isinstance(first, ast.Constant) and isinstance(first.value, str) and first.value[:1] == "/"


def _only_writes(code: types.CodeType) -> bool:
    """Whether each file that it opens is opened to be written, as far as its text says so."""
    opening = [one for one in _syntax(code) if isinstance(one, ast.Call) and last_name(one.func) == "open"]
    return bool(opening) and all(_mode_of(call)[:1] in ("w", "a", "x") for call in opening)


def _mode_of(call: ast.Call) -> str:
    """The mode that a call of ``open`` gives: of a function its second argument, of a path its first."""
    placed = call.args[isinstance(call.func, ast.Name) : 2]
    given = [*placed, *(keyword.value for keyword in call.keywords if keyword.arg == "mode")]
    modes = [one.value for one in given if isinstance(one, ast.Constant) and isinstance(one.value, str)]
    return next((mode for mode in reversed(modes) if mode and set(mode) <= set("rwaxbt+")), "")


def _syntax(code: types.CodeType) -> Iterator[ast.AST]:
    node = node_of(code)
    return ast.walk(node) if node is not None else iter(())
