"""Columns of plain values: equal to Arrow's own conversion, without what that imports."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as some

from dataflow.graph.columns import column

TEXT = pa.string()
INTEGERS = some.none() | some.integers(-(2**63), 2**63 - 1)
FLOATS = some.none() | some.floats()
TEXTS = some.none() | some.text(some.characters(exclude_categories=("Cs",)))
SCALARS = (
    (TEXT, TEXTS),
    (pa.int64(), INTEGERS),
    (pa.float64(), FLOATS),
    (pa.bool_(), some.none() | some.booleans()),
)


def columns() -> Any:
    """A type, and values that fit it: scalars, lists of them, and lists of these."""

    def of(pair: tuple[pa.DataType, Any]) -> Any:
        kind, values = pair
        lists = some.none() | some.lists(values)
        depths = (
            (kind, values),
            (pa.list_(kind), lists),
            (pa.list_(pa.list_(kind)), some.none() | some.lists(lists)),
        )
        return some.sampled_from(depths).flatmap(lambda d: some.tuples(some.just(d[0]), some.lists(d[1])))

    return some.sampled_from(SCALARS).flatmap(of)


@given(columns())
def test_a_column_is_what_arrow_would_have_made(drawn: tuple[pa.DataType, list[Any]]) -> None:
    kind, values = drawn
    made = column(values, kind)
    made.validate(full=True)
    # Compared by what it prints: a float that isn't a number equals nothing.
    assert (made.type, repr(made.to_pylist())) == (kind, repr(pa.array(values, type=kind).to_pylist()))


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (pa.int64(), ["one"]),
        (pa.int64(), [2**63]),
        (pa.float64(), ["x"]),
        (TEXT, [1]),
        (TEXT, ["\ud800"]),
        (pa.list_(TEXT), [[1]]),
        (pa.list_(TEXT), [["a"], 3]),
    ],
    ids=str,
)
def test_a_value_that_does_not_fit_is_refused_as_arrow_refuses_it(
    kind: pa.DataType, values: list[Any]
) -> None:
    with pytest.raises((TypeError, ValueError, OverflowError, pa.ArrowException)):
        pa.array(values, type=kind)
    with pytest.raises((TypeError, ValueError, OverflowError, pa.ArrowException)):
        column(values, kind)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (pa.list_(TEXT), [("a", "b")]),
        (pa.int64(), [1.5]),
        (pa.float64(), [1, 2.5]),
        (pa.binary(), [b"x", None]),
    ],
    ids=str,
)
def test_what_only_arrow_knows_how_to_convert_it_converts(kind: pa.DataType, values: list[Any]) -> None:
    assert column(values, kind).equals(pa.array(values, type=kind))


@pytest.mark.parametrize(
    ("kind", "values", "numbers"),
    [(pa.int64(), [True, 2, None], [1, 2, None]), (pa.list_(pa.int64()), [[False], [3]], [[0], [3]])],
    ids=str,
)
def test_a_truth_value_is_a_number_as_it_is_to_python(
    kind: pa.DataType, values: list[Any], numbers: list[Any]
) -> None:
    assert column(values, kind).equals(pa.array(numbers, type=kind))


class FullBuilder:
    """Takes nothing, and is silent about it, as Arrow's does once an array is full."""

    def append_values(self, values: list[Any]) -> None:
        pass

    def finish(self) -> pa.Array:
        return pa.nulls(0, TEXT)


@pytest.mark.parametrize(("kind", "values"), [(TEXT, ["a", None]), (pa.list_(TEXT), [["a"], None])], ids=str)
def test_text_that_one_array_cannot_hold_is_left_to_arrow(
    monkeypatch: pytest.MonkeyPatch, kind: pa.DataType, values: list[Any]
) -> None:
    monkeypatch.setattr(pa.lib, "StringBuilder", FullBuilder)
    assert column(values, kind).to_pylist() == values


def test_a_part_is_written_without_importing_pandas(tmp_path: Any) -> None:
    script = f"""
import sys
from dataflow.graph.table import Sink, load_writer, write_part
from dataflow.outcome import Outcome

load_writer()
fine = Outcome("a.html", "text/html", 3, "ok")
bad = Outcome("b.html", "text/html", 3, "failed", error_type="ValueError", error="no text")
sink = Sink({str(tmp_path)!r}, (("characters", "int64", ""), ("chunks", "list<string>", "")), "chunks")
write_part(sink, 0, [fine, bad], [["one", "two"], None])
print("pandas" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("False", "")
    assert len(list(tmp_path.glob("part-*.parquet"))) == 1
