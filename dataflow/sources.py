"""Modules of one file that no import statement finds: a workload's own file.

Other processes can still have them by their names, as `multiprocessing` has it with the main module: whoever reaches
the same file, with the same content, runs it and knows it under its name.
"""

from __future__ import annotations

import decimal
import hashlib
import importlib.util
import itertools
import os
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from dataflow.errors import said

__all__ = [
    "MAIN",
    "MAIN_ELSEWHERE",
    "WORKLOAD",
    "Source",
    "context_made",
    "digest_of",
    "found_by_name",
    "free_name",
    "globals_asked_for",
    "home_of",
    "import_source",
    "imported_sources",
    "names_asked_for",
    "usual_name",
    "why_unreached",
]

WORKLOAD = "dataflow_workload_"
_AGAIN = "~"
MAIN = "__main__"
MAIN_ELSEWHERE = "__mp_main__"  # as multiprocessing calls it where it imports it


@dataclass(frozen=True, slots=True)
class Source:
    """A module's file.

    Attributes:
        name: the module's.
        path: where it lies, absolute.
        digest: of its content.
    """

    name: str
    path: str
    digest: bytes


_imported: dict[str, Source] = {}
_asked: dict[str, frozenset[str]] = {}
_contexts: dict[str, decimal.Context | None] = {}


def import_source(name: str, path: str | Path, expected: bytes | None = None) -> ModuleType:
    """Run a file as the module of a name, which it takes from any other that has it.

    Args:
        name: the module's.
        path: the file's.
        expected: the digest that its content must have.

    Raises:
        ValueError: it has another content.
        OSError: it can't be read.
        BaseException: whatever the file raises.
    """
    path = os.path.abspath(path)
    content = Path(path).read_bytes()
    source = Source(name, path, digest_of(content))
    if expected not in (None, source.digest):
        raise ValueError(f"{path} has changed")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    module, before = importlib.util.module_from_spec(spec), sys.modules.get(name)
    sys.modules[name] = module
    try:
        code = compile(content, path, "exec", dont_inherit=True)
        context = _run(code, vars(module))
    except BaseException:
        del sys.modules[name]
        if before is not None:
            sys.modules[name] = before
        raise
    _imported[name], _asked[name], _contexts[name] = source, names_asked_for(code), context
    return module


def context_made(module: str) -> decimal.Context | None:
    """The context of decimals in the thread that imported a file here; ``None`` for the usual one."""
    return _contexts.get(module)


def free_name(name: str) -> str:
    """A name for a module of one file that no other has: classes of one that was loaded before are found by it."""
    taken = (f"{name}{_AGAIN}{count}" if count else name for count in itertools.count())
    return next(one for one in taken if one not in sys.modules)


def home_of(kind: Any) -> Any:
    """The module that a class or function says it is of, by one name wherever and however often it was loaded."""
    module = getattr(kind, "__module__", None)
    return usual_name(module) if isinstance(module, str) else module


def usual_name(module: str) -> str:
    """What a module is called where it was loaded first, in the process where the script was started."""
    if module == MAIN_ELSEWHERE:
        return MAIN
    return module.partition(_AGAIN)[0] if module.startswith(WORKLOAD) else module


def found_by_name(module: str, path: str) -> Any:
    """What has a dotted name in a module that is loaded; ``None`` for nothing."""
    found: Any = sys.modules.get(module)
    for name in path.split("."):
        found = getattr(found, name, None)
    return found


def imported_sources() -> list[Source]:
    """The files of modules here that :func:`import_source` has made."""
    return [source for name, source in _imported.items() if name in sys.modules]


def why_unreached(source: Source, *, fresh: bool, here: bool) -> str:
    """Look for a module of that file under that name, in this process and then where the file lies.

    Args:
        source: the file.
        fresh: import it once more where it was: what has run here may have changed it.
        here: import it in this thread, and not in one of its own, in which it may do what an event loop forbids.

    Returns:
        Why it isn't to be had; nothing where this process knows it now.
    """
    if not fresh and source.name in sys.modules:
        return "" if _imported.get(source.name) == source else "another of its name is at work there"
    failed: list[str] = []

    def work() -> None:
        try:
            import_source(source.name, source.path, source.digest)
        except BaseException as error:  # what it needs may not be here: no arguments, no more memory
            failed.append(said(error))

    if here:
        work()
        return "".join(failed)
    thread = threading.Thread(target=work, name="dataflow-import", daemon=True)
    thread.start()
    thread.join()
    return "".join(failed)


def globals_asked_for(name: str) -> frozenset[str]:
    """The names that functions of a module of one file may look up among its globals."""
    return _asked.get(name, frozenset())


def names_asked_for(code: CodeType) -> frozenset[str]:
    """The names that functions in a module's code may look up among its globals, or as attributes."""
    return frozenset(name for inner in _nested(code) for name in inner.co_names)


def _run(code: CodeType, space: dict[str, Any]) -> decimal.Context | None:
    """Run a module's code; the context of decimals that it leaves, if that isn't the usual one."""
    exec(code, space)
    context = decimal.getcontext().copy()
    context.clear_flags()
    return None if repr(context) == repr(decimal.DefaultContext) else context


def _nested(code: CodeType) -> Iterator[CodeType]:
    for one in code.co_consts:
        if isinstance(one, CodeType):
            yield one
            yield from _nested(one)


def digest_of(content: bytes) -> bytes:
    """The digest of a file's content."""
    return hashlib.blake2b(content, digest_size=20).digest()
