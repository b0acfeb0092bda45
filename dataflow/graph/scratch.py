"""Temporary folders that a killed process can't leave behind for ever."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

__all__ = ["scratch_folder"]

_NAME = re.compile(r"dataflow-[a-z]+-(\d+)-\w+")


@contextlib.contextmanager
def scratch_folder(purpose: str) -> Iterator[str]:
    """A temporary folder for the length of the block.

    A process that is killed can't remove its own; so whoever makes one removes those of processes that have
    gone, which their names tell.

    Args:
        purpose: one lower-case word for the name.
    """
    _sweep()
    with tempfile.TemporaryDirectory(
        prefix=f"dataflow-{purpose}-{os.getpid()}-", ignore_cleanup_errors=True
    ) as folder:
        yield folder


def _sweep() -> None:
    for path in Path(tempfile.gettempdir()).glob("dataflow-*-*-*"):
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
