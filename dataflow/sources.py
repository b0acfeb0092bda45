"""Modules of one file that no import statement finds: a workload's own file, and the script that runs.

Other processes can still have them by their names, as `multiprocessing` has it with the main module: whoever reaches
the same file, with the same content, runs it once and knows it under its name.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import itertools
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
    "MAIN",
    "WORKLOAD",
    "ScriptStart",
    "Source",
    "answer_for_script",
    "found_by_name",
    "free_name",
    "globals_asked_for",
    "home_of",
    "import_source",
    "imported_sources",
    "script_source",
    "script_start",
    "settings_made",
    "usual_name",
    "why_not_script",
    "why_unreached",
]

WORKLOAD = "dataflow_workload_"
_AGAIN = "~"
_GUARDS = ("__name__ == '__main__'", "'__main__' == __name__")
MAIN = _MAIN = "__main__"
_MAIN_ELSEWHERE = "__mp_main__"  # as multiprocessing calls it where it imports it


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
_asked: dict[str, frozenset[str]] = {}
_settings: dict[str, dict[ContextVar[Any], Any]] = {}


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
    module, before = importlib.util.module_from_spec(spec), sys.modules.get(name)
    sys.modules[name] = module
    try:
        code = compile(content, path, "exec", dont_inherit=True)
        settings = _settings_made(code, vars(module))
    except BaseException:
        del sys.modules[name]
        if before is not None:
            sys.modules[name] = before
        raise
    _imported[name], _asked[name], _settings[name] = source, _names_asked_for(code), settings
    return module


def settings_made(source: Source) -> Mapping[ContextVar[Any], Any]:
    """What a file that was imported here has set for the thread that imported it, such as the precision of decimals."""
    return _settings.get(source.name, {})


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
    if module == _MAIN_ELSEWHERE:
        return _MAIN
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


def why_unreached(source: Source, *, fresh: bool, here: bool, patience_seconds: float | None = None) -> str:
    """Look for a module of that file under that name, in this process and then where the file lies.

    Args:
        source: the file.
        fresh: import it once more where it was: what has run here may have changed it.
        here: import it in this thread, and not in one of its own, in which it may do what an event loop forbids.
        patience_seconds: how long that may take; ``None`` for as long as it likes.

    Returns:
        Why it isn't to be had; nothing where this process knows it now.
    """
    if not fresh and source.name in sys.modules:
        return "" if _imported.get(source.name) == source else "another of its name is at work there"
    failed: list[str] = []

    def work() -> None:
        try:
            import_source(source.name, source.path, source.digest)
        except (
            BaseException
        ) as error:  # what it needs may not be here: no machine, no arguments, no more memory
            failed.append(said(error))

    if here:
        work()
        return "".join(failed)
    thread = threading.Thread(target=work, name="dataflow-import", daemon=True)
    thread.start()
    thread.join(patience_seconds)
    return "".join(failed) or ("importing it takes too long" if thread.is_alive() else "")


def why_not_script(source: Source, start: ScriptStart | None) -> str:
    """Why this process hasn't the script of that file for its main module, now that it has looked for it.

    Args:
        source: the file.
        start: how to import it; ``None`` if that mustn't be.
    """
    why = ""
    if not _is_imported_main():
        if start is None:
            return "the call doesn't stand under `if __name__ == '__main__':`"
        why = _import_script(start)
    try:
        content = Path(str(sys.modules[_MAIN].__file__)).read_bytes() if _is_imported_main() else b""
    except OSError as error:
        return said(error)
    return "" if _digest(content) == source.digest else why or "it isn't the same file there"


def globals_asked_for(name: str) -> frozenset[str]:
    """The names that functions of a module of one file, or of the script, may look up among its globals."""
    if name in _asked:
        return _asked[name]
    frame = _script_frame() if name == _MAIN else None
    return _names_asked_for(frame.f_code) if frame else frozenset()


def _names_asked_for(code: CodeType) -> frozenset[str]:
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
    main, script, frame = sys.modules[_MAIN], script_source(), _script_frame()
    if script is None or frame is None or not _is_guarded(Path(script.path), frame.f_lineno):
        return None
    name = getattr(getattr(main, "__spec__", None), "name", None)
    sys.modules.setdefault(_MAIN_ELSEWHERE, main)  # what comes back is of its classes there
    how = ("init_main_from_name", name) if name else ("init_main_from_path", script.path)
    return ScriptStart(how, tuple(sys.argv))


def answer_for_script() -> None:
    """Let what comes back from a process that has imported the script be of the classes that it has here."""
    sys.modules[_MAIN_ELSEWHERE] = sys.modules[_MAIN]


def script_source() -> Source | None:
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
