"""The script that runs, as a module that other processes may import: as `multiprocessing` does it."""

from __future__ import annotations

import ast
import os
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from dataflow.errors import said
from dataflow.sources import MAIN, MAIN_ELSEWHERE, Source, digest_of, names_asked_for

__all__ = [
    "ScriptStart",
    "answer_for_script",
    "script_asks_for",
    "script_source",
    "script_start",
    "why_not_script",
]

_GUARDS = ("__name__ == '__main__'", "'__main__' == __name__")


@dataclass(frozen=True, slots=True)
class ScriptStart:
    """How a script was started.

    Attributes:
        how: by file or name, as ``multiprocessing`` calls it, and which.
        arguments: ``sys.argv``.
    """

    how: tuple[str, str]
    arguments: tuple[str, ...]


def script_start() -> ScriptStart | None:
    """How other processes may import the script that runs; ``None`` where that would begin its work once more."""
    main, script, frame = sys.modules[MAIN], script_source(), _script_frame()
    if script is None or frame is None or not _is_guarded(Path(script.path), frame.f_lineno):
        return None
    name = getattr(getattr(main, "__spec__", None), "name", None)
    how = ("init_main_from_name", name) if name else ("init_main_from_path", script.path)
    return ScriptStart(how, tuple(sys.argv))


def answer_for_script() -> None:
    """Let what comes back from a process that has imported the script be of the classes that it has here."""
    sys.modules[MAIN_ELSEWHERE] = sys.modules[MAIN]


def script_source() -> Source | None:
    """The file of the script that runs; ``None`` where it has none, or has been edited since."""
    path, frame = getattr(sys.modules[MAIN], "__file__", None), _script_frame()
    if not path or frame is None:
        return None
    try:
        content = Path(path).read_bytes()
        if compile(content, path, "exec", dont_inherit=True) != frame.f_code:
            return None
    except (OSError, SyntaxError, ValueError):
        return None
    return Source(MAIN, os.path.abspath(path), digest_of(content))


def script_asks_for() -> frozenset[str]:
    """The names that functions of the script may look up among its globals."""
    frame = _script_frame()
    return names_asked_for(frame.f_code) if frame else frozenset()


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
        content = Path(str(sys.modules[MAIN].__file__)).read_bytes() if _is_imported_main() else b""
    except OSError as error:
        return said(error)
    return "" if digest_of(content) == source.digest else why or "it isn't the same file there"


def _script_frame() -> FrameType | None:
    """Where the script is: its frame is the outermost that has its globals."""
    space, found = vars(sys.modules[MAIN]), None
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
    return getattr(sys.modules[MAIN], "__name__", None) == MAIN_ELSEWHERE


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
