"""Temporary folders that a killed process can't leave behind for ever."""

from __future__ import annotations

import contextlib
import math
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from dataflow.places import temporary_folder

__all__ = ["scratch_folder"]

_SWEEP_SECONDS = 60.0  # between two, since a folder of many files is long to look through
_NAME = re.compile(r"dataflow-[a-z]+-(\d+)-\w+")


@contextlib.contextmanager
def scratch_folder(purpose: str) -> Iterator[str]:
    """A temporary folder for the length of the block.

    A process that is killed can't remove its own; so whoever makes one removes those of processes that have
    gone, which their names tell.

    Args:
        purpose: one lower-case word for the name.

    Raises:
        OutputError: there is no room for it.
    """
    place = temporary_folder()
    _sweep(place)
    with tempfile.TemporaryDirectory(
        prefix=f"dataflow-{purpose}-{os.getpid()}-", dir=place, ignore_cleanup_errors=True
    ) as folder:
        yield folder


_swept = -math.inf  # seconds, when this process last did


def _sweep(place: str) -> None:
    global _swept
    if time.monotonic() - _swept < _SWEEP_SECONDS:
        return
    _swept = time.monotonic()
    for path in Path(place).glob("dataflow-*-*-*"):
        match = _NAME.fullmatch(path.name)
        with contextlib.suppress(OSError):
            if match and path.stat().st_uid == os.getuid() and not _is_alive(int(match[1])):
                shutil.rmtree(path, ignore_errors=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
