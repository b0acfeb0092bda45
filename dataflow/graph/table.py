"""The output's table: which columns a pipeline's value becomes, and how a part of it is written.

The value's columns follow from the last stage's return annotation: a ``TypedDict`` or dataclass becomes a
column a field, ``str`` becomes ``text`` and ``list[str]`` ``chunks`` (both with ``characters``), and any
other type a column ``value``; an ``Iterator`` counts as the list of its pieces. A type with no Arrow
counterpart is written as JSON.
"""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import json
import types
import typing
import uuid
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import NoneType
from typing import TYPE_CHECKING, Any

from dataflow.document import as_texts
from dataflow.graph.columns import column
from dataflow.graph.jsonable import plain_of
from dataflow.graph.patience import patiently
from dataflow.outcome import Outcome, Outcomes

if TYPE_CHECKING:
    import pyarrow as pa

    from dataflow.pipeline import Pipeline

__all__ = ["Sink", "load_writer", "part_table", "remove_part", "sink_for", "write_part", "write_table"]

_BASE: tuple[tuple[str, str, str], ...] = (
    ("document", "string", "URL or path of the document"),
    ("position", "int64", "its place in the corpus, from 0"),
    ("media_type", "string", "guessed from the name"),
    ("size_bytes", "int64", "bytes"),
    ("status", "string", "ok, failed or quarantined"),
    (
        "error_type",
        "string",
        "the exception's class, or WorkerDied, TimeLimit, MemoryLimit, TooManyOpenFiles",
    ),
    ("error", "string", "one line that names the cause"),
    ("attempts", "int64", "how often the document was begun"),
    ("cache", "string", "the tier that answered; null where it was computed"),
    ("seconds", "float64", "wall seconds spent on the document"),
)
_CHARACTERS = ("characters", "int64", "")
_SCALARS: dict[Any, str] = {str: "string", bytes: "binary", int: "int64", float: "float64", bool: "bool"}


@dataclass(frozen=True)
class Sink:
    """Where rows go and which columns the value becomes.

    Attributes:
        folder: path or URL of the output folder.
        columns: name, Arrow type as text (see ``_arrow``) and source field of each value column; a ``?`` at
            the field's end says that it may be missing.
        shape: how a value becomes them: ``fields``, ``text``, ``chunks`` or ``value``.
    """

    folder: str
    columns: tuple[tuple[str, str, str], ...]
    shape: str

    def schema(self) -> pa.Schema:
        """The Arrow schema of every part, with a description on each column."""
        import pyarrow as pa

        fields = [pa.field(n, _arrow(t), metadata={"description": d}) for n, t, d in _BASE]
        fields += [pa.field(n, _arrow(t)) for n, t, _ in self.columns]
        return pa.schema(fields)


def sink_for(pipeline: Pipeline, folder: str) -> Sink:
    """The sink that fits a pipeline's last stage."""
    returns = pipeline.stages[-1].returns
    fields = _fields(returns)
    if fields is not None:
        optional: frozenset[str] = getattr(returns, "__optional_keys__", frozenset())
        columns = (
            (_column_name(n, fields), _type_name(t), f"{n}?" if n in optional else n)
            for n, t in fields.items()
        )
        return Sink(folder, tuple(columns), "fields")
    kind = _type_name(returns)
    if kind == "string":
        return Sink(folder, (_CHARACTERS, ("text", kind, "")), "text")
    if kind == "list<string>":
        return Sink(folder, (_CHARACTERS, ("chunks", kind, "")), "chunks")
    return Sink(folder, (("value", kind, ""),), "value")


def _column_name(field: str, fields: Collection[str]) -> str:
    """The field's name, or one that neither a column of every part has nor another field."""
    name, taken = field, {name for name, _, _ in _BASE}
    while name in taken or (name != field and name in fields):
        name = f"value_{name}"
    return name


def load_writer() -> None:
    """Import what writing a part needs."""
    import pyarrow.parquet  # noqa: F401


def write_part(sink: Sink, batch: int, outcomes: Sequence[Outcome], values: Sequence[Any]) -> tuple[str, int]:
    """Write a batch's rows as one Parquet file under a name that no other attempt has.

    Args:
        sink: where, and which columns.
        batch: the batch's number, for the name.
        outcomes: one a document.
        values: the pipeline's results, aligned; ``None`` where there is none.

    Returns:
        The file's name in the folder and its size in bytes.

    Raises:
        OSError: the file can't be written.
        TypeError, ValueError, pyarrow.ArrowException: a value doesn't fit its column.
    """
    return write_table(sink, batch, part_table(sink, outcomes, values))


def write_table(sink: Sink, batch: int, table: pa.Table) -> tuple[str, int]:
    """As :func:`write_part`, of rows that :func:`part_table` has made."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer, compression="zstd", use_dictionary=["media_type", "status", "error_type"])
    data = buffer.getvalue()

    def write() -> str:
        # Each attempt has a name of its own: what an earlier one left half-written is an orphan.
        name = f"part-{batch:08d}-{uuid.uuid4().hex[:12]}.parquet"
        with _created(sink.folder, name) as file:
            file.write(data)
        return name

    return patiently(write), int(data.size)


def _created(folder: str, name: str) -> Any:
    if "://" not in folder:  # what fsspec would do, whose import takes longer than writing a part
        return open(f"{folder}/{name}", "wb")
    from fsspec.core import url_to_fs

    filesystem, path = url_to_fs(folder)
    return filesystem.open(f"{path}/{name}", "wb")


def remove_part(sink: Sink, name: str) -> None:
    """Take back a part for which nobody waits any more; what can't be removed is left for the next run."""
    from fsspec.core import url_to_fs

    filesystem, path = url_to_fs(sink.folder)
    with contextlib.suppress(Exception):  # a file system raises what it likes
        filesystem.rm_file(f"{path}/{name}")


def part_table(sink: Sink, outcomes: Sequence[Outcome], values: Sequence[Any]) -> pa.Table:
    """The rows of a part.

    Raises:
        TypeError, ValueError, pyarrow.ArrowException: a value doesn't fit its column.
    """
    import pyarrow as pa

    if not isinstance(outcomes, Outcomes):
        outcomes = Outcomes(outcomes)
    schema = sink.schema()
    columns = [_base_column(outcomes, name) for name, _, _ in _BASE]
    columns += _value_columns(sink, values)
    arrays = [column(c, f.type) for c, f in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)


def fits(sink: Sink, value: Any) -> str | None:
    """Why a value doesn't fit the sink's columns, in one line; ``None`` when it does."""
    try:
        for (_, kind, _), values in zip(sink.columns, _value_columns(sink, [value]), strict=True):
            column(values, _arrow(kind))
    except Exception as error:  # a value's own code may raise anything
        return " ".join(f"the value doesn't fit the last stage's return annotation: {error}".split())
    return None


def _base_column(outcomes: Outcomes, name: str) -> Sequence[Any]:
    found = outcomes.column(name)
    return as_texts(found) if name == "document" else found


def _value_columns(sink: Sink, values: Sequence[Any]) -> list[Sequence[Any]]:
    if sink.shape == "fields":
        return [_cells(_fields_of(values, source), kind) for _, kind, source in sink.columns]
    cells = _cells(values, sink.columns[-1][1])
    if sink.shape == "value":
        return [cells]
    measure: Callable[[Any], int] = len if sink.shape == "text" else (lambda v: sum(map(len, v)))
    return [[None if v is None else measure(v) for v in values], cells]


def _fields_of(values: Sequence[Any], name: str) -> list[Any]:
    if set(map(type, values)) <= {dict, NoneType} and not name.endswith("?"):
        with contextlib.suppress(KeyError):  # which is said below
            return [None if v is None else v[name] for v in values]
    return [_field(v, name) for v in values]


def _field(value: Any, name: str) -> Any:
    if value is None:
        return None
    if not isinstance(value, Mapping):
        return getattr(value, name)
    if name.endswith("?"):
        return value.get(name[:-1])
    if name not in value:
        raise ValueError(f"field {name!r} is missing")
    return value[name]


def _cells(values: Sequence[Any], kind: str) -> Sequence[Any]:
    return [_cell(v) for v in values] if kind == "json" else values


def _cell(value: Any) -> str | None:
    if value is None:
        return None
    try:
        return json.dumps(value, ensure_ascii=False, sort_keys=True, default=plain_of)
    except TypeError:  # its keys are of several types, which have no order
        return json.dumps(value, ensure_ascii=False, default=plain_of)


def _fields(annotation: Any) -> dict[str, Any] | None:
    """Name and type of each field of a ``TypedDict`` or dataclass; ``None`` for other types."""
    if typing.is_typeddict(annotation) or (
        inspect.isclass(annotation) and dataclasses.is_dataclass(annotation)
    ):
        try:
            return typing.get_type_hints(annotation)
        except NameError:
            return None
    return None


def _type_name(annotation: Any) -> str:
    """The Arrow type of an annotation as text: ``string``, ``list<int64>``; ``json`` where there is none."""
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        some = [a for a in args if a is not type(None)]
        return _type_name(some[0]) if len(some) == 1 else "json"
    if origin in (typing.NotRequired, typing.Required, typing.Annotated):
        return _type_name(args[0])
    if (
        origin in (list, Sequence, tuple, Iterator, Generator)
        and args
        and (origin is not tuple or args[1:] == (...,))
    ):
        inner = _type_name(args[0])
        return "json" if inner == "json" else f"list<{inner}>"
    return _SCALARS.get(annotation, "json")


def _arrow(name: str) -> pa.DataType:
    import pyarrow as pa

    if name.startswith("list<"):
        return pa.list_(_arrow(name[5:-1]))
    simple = {"json": "string", "float64": "double"}.get(name, name)
    return pa.type_for_alias(simple)
