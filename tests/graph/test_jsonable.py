"""Values of the types that stages give are JSON in a column that has no type of its own."""

import dataclasses
import datetime
import decimal
import enum
import json
import pathlib
import types
import uuid
from collections import deque
from typing import TypedDict

import attrs
import numpy as np
import pandas as pd
import pydantic
import pytest

from dataflow import run
from dataflow.graph.jsonable import plain_of


class Color(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: int = 1
    when: datetime.date = datetime.date(2020, 1, 2)


@attrs.define
class Size:
    width: int = 3


class Model(pydantic.BaseModel):
    name: str = "a"
    at: datetime.datetime = datetime.datetime(2020, 1, 2, 3)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (datetime.date(2020, 1, 2), "2020-01-02"),
        (datetime.datetime(2020, 1, 2, 3, tzinfo=datetime.UTC), "2020-01-02T03:00:00+00:00"),
        (datetime.time(1, 2), "01:02:00"),
        (datetime.timedelta(minutes=1.5), 90.0),
        (decimal.Decimal("1.50"), "1.50"),
        (pathlib.PurePosixPath("a/b"), "a/b"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Color.RED, "red"),
        ({3, 1, 2}, [1, 2, 3]),
        (frozenset(["a", 1]), ["a", 1]),
        (types.MappingProxyType({"a": 1}), {"a": 1}),
        (deque([1]), [1]),
        (Point(), {"x": 1, "when": "2020-01-02"}),
        (Size(), {"width": 3}),
        (Model(), {"name": "a", "at": "2020-01-02T03:00:00"}),
        (np.array([[1.5]]), [[1.5]]),
        (np.int64(4), 4),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_is_written_as_json_has_it(value, said):
    assert json.loads(json.dumps([value], default=plain_of)) == [said]


@pytest.mark.parametrize(
    "value", [object(), b"bytes", Point, len], ids=["object", "bytes", "class", "function"]
)
def test_what_is_no_such_value_is_none(value):
    with pytest.raises(TypeError, match="is not JSON serializable"):
        json.dumps(value, default=plain_of)


class Row(TypedDict):
    when: datetime.date
    points: list[Point]
    mixed: dict


def row(data: bytes) -> Row:
    return Row(when=datetime.date(2020, 1, 2), points=[Point()], mixed={1: "a", "b": 2})


def models(data: bytes) -> list[Model]:
    return [Model()]


def test_a_stage_may_give_what_its_annotation_says(write_corpus, tmp_path):
    folder = write_corpus("one")
    for name, stage in {"row": row, "models": models}.items():
        assert [o.error for o in run(stage, folder, cluster="inline", output=tmp_path / name)] == [None]
    (found,) = pd.read_parquet(tmp_path / "row").to_dict("records")
    assert found["when"] == '"2020-01-02"'
    assert json.loads(found["points"]) == [{"x": 1, "when": "2020-01-02"}]
    assert json.loads(found["mixed"]) == {"1": "a", "b": 2}
    assert json.loads(pd.read_parquet(tmp_path / "models").value[0]) == [
        {"name": "a", "at": "2020-01-02T03:00:00"}
    ]
