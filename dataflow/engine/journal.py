"""Where a manifest's records lie: one synced file on a disk, numbered objects in an object store.

A record counts when its line is whole. What a dying driver left half-written is cut off before anything is
appended, or the next record would be glued to it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

__all__ = ["FOLDER", "FileJournal", "Gone", "Journal", "ObjectJournal", "Record", "listing", "read_records"]

FOLDER = "_dataflow"

Record = dict[str, Any]

_SEGMENT_BYTES = 256 * 1024
_NAME = r"manifest(-\d+)?\.jsonl"


class Gone(Exception):
    """What was recorded isn't there any more."""


class Journal(Protocol):
    """Appends records durably."""

    def append(self, records: Sequence[Record]) -> None:
        """Make records last. When this returns they do; when it raises, they may."""

    def mend(self) -> None:
        """Look at what is really there, and drop what is half-written."""

    def close(self) -> None:
        """No more records. Closing twice is fine."""


class FileJournal:
    """One file, synced at each append.

    Args:
        folder: the output folder; ``_dataflow`` in it has to exist.
    """

    def __init__(self, folder: str) -> None:
        path = Path(folder, FOLDER, "manifest.jsonl")
        self._file: int | None = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        self._path, self._size = path, 0
        self._names = min(1, os.fstat(self._file).st_nlink)  # some file systems say that a file has none
        self.mend()
        for directory in (path.parent, path.parent.parent, path.parent.parent.parent):
            _sync_folder(directory)  # or a power loss takes the file's name, and with it all of its records

    def append(self, records: Sequence[Record]) -> None:
        """Append lines and sync; a line that the disk has no room for is taken back."""
        assert self._file is not None
        data, now = _lines(records), os.fstat(self._file)
        if now.st_nlink < self._names or now.st_size < self._size:
            raise Gone("it was removed, or cut, while the run was at it")
        before = now.st_size
        try:
            while data:
                data = data[os.write(self._file, data) :]
            os.fsync(self._file)
        except OSError:
            os.ftruncate(self._file, before)
            raise
        self._size = os.fstat(self._file).st_size

    def mend(self) -> None:
        """Cut off a torn tail."""
        assert self._file is not None
        data = self._path.read_bytes()
        whole = self._size = _whole(data)
        if whole < len(data):
            os.ftruncate(self._file, whole)
            os.fsync(self._file)

    def close(self) -> None:
        """Close the file."""
        file, self._file = self._file, None
        if file is not None:
            os.close(file)


class ObjectJournal:
    """Numbered objects: nothing can be appended to one, so the last is written anew until it is full.

    A run of a million documents leaves some ten objects. Each run writes objects of its own.

    Args:
        filesystem: an fsspec file system whose objects appear whole or not at all.
        path: the output folder in it.
    """

    def __init__(self, filesystem: Any, path: str) -> None:
        self._filesystem, self._path = filesystem, path
        self._number, self._data = -1, b""
        self.mend()

    def append(self, records: Sequence[Record]) -> None:
        """Write the last object anew, with more lines."""
        data = self._data + _lines(records)
        name = f"{self._path}/{FOLDER}/manifest-{self._number:08d}.jsonl"
        self._filesystem.pipe_file(name, data)
        self._data = data
        if len(data) >= _SEGMENT_BYTES:
            self._number, self._data = self._number + 1, b""

    def mend(self) -> None:
        """Begin a new object: an interrupted write may still be on its way to the last one."""
        names = _names(self._filesystem, self._path)
        last = int(names[-1].rpartition("-")[2].removesuffix(".jsonl")) if names else -1
        self._number, self._data = max(last, self._number) + 1, b""

    def close(self) -> None:
        """Nothing is open."""


def listing(filesystem: Any, folder: str) -> dict[str, int | None]:
    """Names and sizes of the files in a folder, as they are now; empty where there is no such folder."""
    filesystem.invalidate_cache()
    try:
        found = filesystem.ls(folder, detail=True)
    except FileNotFoundError:
        return {}
    return {os.path.basename(f["name"]): f.get("size") for f in found if f["type"] != "directory"}


def read_records(filesystem: Any, path: str) -> list[Record]:
    """All whole records of an output folder's manifest, oldest first; empty where there is none."""
    records: list[Record] = []
    for name in _names(filesystem, path):
        data = filesystem.cat_file(name)
        records += [json.loads(line) for line in data[: _whole(data)].splitlines()]
    return records


def _names(filesystem: Any, path: str) -> list[str]:
    folder = f"{path}/{FOLDER}"
    return [f"{folder}/{n}" for n in sorted(listing(filesystem, folder)) if re.fullmatch(_NAME, n)]


def _lines(records: Sequence[Record]) -> bytes:
    # Escaped, so that no line holds a character that something takes for the end of a line.
    return b"".join(json.dumps(r).encode() + b"\n" for r in records)


def _whole(data: bytes) -> int:
    """How many bytes of a journal are whole records: a power loss may leave half a line, or zeros."""
    end = 0
    while (after := data.find(b"\n", end) + 1) > 0:
        try:
            record = json.loads(data[end:after])
        except ValueError:
            break
        if not isinstance(record, dict):
            break
        end = after
    return end


def _sync_folder(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    except OSError:  # some file systems have no such thing
        return
    finally:
        os.close(file)
