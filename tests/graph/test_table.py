import dataclasses
import subprocess
import sys
from typing import TypedDict

import pandas as pd
import pytest

from dataflow import Pipeline
from dataflow.graph.table import fits, sink_for, write_part
from dataflow.outcome import Outcome


class Fields(TypedDict):
    characters: int
    chunks: list[str]
    status: str


@dataclasses.dataclass
class Point:
    x: float
    y: int | None


class Namesakes(TypedDict):
    document: str
    value_document: int


def fields(data: bytes) -> Fields: ...
def namesakes(data: bytes) -> Namesakes: ...
def text(data: bytes) -> str: ...
def chunks(data: bytes) -> list[str]: ...
def vectors(data: bytes) -> list[list[float]]: ...
def point(data: bytes) -> Point: ...
def anything(data: bytes): ...
def perhaps(data: bytes) -> bytes | None: ...


def outcome(name="a.txt", status="ok"):
    return Outcome(name, "text/plain", 1, status, None, None)


def written(function, folder, *values):
    sink = sink_for(Pipeline(function), str(folder))
    write_part(sink, 1, [outcome(str(i)) for i in range(len(values))], list(values))
    return pd.read_parquet(folder)


@pytest.mark.parametrize(
    ("function", "columns"),
    [
        (fields, [("characters", "int64"), ("chunks", "list<string>"), ("value_status", "string")]),
        (namesakes, [("value_value_document", "string"), ("value_document", "int64")]),
        (text, [("characters", "int64"), ("text", "string")]),
        (chunks, [("characters", "int64"), ("chunks", "list<string>")]),
        (vectors, [("value", "list<list<float64>>")]),
        (point, [("x", "float64"), ("y", "int64")]),
        (perhaps, [("value", "binary")]),
        (anything, [("value", "json")]),
    ],
)
def test_the_columns_follow_from_what_the_last_stage_returns(function, columns):
    assert [c[:2] for c in sink_for(Pipeline(function), "out").columns] == columns


def test_every_row_has_the_columns_that_are_promised(tmp_path):
    table = written(chunks, tmp_path, ["ab", "c"])
    promised = {"document", "media_type", "size_bytes", "status", "error_type", "error", "attempts"}
    assert promised | {"characters", "chunks"} <= set(table.columns)
    assert (table.characters[0], list(table.chunks[0])) == (3, ["ab", "c"])


def test_a_document_without_a_value_has_nulls(tmp_path):
    table = written(text, tmp_path, "abc", None)
    assert table.text.tolist()[0] == "abc"
    assert table.text.isna().tolist() == [False, True]


def test_a_type_that_arrow_does_not_know_is_written_as_json(tmp_path):
    assert written(anything, tmp_path, {"b": [1, "é"]}).value.tolist() == ['{"b": [1, "é"]}']


def test_a_dataclass_becomes_a_column_a_field(tmp_path):
    assert written(point, tmp_path, Point(1.5, None)).x.tolist() == [1.5]


def test_no_two_attempts_at_a_batch_share_a_file(tmp_path):
    written(text, tmp_path, "a")
    assert len(written(text, tmp_path, "a")) == 2


def test_a_value_that_does_not_fit_its_column_says_so():
    sink = sink_for(Pipeline(chunks), "out")
    assert fits(sink, ["a"]) is None
    assert "return annotation" in fits(sink, [1])
    assert "return annotation" in fits(sink, ["\ud800"])
    assert "return annotation" in fits(sink_for(Pipeline(fields), "out"), {"characters": 1})


def test_a_name_that_is_no_utf8_is_written_escaped(tmp_path):
    sink = sink_for(Pipeline(text), str(tmp_path))
    write_part(sink, 1, [outcome("caf\udce9.txt")], ["x"])
    assert pd.read_parquet(tmp_path).document.tolist() == ["caf\\udce9.txt"]


def test_a_writer_that_is_loaded_imports_nothing_when_the_first_part_is_written(tmp_path):
    # Half a second of a first batch, on every worker: Arrow's first array imports pandas.
    program = f"""
import sys
from dataflow import Outcome, Pipeline
from dataflow.graph.table import load_writer, sink_for, write_part
def words(text: bytes) -> int: return 1
load_writer()
before = set(sys.modules)
write_part(sink_for(Pipeline(words), {str(tmp_path)!r}), 0, [Outcome("a", "text/plain", 1, "ok")], [1])
print(sorted(m for m in set(sys.modules) - before if m.partition(".")[0] in ("pandas", "numpy", "pyarrow")))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
