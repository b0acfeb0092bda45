"""The manifest of an output folder: which parts count. The one truth; a listing is none.

A worker may die after it wrote its part and before it reported, and its batch is then run again: a listing
would count those documents twice. So a part counts when the driver has appended it here and the file system
has it on disk. What isn't in the manifest is an orphan, and is removed when the run ends.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from dataflow.errors import OutputError, one_line
from dataflow.graph.work import Part

__all__ = ["Manifest", "committed_parts", "refuse_used"]

_FOLDER = "_dataflow"


class Manifest:
    """The manifest of one output folder, open for appending.

    On a local disk it is one file that is synced at each commit. An object store can't append, so there
    each commit is an object of its own.

    Args:
        folder: path or URL of the output folder; it must not exist, or be empty.
        header: what the run is: kept in the first record.

    Raises:
        OutputError: the folder holds something, isn't a folder, or can't be written.
    """

    def __init__(self, folder: str, header: dict[str, Any]) -> None:
        from fsspec.core import url_to_fs

        self.folder = folder
        try:
            self._fs, self._path = url_to_fs(folder)
            self._local = "file" in _protocols(self._fs)
            refuse_used(folder)
            self._made = not self._fs.exists(self._path)
            self._fs.makedirs(f"{self._path}/{_FOLDER}", exist_ok=True)
            self._commits = 0
            self._file = Path(self._name()).open("x", encoding="utf-8") if self._local else None  # noqa: SIM115
            self._append([{"format": 1, **header}])
        except OutputError:
            raise
        except (OSError, ValueError, ImportError) as error:
            raise OutputError(
                f"output {folder} can't be written: {one_line(error)}. Choose another folder."
            ) from error
        self.parts: set[str] = set()
        self.rows = 0

    def commit(self, parts: Sequence[Part]) -> None:
        """Make parts count, durably.

        Raises:
            OutputError: the manifest can't be written; what was committed before stays.
        """
        records = [{"part": p.name, "rows": p.rows, "size_bytes": p.size_bytes} for p in parts]
        if not records:
            return
        try:
            self._append(records)
        except OSError as error:
            raise OutputError(f"output {self.folder} can't be written: {one_line(error)}") from error
        self.parts.update(p.name for p in parts)
        self.rows += sum(p.rows for p in parts)

    def finish(self, *, complete: bool) -> int:
        """Remove orphans and close; returns how many there were.

        A folder that was made for this run and in which nothing counts is removed with all that is in it.
        """
        # What is on disk counts, and not what was noted here: Ctrl-C may have come between the two.
        records = [r for r in committed_parts(self.folder) if "part" in r]
        self.parts = {r["part"] for r in records}
        self.rows = sum(r["rows"] for r in records)
        orphans = [p for p in self._listed() if os.path.basename(p) not in self.parts]
        for path in orphans:
            self._fs.rm_file(path)
        if not complete and not self.parts:
            self._close()
            self._remove()
            return len(orphans)
        self._append([{"complete": complete, "rows": self.rows, "ended": time.time()}])
        self._close()
        return len(orphans)

    def _name(self) -> str:
        return f"{self._path}/{_FOLDER}/manifest" + (
            ".jsonl" if self._local else f"-{self._commits:08d}.jsonl"
        )

    def _append(self, records: list[dict[str, Any]]) -> None:
        text = "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records)
        if self._file:
            self._file.write(text)
            self._file.flush()
            os.fsync(self._file.fileno())
        else:
            self._fs.pipe_file(self._name(), text.encode())
        self._commits += 1

    def _listed(self) -> Iterator[str]:
        self._fs.invalidate_cache()
        yield from self._fs.glob(f"{self._path}/part-*.parquet")

    def _close(self) -> None:
        if self._file:
            self._file.close()

    def _remove(self) -> None:
        if self._made:
            self._fs.rm(self._path, recursive=True)
        else:
            self._fs.rm(f"{self._path}/{_FOLDER}", recursive=True)


def refuse_used(folder: str) -> None:
    """Find out whether a folder can take an output, without touching it.

    Raises:
        OutputError: it holds something, isn't a folder, or its file system is unknown.
    """
    from fsspec.core import url_to_fs

    try:
        filesystem, path = url_to_fs(folder)
        is_file = filesystem.isfile(path)
        used = not is_file and filesystem.isdir(path) and bool(filesystem.ls(path, detail=False))
    except Exception as error:  # a file system raises what it likes
        raise OutputError(
            f"output {folder} can't be used: {one_line(error)}. Choose another folder."
        ) from error
    if is_file:
        raise OutputError(f"output {folder} is a file: name a folder.")
    if used:
        raise OutputError(f"output {folder} isn't empty: name another folder, or empty it.")


def committed_parts(folder: str) -> list[dict[str, Any]]:
    """The records of an output folder's manifest, the header first; a torn last line is left out.

    Raises:
        OutputError: the folder has no manifest.
    """
    from fsspec.core import url_to_fs

    filesystem, path = url_to_fs(folder)
    names = sorted(filesystem.glob(f"{path}/{_FOLDER}/manifest*.jsonl"))
    if not names:
        raise OutputError(f"{folder} isn't the output of a run: it has no {_FOLDER}/manifest.jsonl.")
    records = []
    for name in names:
        for line in filesystem.cat_file(name).decode("utf-8", "replace").splitlines():
            try:
                records.append(json.loads(line))
            except ValueError:
                break
    return records


def _protocols(filesystem: Any) -> tuple[str, ...]:
    protocol = filesystem.protocol
    return (protocol,) if isinstance(protocol, str) else tuple(protocol)
