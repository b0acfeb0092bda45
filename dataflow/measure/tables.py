"""A run's folder: tables written after each trial, atomically, and read back.

A table on the disk is always whole. To add a trial, the old file is copied row group by row group into a
temporary file, the new rows follow, and the temporary file takes the old one's place. So nothing but the
rows of the trial under way is held in memory: a driver that grew from trial to trial would falsify the
memory it measures. The copy costs about 0.7 s per million rows, which is far less than it takes to
process a million documents.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataflow.errors import ResultsError, one_line
from dataflow.measure.schemas import TABLES, schema

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "TABLES",
    "ResultsFolder",
    "check_results",
    "latest",
    "read_results",
    "read_run",
    "replace_table",
    "schema",
    "write_text",
]

_ROW_GROUP = 32_768
# trials last: whoever sees a trial there finds its rows in the other tables.
_ORDER = sorted(TABLES, key=lambda name: name == "trials")


class ResultsFolder:
    """One run's folder, open for writing. Made by :meth:`create`.

    Attributes:
        path: the folder.
        run_id: its name, and the ``run_id`` of every row.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.run_id = self.path.name
        self._new: dict[str, list[pa.Table]] = {}

    @classmethod
    def create(
        cls, root: str | os.PathLike[str] = "results", workload: str = "workload", cluster: str = "local"
    ) -> ResultsFolder:
        """Make ``root/<UTC time>-<workload>-<cluster>/``, under a name that no other run has.

        Args:
            root: made if it isn't there.
            workload: the workload's name, or the path of its file.
            cluster: the cluster's name, or its address.

        Raises:
            ResultsError: the folder can't be made.
        """
        now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        name = f"{now}-{_slug(Path(workload).stem)}-{_slug(cluster)}"
        try:
            Path(root).mkdir(parents=True, exist_ok=True)
            for folder in _candidates(Path(root) / name):
                with contextlib.suppress(FileExistsError):
                    folder.mkdir()
                    return cls(folder)
        except OSError as error:
            raise _unwritable(root, error) from error
        raise AssertionError("unreachable: candidates never end")

    def append(self, table: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Take rows for a table; they are on the disk after :meth:`save`.

        Args:
            table: its name, such as ``trials``.
            rows: values by column. A column left out is null; ``run_id`` is filled in.

        Raises:
            ResultsError: no such table or column, a row without its trial, or a value of another type.
        """
        if table not in TABLES:
            raise ResultsError(f"no table is called {table!r}; there are {', '.join(TABLES)}.")
        taken = [{**row, "run_id": self.run_id} for row in rows]
        if taken:
            self._new.setdefault(table, []).append(_arrow_table(table, taken))

    def save(self) -> None:
        """Put what was appended on the disk: each table atomically, ``trials`` last.

        Raises:
            ResultsError: a file can't be written; what was there before stays.
        """
        for table in _ORDER:
            if table in self._new:
                self._extend(table, self._new[table])
                del self._new[table]

    def write_json(self, name: str, data: Any) -> Path:
        """Write a JSON file into the folder, atomically. What JSON doesn't know is written as text.

        Raises:
            ResultsError: it can't be written.
        """
        return write_text(self.path / name, json.dumps(data, indent=2, default=str) + "\n")

    def _extend(self, table: str, new: list[pa.Table]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = self.path / f"{table}.parquet"
        try:
            with (
                _replacing(path) as part,
                pq.ParquetWriter(part, schema(table), compression="zstd") as writer,
            ):
                old = pq.ParquetFile(path).iter_batches(_ROW_GROUP) if path.exists() else iter(())
                fresh = (batch for rows in new for batch in rows.to_batches())
                for batches in _row_groups(old, fresh):
                    writer.write_table(pa.Table.from_batches(batches, schema(table)))
        except (OSError, pa.ArrowException) as error:
            raise _unwritable(path, error) from error
        finally:
            pa.default_memory_pool().release_unused()


def read_results(folder: str | os.PathLike[str]) -> dict[str, pa.Table]:
    """Every table of a run, by name; a table that the run didn't leave is empty.

    Columns of the schema that an older file lacks are null.

    Raises:
        ResultsError: no such folder, no trial in it, or a file that can't be read.
    """
    path = Path(folder)
    if not path.is_dir():
        raise ResultsError(f"{path} isn't a folder of results: name one that `dataflow bench` left.")
    tables = {name: _read_table(path / f"{name}.parquet", name) for name in TABLES}
    if not tables["trials"].num_rows:
        raise ResultsError(f"{path} holds no trial: its run ended before the first one. Name another.")
    return tables


def read_run(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """What ``run.json`` says; empty where there is none, since a run may end before it is written.

    Raises:
        ResultsError: it can't be read.
    """
    path = Path(folder) / "run.json"
    try:
        data = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ResultsError(f"{path} can't be read: {one_line(error)}. Remove it, or run again.") from error
    return data if isinstance(data, dict) else {"run": data}


def replace_table(folder: str | os.PathLike[str], table: str, rows: Iterable[Mapping[str, Any]]) -> Path:
    """Write a whole table of a run anew, atomically; ``run_id`` is filled in.

    Raises:
        ResultsError: no such column, a value of another type, or the file can't be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = Path(folder) / f"{table}.parquet"
    run_id = Path(folder).resolve().name
    new = _arrow_table(table, [{**row, "run_id": run_id} for row in rows])
    try:
        with _replacing(path) as part:
            pq.write_table(new, part, compression="zstd")
    except (OSError, pa.ArrowException) as error:
        raise _unwritable(path, error) from error
    return path


def latest(root: str | os.PathLike[str] = "results") -> Path:
    """The folder of the newest run that has a trial.

    Raises:
        ResultsError: there is none.
    """
    found = [path.parent for path in Path(root).glob("*/trials.parquet")]
    if not found:
        raise ResultsError(f"{Path(root)} holds no run yet: `dataflow bench` makes one.")
    # A name begins with the time in seconds; within one second the folder's own time decides.
    return max(found, key=lambda path: (path.name.partition("-")[0], path.stat().st_mtime_ns))


def check_results(root: str | os.PathLike[str]) -> None:
    """Find out whether runs can be written below a folder, which is made if it isn't there.

    Raises:
        ResultsError: they can't.
    """
    try:
        Path(root).mkdir(parents=True, exist_ok=True)
        writable = os.access(root, os.W_OK | os.X_OK)
    except OSError as error:
        raise ResultsError(
            f"results can't be written to {root}: {one_line(error)}. Name another folder."
        ) from error
    if not writable:
        raise ResultsError(f"results can't be written to {root}: it is read-only. Name another folder.")


def write_text(path: Path, text: str) -> Path:
    """Write a UTF-8 file atomically, and the folder it lies in; what UTF-8 can't hold is escaped.

    Raises:
        ResultsError: it can't be written.
    """
    try:
        path.parent.mkdir(exist_ok=True)
        with _replacing(path) as temporary:
            temporary.write_bytes(text.encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise _unwritable(path, error) from error
    return path


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A temporary path that takes the place of ``path`` when the block ends well."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _row_groups(*sources: Iterable[pa.RecordBatch]) -> Iterator[list[pa.RecordBatch]]:
    """Gather batches, so that many small trials don't become many small row groups."""
    group: list[pa.RecordBatch] = []
    for source in sources:
        for batch in source:
            group.append(batch)
            if sum(b.num_rows for b in group) >= _ROW_GROUP:
                yield group
                group = []
    if group:
        yield group


def _arrow_table(table: str, rows: list[dict[str, Any]]) -> pa.Table:
    import pyarrow as pa

    wanted = schema(table)
    unknown = sorted(set().union(*rows) - set(wanted.names))
    if unknown:
        raise ResultsError(f"table {table} has no column {unknown[0]!r}.")
    if "trial" in wanted.names and any(row.get("trial") is None for row in rows):
        raise ResultsError(f"table {table}: a row doesn't say its trial.")
    columns = []
    for field in wanted:
        try:
            columns.append(pa.array([_encodable(row.get(field.name)) for row in rows], field.type))
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
            raise ResultsError(f"table {table}, column {field.name}: {one_line(error)}") from error
    return pa.Table.from_arrays(columns, schema=wanted)


def _encodable(value: Any) -> Any:
    """File names that aren't UTF-8 hold lone surrogates, which Arrow refuses."""
    if isinstance(value, str) and not value.isascii():
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    return value


def _read_table(path: Path, name: str) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    wanted = schema(name)
    if not path.exists():
        return wanted.empty_table()
    try:
        # partitioning off: a folder called key=value must not become a column
        table = pq.read_table(path, partitioning=None)
        columns = [
            table[f.name].cast(f.type) if f.name in table.column_names else pa.nulls(table.num_rows, f.type)
            for f in wanted
        ]  # fmt: skip
    except (OSError, pa.ArrowException) as error:
        raise ResultsError(
            f"{path} can't be read: {one_line(error, 200)}. Run the benchmark again."
        ) from error
    # An older file may lack a key column; only what is written must hold one.
    return pa.Table.from_arrays(columns, names=wanted.names)


def _candidates(folder: Path) -> Iterator[Path]:
    yield folder
    number = 2
    while True:
        yield folder.with_name(f"{folder.name}-{number}")
        number += 1


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._]+", "-", text).strip("-.")[:60] or "unnamed"


def _unwritable(path: str | os.PathLike[str], error: Exception) -> ResultsError:
    name = os.fspath(path)
    return ResultsError(
        f"{name} can't be written: {one_line(error)}. Free some space, or name another folder."
    )
