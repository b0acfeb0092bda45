"""What an output folder holds: its manifest, read, and whether it can take a run."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

from dataflow.engine.journal import FOLDER, Record, read_records
from dataflow.errors import OutputError, one_line

__all__ = [
    "Contents",
    "committed_parts",
    "has_manifest",
    "is_part",
    "read_manifest",
    "read_part",
    "refuse_used",
]


def is_part(name: str) -> bool:
    """Whether a file is named as the parts of runs are."""
    return name.startswith("part-") and name.endswith(".parquet")


@dataclass
class Contents:
    """What a manifest says.

    Attributes:
        header: what the run is; empty where none was written.
        parts: the records of the parts that count, by name.
        runs: the runs that wrote here, oldest first.
        ended: the last of them came to its end in order.
        complete: every document of the corpus was done then.
        listed: how many documents the corpus had, where a listing came to its end.
    """

    header: Record = field(default_factory=dict)
    parts: dict[str, Record] = field(default_factory=dict)
    runs: list[str] = field(default_factory=list)
    ended: bool = False
    complete: bool = False
    listed: int | None = None

    @property
    def rows(self) -> int:
        """Rows of all parts that count."""
        return sum(int(p["rows"]) for p in self.parts.values())

    def add(self, record: Record) -> None:
        """Take in one record, in the order in which they were written."""
        if "format" in record and not self.header:
            self.header = record
        if "run" in record:
            self.runs.append(record["run"])
            self.ended = self.complete = False
        if "part" in record:
            self.parts[record["part"]] = {**record, "sizes": [record["size_bytes"]]}
        for name in record.get("lost", ()):
            self.parts.pop(name, None)
        if "rewriting" in record:
            # Before or after the part was replaced: both are whole, and hold the same documents.
            self.parts[record["rewriting"]]["sizes"].append(record["size_bytes"])
        if "complete" in record:
            self.ended, self.complete = True, record["complete"]
        self.listed = record.get("listed", self.listed)


def refuse_used(folder: str) -> None:
    """Find out whether a folder can take an output, without touching it.

    Raises:
        OutputError: it holds something, isn't a folder, or its file system is unknown.
    """
    if "://" not in folder and not os.path.lexists(folder):
        return  # so it is nearly always, and fsspec needn't be imported before the processes that do the work are begun
    from fsspec.core import url_to_fs

    try:
        filesystem, path = url_to_fs(folder)
        filesystem.invalidate_cache()
        is_file = filesystem.isfile(path)
        held = filesystem.ls(path, detail=False) if not is_file and filesystem.isdir(path) else []
        resumable = bool(held and read_records(filesystem, path))
        # A driver that died before its first record left an empty manifest, and parts that don't count: nothing to
        # spare.
        names = {os.path.basename(name.rstrip("/")) for name in held}
        used = any(name != FOLDER and not (FOLDER in names and is_part(name)) for name in names)
    except Exception as error:  # a file system raises what it likes
        raise OutputError(
            f"output {folder} can't be used: {one_line(error)}. Choose another folder."
        ) from error
    if is_file:
        raise OutputError(f"output {folder} is a file: name a folder.")
    if resumable:
        raise OutputError(
            f"output {folder} isn't empty: it holds a run. Go on with it by --resume (resume=True), "
            "or name another folder."
        )
    if used:
        raise OutputError(f"output {folder} isn't empty: name another folder, or empty it.")


def has_manifest(folder: str) -> bool:
    """Whether a run has written to a folder.

    Raises:
        OutputError: the folder can't be looked at.
    """
    from fsspec.core import url_to_fs

    try:
        return bool(read_records(*url_to_fs(folder)))
    except Exception as error:
        raise OutputError(
            f"output {folder} can't be used: {one_line(error)}. Choose another folder."
        ) from error


def read_manifest(folder: str) -> Contents:
    """What the manifest of an output folder says; a torn last record is left out.

    Raises:
        OutputError: the folder has no manifest, or one that no run has written so.
    """
    from fsspec.core import url_to_fs

    filesystem, path = url_to_fs(folder)
    contents = Contents()
    for number, record in enumerate(read_records(filesystem, path), 1):
        try:
            contents.add(record)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise OutputError(
                f"{folder}/{FOLDER}/manifest.jsonl is damaged: its record {number} isn't whole "
                f"({type(error).__name__}: {one_line(error)}). Write to another folder."
            ) from error
    if not contents.header:
        raise OutputError(f"{folder} isn't the output of a run: it has no {FOLDER}/manifest.jsonl.")
    return contents


def read_part(filesystem: Any, path: str, columns: list[str] | None = None) -> Any:
    """A Parquet file, or some columns of it, as an Arrow table.

    Raises:
        OSError, ValueError: it can't be read.
    """
    import pyarrow.parquet as pq

    # Small blocks: of a large part, the columns asked for may be a hundredth.
    with filesystem.open(path, "rb", block_size=2**17) as file:
        return pq.ParquetFile(file, pre_buffer=False).read(columns=columns, use_threads=False)


def committed_parts(folder: str) -> list[Record]:
    """The records of the parts that count, oldest first.

    Raises:
        OutputError: the folder has no manifest.
    """
    return list(read_manifest(folder).parts.values())
