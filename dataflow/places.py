"""Where workloads and cluster files lie: a path as given, a folder at hand, or what came with the package."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

__all__ = ["known_files", "resource_file", "resource_folders"]


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
