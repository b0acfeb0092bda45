"""Python processes that are started by command: they import what this one would, wherever it stands."""

from __future__ import annotations

import os
import sys

__all__ = ["SEARCH_PATH", "look_in", "module_command", "search_path"]

SEARCH_PATH = "PYTHONPATH"


def module_command(module: str, *arguments: str) -> list[str]:
    """The command that runs a module; without ``-P``, a ``queue.py`` in the folder at hand were the standard one."""
    return [sys.executable, "-P", "-m", module, *arguments]


def search_path() -> dict[str, str]:
    """What to put into the environment of a process so that it looks for modules where they are looked for here."""
    # An empty one stands for the folder at hand, there as here; what isn't text is passed over by Python.
    return {SEARCH_PATH: os.pathsep.join(path for path in sys.path if isinstance(path, str))}


def look_in(path: str) -> None:
    """Look for modules where a process would that was started with this search path."""
    os.environ[SEARCH_PATH] = path
    told = [os.path.abspath(folder) for folder in path.split(os.pathsep)]
    sys.path[:] = dict.fromkeys([*told, *sys.path])
