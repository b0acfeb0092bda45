"""Where things lie: workloads and cluster files, and what is needed only for a while."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from dataflow.errors import OutputError, one_line

__all__ = ["known_files", "resource_file", "resource_folders", "temporary_folder"]

_ROOM_BYTES = 2**20  # the ledgers of thirty processes


def resource_folders(kind: str) -> Iterator[Path]:
    """The folders that may hold ``kind`` (``workloads`` or ``cluster``), the first to be asked first.

    ``./KIND``, then what the wheel holds, then the checkout that the package is imported from.
    """
    package = Path(__file__).resolve().parent
    folders = [package / kind, package.parent / kind]
    with contextlib.suppress(FileNotFoundError):  # the folder at hand has been removed
        folders.insert(0, Path.cwd() / kind)
    for folder in folders:
        if folder.is_dir():
            yield folder


def known_files(kind: str, suffix: str) -> list[Path]:
    """The files of a kind, each name once."""
    found: dict[str, Path] = {}
    for folder in resource_folders(kind):
        for path in folder.glob(f"*{suffix}"):
            if not path.name.startswith("_"):
                found.setdefault(path.name, path)
    return list(found.values())


def resource_file(kind: str, name: str, suffix: str) -> Path | None:
    """The file that a user means by a name or a path; ``None`` where there is none."""
    given = Path(name).expanduser()
    if given.suffix == suffix or "/" in name:
        return given.resolve() if given.is_file() else None
    return next(
        (f / (name + suffix) for f in resource_folders(kind) if (f / (name + suffix)).is_file()), None
    )


def temporary_folder() -> str:
    """The folder for temporary files, which has a little room.

    Raises:
        OutputError: none can be written, or it is full.
    """
    try:
        folder = tempfile.gettempdir()
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise OutputError(
            f"temporary files can't be written: {one_line(error)}. Set TMPDIR to a folder that can be written."
        ) from error
    if free < _ROOM_BYTES:
        raise OutputError(
            f"the folder for temporary files, {folder}, is full ({free // 1024} KiB are left): make room, or set "
            "TMPDIR to another one."
        )
    return folder
