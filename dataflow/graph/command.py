"""Python processes that are started by command: they import what this one would, wherever it stands."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

__all__ = ["look_in", "looked_in", "module_command", "search_path"]

_VARIABLE = "PYTHONPATH"


def module_command(module: str, *arguments: str) -> list[str]:
    """The command that runs a module; without ``-P``, a ``queue.py`` in the folder at hand were the standard one."""
    return [sys.executable, "-P", "-m", module, *arguments]


def search_path() -> dict[str, str]:
    """What to put into the environment of a process so that it looks for modules where they are looked for here."""
    # An empty one stands for the folder at hand, there as here; what isn't text is passed over by Python.
    return {_VARIABLE: os.pathsep.join(path for path in sys.path if isinstance(path, str))}


def looked_in() -> tuple[list[str], str | None]:
    """Where this process looks for modules, and what its environment says of it."""
    return [path for path in sys.path if isinstance(path, str)], os.environ.get(_VARIABLE)


def look_in(folders: Sequence[str], said: str | None) -> None:
    """Look for modules where another process does, and have its environment say what that of the other says: programs
    that are started look elsewhere than this one.
    """
    sys.path[:] = dict.fromkeys([*map(os.path.abspath, folders), *sys.path])
    os.environ.pop(_VARIABLE, None)
    if said is not None:
        os.environ[_VARIABLE] = said
