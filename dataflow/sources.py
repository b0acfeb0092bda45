"""Modules of one file that no import statement finds: a workload's own file, and the script that runs.

Other processes can still have them by their names, as `multiprocessing` has it with the main module: whoever reaches
the same file, with the same content, runs it once and knows it under its name.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType, ModuleType
from typing import Any

from dataflow.errors import said

__all__ = [
    "ScriptStart",
    "Source",
    "globals_asked_for",
    "home_of",
    "import_source",
    "script_start",
    "settings_made",
    "source_modules",
    "source_of",
    "why_unreached",
]

_GUARDS = ("__name__ == '__main__'", "'__main__' == __name__")
_MAIN, _MAIN_ELSEWHERE = "__main__", "__mp_main__"  # as multiprocessing calls it where it imports it


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


@dataclass(frozen=True, slots=True)
class ScriptStart:
    """How a script was started.

    Attributes:
        how: by file or name, as ``multiprocessing`` calls it, and which.
        arguments: ``sys.argv``.
    """

    how: tuple[str, str]
    arguments: tuple[str, ...]


_imported: dict[str, Source] = {}
_settings: dict[str, dict[ContextVar[Any], Any]] = {}
_lock = threading.RLock()  # one file may load another


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
    source = Source(name, path, _digest(content))
    if expected not in (None, source.digest):
        raise ValueError(f"{path} has changed")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    with _lock:
        before = sys.modules.get(name)
        sys.modules[name] = module
        try:
            code = compile(content, path, "exec", dont_inherit=True)
            _settings[name] = _settings_made(code, vars(module))
        except BaseException:
            del sys.modules[name]
            if before is not None:
                sys.modules[name] = before
            raise
        _imported[name] = source
    return module


def settings_made(source: Source) -> Mapping[ContextVar[Any], Any]:
    """What a file that was imported here has set for the thread that imported it, such as the precision of decimals."""
    return _settings.get(source.name, {})


def source_of(name: str) -> Source | None:
    """The file of a module that was imported by :func:`import_source`, or of the script as it began to run."""
    if name == _MAIN_ELSEWHERE:
        name = _MAIN
    return _script() if name == _MAIN else _imported.get(name)


def home_of(kind: type) -> Any:
    """The module that a class says it is of; the script's has one name everywhere."""
    return _MAIN if kind.__module__ == _MAIN_ELSEWHERE else kind.__module__


def source_modules() -> frozenset[str]:
    """The names of the modules here that :func:`source_of` has a file for."""
    names = [*_imported, *((_MAIN, _MAIN_ELSEWHERE) if _script() else ())]
    return frozenset(name for name in names if name in sys.modules)


def why_unreached(source: Source, start: ScriptStart | None, *, replace: bool) -> str:
    """Look for a module of that file under that name, in this process and then where the file lies.

    Args:
        source: the file.
        start: how to import it where it is a script; ``None`` if that mustn't be.
        replace: another module of the name may be put out of its place.

    Returns:
        Why it isn't to be had; nothing where this process knows it now.
    """
    if source.name == _MAIN:
        return _why_not_this_script(source, start)
    with _lock:
        if source.name in sys.modules:
            if _imported.get(source.name) == source:
                return ""
            if not replace:
                return "another of its name is at work there"
        try:
            import_source(source.name, source.path, source.digest)
        except (
            BaseException
        ) as error:  # what it needs may not be here: no machine, no arguments, no more memory
            return said(error)
    return ""


def globals_asked_for(source: Source) -> frozenset[str]:
    """The names that functions of the file may look up among its globals."""
    code = compile(Path(source.path).read_bytes(), source.path, "exec", dont_inherit=True)
    return frozenset(name for inner in _nested(code) for name in inner.co_names)


def _settings_made(code: CodeType, space: dict[str, Any]) -> dict[ContextVar[Any], Any]:
    """Run a module's code; what it has set that Python keeps by thread."""
    if decimal := sys.modules.get("decimal"):
        decimal.setcontext(decimal.getcontext().copy())  # which is changed in place
    held = copy_context()
    before = {variable: _told(value) for variable, value in held.items()}
    exec(code, space)
    after = copy_context().items()
    return {variable: value for variable, value in after if before.get(variable) != _told(value)}


def _told(value: object) -> object:
    kind = type(value)
    return repr(value) if (kind.__module__, kind.__name__) == ("decimal", "Context") else id(value)


def _nested(code: CodeType) -> Iterator[CodeType]:
    for one in code.co_consts:
        if isinstance(one, CodeType):
            yield one
            yield from _nested(one)


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=20).digest()


def script_start() -> ScriptStart | None:
    """How other processes may import the script that runs; ``None`` where that would begin its work once more."""
    main, script, frame = sys.modules[_MAIN], _script(), _script_frame()
    if script is None or frame is None or not _is_guarded(Path(script.path), frame.f_lineno):
        return None
    name = getattr(getattr(main, "__spec__", None), "name", None)
    sys.modules.setdefault(_MAIN_ELSEWHERE, main)  # what comes back is of its classes there
    how = ("init_main_from_name", name) if name else ("init_main_from_path", script.path)
    return ScriptStart(how, tuple(sys.argv))


def _script() -> Source | None:
    """The file of the script that runs; ``None`` where it has none, or has been edited since."""
    path, frame = getattr(sys.modules[_MAIN], "__file__", None), _script_frame()
    if not path or frame is None:
        return None
    try:
        content = Path(path).read_bytes()
        if compile(content, path, "exec", dont_inherit=True) != frame.f_code:
            return None
    except (OSError, SyntaxError, ValueError):
        return None
    return Source(_MAIN, os.path.abspath(path), _digest(content))


def _script_frame() -> FrameType | None:
    """Where the script is: its frame is the outermost that has its globals."""
    space, found = vars(sys.modules[_MAIN]), None
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    while frame is not None:
        if frame.f_globals is space and frame.f_code.co_name == "<module>":
            found = frame
        frame = frame.f_back
    return found


def _is_guarded(path: Path, line: int) -> bool:
    """Whether a line of a script is reached only where the script is what was started."""
    guards = (one for one in ast.parse(path.read_bytes()).body if isinstance(one, ast.If))
    return any(
        ast.unparse(one.test) in _GUARDS and one.body[0].lineno <= line <= (one.body[-1].end_lineno or 0)
        for one in guards
    )


def _why_not_this_script(source: Source, start: ScriptStart | None) -> str:
    """Nothing where this process is the script, or has imported it as its own main module."""
    why = ""
    if not _is_imported_main():
        if _script() == source:
            return ""
        if start is None:
            return "the call doesn't stand under `if __name__ == '__main__':`"
        why = _import_script(start)
    try:
        content = Path(str(sys.modules[_MAIN].__file__)).read_bytes() if _is_imported_main() else b""
    except OSError as error:
        return said(error)
    return "" if _digest(content) == source.digest else why or "it isn't the same file there"


def _is_imported_main() -> bool:
    return getattr(sys.modules[_MAIN], "__name__", None) == _MAIN_ELSEWHERE


def _import_script(start: ScriptStart) -> str:
    """Import the script as a worker of multiprocessing would, which starts no others meanwhile; why that failed."""
    from multiprocessing import process, spawn

    here: Any = process.current_process()
    before, sys.argv = sys.argv, list(start.arguments)
    here._inheriting = True
    try:
        spawn.prepare({start.how[0]: start.how[1]})
    except BaseException as error:  # whatever it raises, its code can still travel
        sys.argv = before
        return said(error)
    finally:
        del here._inheriting
    return ""
