"""The manifest of an output folder: which parts count. The one truth; a listing is none.

A worker may die after it wrote its part and before it reported, and its batch is then run again: a listing
would count those documents twice. So a part counts when the driver has recorded it here durably. What isn't
in the manifest is an orphan, and is removed when a run ends and when one is resumed. The parts themselves are
not synced: one that a power loss took, or cut short, is found by its size when the run is resumed, and its
documents are done again.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from dataflow.document import url_of
from dataflow.engine.contents import Contents, committed_parts, is_part, read_manifest, read_part, refuse_used
from dataflow.engine.journal import FOLDER, FileJournal, Gone, Journal, ObjectJournal, Record, listing
from dataflow.engine.lock import Lock, take_lock
from dataflow.errors import OutputError, one_line
from dataflow.graph.work import Part

__all__ = ["Manifest", "committed_parts", "read_manifest", "refuse_used"]

_FORMAT = 2
_TIDYING_SECONDS = 10.0
# Where the first name of a path is a bucket, or a container, which fsspec would make at a slip of the finger.
_STORES_OF_BUCKETS = frozenset(("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss"))


class Manifest:
    """The manifest of one output folder, open for appending, with the folder's lock.

    Args:
        folder: path or URL of the output folder; it must not exist, or be empty.
        header: what the run is: kept in the first record. A function is called, and the record written, by
            :meth:`describe`.
        listed: says how many documents the corpus has, once that is known.

    Attributes:
        rows: how many rows count.
        foreign: Parquet files in the folder that no run has written, as they were when it was reopened.
        leavings: what couldn't be tidied up when it was closed, a line each.

    Raises:
        OutputError: the folder holds something, isn't a folder, can't be written, or another driver is at it.
    """

    _fs: Any
    _path: str
    _lock: Lock | None = None
    _journal: Journal | None = None
    _made = False
    _header: Record | Callable[[], Record] | None = None
    foreign: Sequence[str] = ()

    def __init__(
        self,
        folder: str,
        header: Record | Callable[[], Record],
        *,
        listed: Callable[[], int | None] = lambda: None,
    ) -> None:
        self._open(folder)
        self.contents = Contents()
        self._header = header
        try:
            refuse_used(folder)
            self._refuse_missing_bucket()
            self._made = not self._fs.exists(self._path)
            self._fs.makedirs(f"{self._path}/{FOLDER}", exist_ok=True)
            self._take()
            refuse_used(folder)  # another driver may have come and gone
            if not callable(header):
                self.describe()
        except BaseException as error:
            self.release()
            if isinstance(error, OutputError) or not isinstance(error, Exception):
                raise
            raise OutputError(  # a file system raises what it likes
                f"output {folder} can't be written: {one_line(error)}. Choose another folder."
            ) from error
        self.rows = 0
        self.listed = listed

    @classmethod
    def reopen(cls, folder: str) -> Manifest:
        """The manifest of a folder that an earlier run wrote to, to go on with it.

        Parts that are missing or not of their size no longer count; orphans are removed.

        Raises:
            OutputError: there is none, it can't be written, or another driver is at it.
        """
        self = cls.__new__(cls)
        self._open(folder)
        try:
            self._take()
            self.contents = read_manifest(folder)
            self._sift()
        except BaseException as error:
            self.release()
            if isinstance(error, OutputError) or not isinstance(error, Exception):
                raise
            raise OutputError(f"output {folder} can't be used: {one_line(error)}.") from error
        self.rows = self.contents.rows
        self.listed = lambda: None
        return self

    def describe(self) -> None:
        """Write the first record, unless that is done: parts may be on their way, and nothing counts before.

        Raises:
            OutputError: it can't be written.
        """
        with self._describing:
            header = self._header
            if header is not None:
                self.contents.header = header() if callable(header) else header
                self._append([{"format": _FORMAT, **self.contents.header}])
                self._header = None

    @property
    def described(self) -> bool:
        """Whether the first record is written."""
        return self._header is None

    def begin(self, record: Record) -> None:
        """Record that another run goes on with the folder."""
        self._append([record])

    def commit(self, parts: Sequence[Part]) -> None:
        """Make parts count, durably.

        Raises:
            OutputError: the manifest can't be written; what was committed before stays.
        """
        records: list[Record] = [{"part": p.name, "rows": p.rows, "size_bytes": p.size_bytes} for p in parts]
        if not records:
            return
        self.describe()
        listed = self.listed()
        if listed is not None and listed != self.contents.listed:
            self.contents.listed = listed
            records.append({"listed": listed})
        self._append(records)
        self.rows += sum(p.rows for p in parts)

    def lose(self, names: Iterable[str]) -> None:
        """Parts that can't be read no longer count; their documents are to be done again."""
        lost = sorted(names)
        if not lost:
            return
        self._append([{"lost": lost}])
        for name in lost:
            del self.contents.parts[name]
            with contextlib.suppress(FileNotFoundError):
                self._fs.rm_file(f"{self._path}/{name}")
        self.rows = self.contents.rows

    def rewrite(self, name: str, data: bytes) -> None:
        """Put other rows for the same documents in a part's place, at once and for good.

        The part's name holds the old file or the new one at each moment, and the manifest knows the sizes of
        both before it is replaced: whoever reads the folder finds each document once, whenever this dies.

        Raises:
            OutputError: it can't be written; the old file stays.
        """
        try:
            if self._local:
                fresh = f"{self._path}/{FOLDER}/{name}.new"
                _write_synced(fresh, data)
                self._append([{"rewriting": name, "size_bytes": len(data)}])
                os.replace(fresh, f"{self._path}/{name}")
            else:
                self._append([{"rewriting": name, "size_bytes": len(data)}])
                self._fs.pipe_file(f"{self._path}/{name}", data)
        except OSError as error:
            raise OutputError(f"output {self.folder} can't be written: {one_line(error)}") from error

    def read_ids(self, record: Record) -> list[tuple[str, int]]:
        """Document and position of each row of a part.

        Raises:
            OSError, ValueError: it can't be read, or holds another number of rows.
        """
        table = self.read_part(record["part"], ["document", "position"])
        if table.num_rows != record["rows"]:
            raise ValueError(f"{record['part']} has {table.num_rows} rows, not {record['rows']}")
        documents, positions = (column.to_pylist() for column in table.columns)
        return list(zip(map(url_of, documents), positions, strict=True))

    def read_part(self, name: str, columns: list[str] | None = None) -> Any:
        """A part, or some columns of it, as an Arrow table."""
        return read_part(self._fs, f"{self._path}/{name}", columns)

    def make_aside(self, folder: str) -> None:
        """Make a folder below ``_dataflow`` in which rows wait for their place."""
        self._fs.makedirs(self._fs._strip_protocol(folder), exist_ok=True)

    def take_aside(self, folder: str, name: str) -> Any:
        """A file that lies aside, as an Arrow table; it is removed with its folder."""
        try:
            return read_part(self._fs, f"{self._fs._strip_protocol(folder)}/{name}")
        except (OSError, ValueError) as error:
            raise OutputError(f"{folder}/{name} can't be read: {one_line(error)}.") from error

    def leave_aside(self, folder: str) -> None:
        """Remove such a folder."""
        with contextlib.suppress(OSError):  # else whoever opens the manifest next removes it
            self._fs.rm(self._fs._strip_protocol(folder), recursive=True)

    def finish(self, *, complete: bool) -> int:
        """Remove orphans, close, and give up the lock; returns how many orphans there were.

        A folder that was made for this run and in which nothing counts is removed with all that is in it. A run that
        was broken off waits for no store that doesn't answer: perhaps it was broken off for that.

        Raises:
            OutputError: the folder can't be written, and the run was complete but for that.
        """
        if complete or self._local:
            return self._tidied(complete)
        orphans: list[int] = []
        tidying = threading.Thread(target=lambda: orphans.append(self._tidied(complete)), daemon=True)
        tidying.start()
        tidying.join(_TIDYING_SECONDS)
        if tidying.is_alive():
            self.leavings.append(
                f"output {self.folder} doesn't answer: what is left there is for --resume to tidy up"
            )
        return sum(orphans)

    def _tidied(self, complete: bool) -> int:
        try:
            return self._finish(complete)
        except Exception as error:
            if complete:
                raise OutputError(f"output {self.folder} can't be written: {one_line(error)}") from error
            return 0  # why the run ended is being told already; the next one removes the orphans
        finally:
            self.release()

    def release(self) -> None:
        """Close without a word: what was committed stays."""
        if self._journal:
            self._journal.close()
        lock, self._lock = self._lock, None
        try:
            if lock:
                lock.release()
        except OutputError as error:  # what is in the folder is as it should be
            self.leavings.append(str(error))

    def _open(self, folder: str) -> None:
        """Find the folder, and touch nothing."""
        from fsspec.core import url_to_fs

        self.folder = folder
        self.leavings: list[str] = []
        self._describing = threading.Lock()
        try:
            self._fs, self._path = url_to_fs(folder)
        except Exception as error:
            raise OutputError(
                f"output {folder} can't be used: {one_line(error)}. Choose another folder."
            ) from error
        self._local = "file" in _protocols(self._fs)

    def _refuse_missing_bucket(self) -> None:
        bucket = self._path.partition("/")[0]
        if _STORES_OF_BUCKETS.intersection(_protocols(self._fs)) and not self._fs.exists(bucket):
            raise OutputError(
                f"output {self.folder} can't be written: there is no bucket {bucket}, or you may not see it. "
                "Check its name, or create it."
            )

    def _take(self) -> None:
        self._lock = take_lock(self._fs, f"{self._path}/{FOLDER}", local=self._local, shown=self.folder)
        self._journal = FileJournal(self._path) if self._local else ObjectJournal(self._fs, self._path)

    def _sift(self) -> None:
        """Drop what isn't there whole, and remove what doesn't count."""
        found = listing(self._fs, self._path)
        self.foreign = sorted(n for n in found if n.endswith(".parquet") and not is_part(n))
        parts = self.contents.parts
        self.lose([n for n, p in parts.items() if n not in found or found[n] not in (None, *p["sizes"])])
        self._remove_orphans(found)

    def _remove_orphans(self, found: Iterable[str]) -> int:
        orphans = [n for n in found if is_part(n) and n not in self.contents.parts]
        for name in orphans:
            with contextlib.suppress(FileNotFoundError):
                self._fs.rm_file(f"{self._path}/{name}")
        self._remove_leavings()
        return len(orphans)

    def _remove_leavings(self) -> None:
        """What a replay that died left aside."""
        for entry in self._fs.ls(f"{self._path}/{FOLDER}", detail=True):
            name = os.path.basename(entry["name"].rstrip("/"))
            if name.endswith(".new"):
                self._fs.rm_file(entry["name"])
            elif name.startswith("replay-"):
                self.leave_aside(entry["name"])

    def _finish(self, complete: bool) -> int:
        # What is on disk counts, and not what was noted here: Ctrl-C may have come between the two.
        assert self._journal is not None
        self.describe()
        self._journal.mend()
        self.contents = read_manifest(self.folder)
        self.rows = self.contents.rows
        orphans = self._remove_orphans(listing(self._fs, self._path))
        if not complete and not self.rows:
            self._remove()
            return orphans
        record: Record = {"complete": complete, "rows": self.rows, "ended": time.time()}
        listed = self.listed()
        self._append([record if listed is None else {**record, "listed": listed}])
        return orphans

    def _append(self, records: list[Record]) -> None:
        assert self._journal is not None
        try:
            self._journal.append(records)
        except Gone as error:
            raise OutputError(
                f"the manifest of {self.folder} is gone: {one_line(error)}. Nothing can go on with that folder: "
                "name another one.",
                lost=True,
            ) from error
        except Exception as error:
            raise OutputError(f"output {self.folder} can't be written: {one_line(error)}") from error

    def _remove(self) -> None:
        """The manifest goes last of what is in the folder: whoever dies before that has left a run to go on with."""
        self.release()
        self._fs.rm(f"{self._path}/{FOLDER}", recursive=True)
        if self._made and self._local:  # in an object store a folder goes with what was in it
            os.rmdir(self._path)


def _write_synced(path: str, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _protocols(filesystem: Any) -> tuple[str, ...]:
    protocol = filesystem.protocol
    return (protocol,) if isinstance(protocol, str) else tuple(protocol)
