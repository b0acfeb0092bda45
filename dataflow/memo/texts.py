"""The text of a module as it was loaded: its file may have been edited since.

How things were made is told by statements, and only their text says what these were. It is read once, when a module is
first looked at, and kept as long as the module isn't loaded anew: a program that goes on after an edit still does what
the old text says. What was edited before that, and after it was loaded, can't be told at all.
"""

from __future__ import annotations

import functools
import importlib.util
import linecache
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["is_edited", "source_of"]

_MOST = 10_000
_MARGIN_SECONDS = 2.0  # the system's account of when a process began is a second off
_HEADER = 16  # bytes of a compiled file; four of them say when its source had been modified


@dataclass(frozen=True)
class _Text:
    loaded: object  # what is another one when the module is loaded again; held, so that its identity is no other's
    text: str
    edited: bool


_texts: dict[int, _Text] = {}


def source_of(space: Mapping[str, Any]) -> str | None:
    """The text of the module whose names these are; ``None`` where it has no file."""
    found = _text_of(space)
    return None if found is None else found.text


def is_edited(space: Mapping[str, Any]) -> bool:
    """Whether the file of a module was edited after it was loaded, and before it was first looked at here."""
    found = _text_of(space)
    return found is not None and found.edited


def _text_of(space: Mapping[str, Any]) -> _Text | None:
    file = space.get("__file__")
    if not isinstance(file, str):
        return None
    loaded = space.get("__spec__") or space
    found = _texts.get(id(loaded))
    if found is None:
        if len(_texts) >= _MOST:
            _texts.clear()
        linecache.checkcache(file)
        text = "".join(linecache.getlines(file))
        found = _texts[id(loaded)] = _Text(
            loaded, text, _was_edited(file, is_script=loaded is space and space.get("__name__") == "__main__")
        )
    return found


def _was_edited(file: str, *, is_script: bool) -> bool:
    try:
        modified = os.stat(file).st_mtime
        if modified <= _began() + _MARGIN_SECONDS:
            return False
        if is_script:  # which was loaded at the very beginning
            return True
        with open(importlib.util.cache_from_source(file), "rb") as compiled:
            header = compiled.read(_HEADER)
        return int.from_bytes(header[8:12], "little") != int(modified) & 0xFFFFFFFF
    except (OSError, NotImplementedError):
        return False  # nothing is known of what was loaded


@functools.cache
def _began() -> float:
    """When this process did, in seconds since 1970."""
    import psutil

    return float(psutil.Process().create_time())
