"""pandas frames, series and indexes come back exactly as they were, block by block, or are refused."""

from __future__ import annotations

import datetime
import os
import zoneinfo
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import pandas as hpd

from dataflow.memo.base import Entry, Found
from dataflow.memo.codecs import encode_value
from dataflow.memo.dictionary import DictMemo
from dataflow.memo.keys import Uncacheable
from dataflow.memo.lru import LruMemo

MEMOS = {"dict": DictMemo(), "lru": LruMemo(2**24)}
N = 4


def sealed(value: Any, memo: Any) -> Any:
    """What a memo gives back; an ellipsis where it keeps nothing."""
    key = os.urandom(20)
    if not memo.store([Entry(key, value, 0.0)]):
        return ...
    (answer,) = memo.lookup([key])
    assert isinstance(answer, Found)
    return answer.value


def assert_same(one: Any, other: Any) -> None:
    """To the dtype, the blocks, the frequency and the names."""
    assert type(one) is type(other)
    if isinstance(one, pd.DataFrame):
        pd.testing.assert_frame_equal(one, other, check_exact=True, check_freq=True, check_column_type=True)
        told = [[(b.dtype, list(b.mgr_locs), layout(b.values)) for b in f._mgr.blocks] for f in (one, other)]
        assert told[0] == told[1]
        assert_same(one.columns, other.columns)
    elif isinstance(one, pd.Series):
        pd.testing.assert_series_equal(one, other, check_exact=True, check_freq=True)
        assert type(one.name) is type(other.name)
        assert type(one._values) is type(other._values)
    elif isinstance(one, pd.Index):
        pd.testing.assert_index_equal(one, other, exact=True, check_exact=True)
        assert (one.dtype, list(one.names)) == (other.dtype, list(other.names))
        assert getattr(one, "freq", None) == getattr(other, "freq", None)
    if isinstance(one, pd.DataFrame | pd.Series):
        assert_same(one.index, other.index)
        assert one.attrs == other.attrs
        assert one.flags.allows_duplicate_labels == other.flags.allows_duplicate_labels
        kinds = [[type(v) for v in np.asarray(f, object).ravel()] for f in (one, other)]
        assert kinds[0] == kinds[1]


def layout(values: Any) -> Any:
    return (
        (values.flags.c_contiguous, values.flags.f_contiguous)
        if isinstance(values, np.ndarray)
        else type(values)
    )


ARRAYS: dict[str, Any] = {
    "int": np.arange(N, dtype="i2"),
    "float": np.array([0.1, -0.0, np.nan, np.inf]),
    "float32": np.arange(N, dtype="f4"),
    "bool": np.array([True, False] * 2),
    "complex": np.arange(N) * 1j,
    "object": np.array(["a", None, 1, (1, 2)], object),
    "datetime": pd.date_range("2020-01-01", periods=N)._values,
    "datetime in seconds": np.array(["2020", "NaT", "2021", "1900"], "M8[s]"),
    "timedelta": np.array([1, 2, "NaT", 4], "m8[ms]"),
    "zone": pd.date_range("2020-03-29", periods=N, freq="h", tz="Europe/Berlin")._values,
    "utc": pd.date_range("2020", periods=N, tz="UTC")._values,
    "category": pd.Categorical(["a", "b", None, "a"]),
    "ordered": pd.Categorical(["lo", "hi", "lo", "hi"], ["lo", "mid", "hi"], ordered=True),
    "category of numbers": pd.Categorical([3, 1, 3, 2]),
    "Int64": pd.array([1, None, 3, 4], "Int64"),
    "UInt8": pd.array([1, None, 3, 4], "UInt8"),
    "Float32": pd.array([1.5, None, 3, 4], "Float32"),
    "boolean": pd.array([True, None, False, True], "boolean"),
    "str": pd.array(["a", None, "é", ""], "str"),
    "string": pd.array(["a", None, "é", ""], "string"),
    "string[python]": pd.array(["a", None, "é", ""], "string[python]"),
    "arrow int": pd.array([1, None, 3, 4], "int64[pyarrow]"),
    "arrow text": pd.array(["a", None, "é", ""], pd.ArrowDtype(pa.string())),
    "arrow list": pd.arrays.ArrowExtensionArray(pa.chunked_array([pa.array([[1], None, [], [2, 3]])])),
    "arrow time": pd.arrays.ArrowExtensionArray(
        pa.chunked_array([pa.array([1, None, 3, 4], pa.timestamp("us", "UTC"))])
    ),
    "arrow in pieces": pd.arrays.ArrowExtensionArray(pa.chunked_array([[1, 2], [3, None]])),
    "period": pd.period_range("2020-01", periods=N, freq="M")._values,
    "interval": pd.interval_range(0, N)._values,
    "sparse": pd.arrays.SparseArray([0, 0, 1, 0]),
}
INDEXES: dict[str, Any] = {
    "range": pd.RangeIndex(2, 2 + 3 * N, 3, name="r"),
    "numbers": pd.Index([3, 1, 1, 2], name="n"),
    "floats": pd.Index([0.5, np.nan, -0.0, 1]),
    "text": pd.Index(list("abca"), name=("a", 1)),
    "objects": pd.Index(["a", 1, None, (1, 2)], dtype=object, tupleize_cols=False),
    "dates": pd.date_range("2020", periods=N, freq="2h", name="d"),
    "business days": pd.date_range("2020", periods=N, freq="B"),
    "zone": pd.date_range("2020", periods=N, freq="D", tz="America/New_York"),
    "no frequency": pd.DatetimeIndex(["2020", "2022", "2021", "NaT"]),
    "deltas": pd.timedelta_range("1h", periods=N),
    "categories": pd.CategoricalIndex(list("abca"), ["c", "b", "a"], ordered=True),
    "nullable": pd.Index(pd.array([1, None, 3, 4], "Int64")),
    "arrow": pd.Index(pd.array([1, None, 3, 4], "int64[pyarrow]")),
    "string": pd.Index(pd.array(list("abca"), "string")),
    "multi": pd.MultiIndex.from_product([["a", "b"], [1, 2]], names=["x", None]),
    "multi with gaps": pd.MultiIndex.from_arrays([["a", None, "b", "a"], pd.to_datetime(["2020"] * N)]),
    "multi unused": pd.MultiIndex.from_product([list("abcd"), [1, 2]])[:N],
    "period": pd.period_range("2020-01", periods=N, freq="M"),
    "interval": pd.interval_range(0, N),
}
MAY_BE_REFUSED = {"period", "interval", "sparse", "string[python]"}


@pytest.mark.parametrize("memo", MEMOS)
@pytest.mark.parametrize("name", ARRAYS)
def test_a_series_of_any_kind_comes_back_as_it_was_or_is_refused(name: str, memo: str) -> None:
    value = pd.Series(ARRAYS[name], name=("s", 1))
    value.attrs = {"unit": "m", "nested": [1, (2, "x")]}
    again = sealed(value, MEMOS[memo])
    assert again is not ... or name in MAY_BE_REFUSED
    if again is not ...:
        assert_same(again, value)


@pytest.mark.parametrize("name", INDEXES)
def test_an_index_of_any_kind_comes_back_as_it_was_or_is_refused(name: str) -> None:
    frame = pd.DataFrame({"a": range(N)}, index=INDEXES[name])
    for value in (INDEXES[name], frame, frame.T, pd.Series(range(N), INDEXES[name])):
        again = sealed(value, MEMOS["dict"])
        assert again is not ... or name in MAY_BE_REFUSED
        if again is not ...:
            assert_same(again, value)


def test_the_levels_of_a_multi_index_come_back_unused_ones_included() -> None:
    again = sealed(INDEXES["multi unused"], MEMOS["dict"])
    assert [list(level) for level in again.levels] == [
        list(level) for level in INDEXES["multi unused"].levels
    ]


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_a_frame_of_any_columns_comes_back_as_it_was_or_is_refused(data: st.DataObject) -> None:
    names = data.draw(st.lists(st.sampled_from(sorted(ARRAYS)), max_size=5))
    labels = data.draw(
        st.lists(
            st.sampled_from(["a", "a", "b", 0, 1.5, ("t", 1), None]), min_size=len(names), max_size=len(names)
        )
    )
    columns = [pd.Series(ARRAYS[name]) for name in names]
    frame = pd.concat(columns, axis=1) if columns else pd.DataFrame(index=range(N))
    frame.columns = pd.Index(labels, tupleize_cols=False, dtype=object) if labels else frame.columns
    frame.index = INDEXES[data.draw(st.sampled_from(sorted(INDEXES)))]
    frame.attrs = data.draw(
        st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=3), max_size=2)
    )
    again = sealed(frame, MEMOS[data.draw(st.sampled_from(sorted(MEMOS)))])
    if again is not ...:
        assert_same(again, frame)
    else:
        assert MAY_BE_REFUSED & {
            *names,
            *(n for n, i in INDEXES.items() if i is frame.index or n in MAY_BE_REFUSED),
        }


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(
    hpd.data_frames(
        [hpd.column("i", dtype="i4"), hpd.column("f", dtype=float), hpd.column("b", dtype=bool),
         hpd.column("d", dtype="M8[ns]"), hpd.column("o", elements=st.text(max_size=3), dtype=object)],
        index=hpd.range_indexes(max_size=6),
    )
)  # fmt: skip
def test_frames_of_any_values_come_back_as_they_were(frame: Any) -> None:
    for value in (frame, frame[frame.b], frame.iloc[::-1], frame[["f", "i"]], frame.set_index("o"), frame.f):
        again = sealed(value, MEMOS["dict"])
        if again is not ...:
            assert_same(again, value)


def test_what_was_filled_column_by_column_keeps_its_blocks() -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0]})
    for name in "bcd":
        frame[name] = frame.a * 2
    again = sealed(frame, MEMOS["dict"])
    assert len(again._mgr.blocks) == len(frame._mgr.blocks) > 1
    assert_same(again, frame)


def test_duplicates_may_be_forbidden_and_stay_so() -> None:
    value = pd.DataFrame({"a": [1]}).set_flags(allows_duplicate_labels=False)
    assert_same(sealed(value, MEMOS["dict"]), value)


class Frame(pd.DataFrame):
    pass


REFUSED: dict[str, Any] = {
    "a subclass": Frame({"a": [1]}),
    "objects of its own": pd.Series([object()]),
    "attributes of its own": pd.Series([1]),
    "a fixed offset": pd.Series(
        pd.to_datetime(["2020"]).tz_localize(datetime.timezone(datetime.timedelta(hours=1), "own"))
    ),
    "a grouping": pd.DataFrame({"a": [1]}).groupby("a"),
}
REFUSED["attributes of its own"].attrs = {"own": object()}


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_not_come_back_as_it_was_is_refused(name: str) -> None:
    with pytest.raises(Uncacheable):
        encode_value(REFUSED[name])
    assert sealed([REFUSED[name]], MEMOS["dict"]) is ...


@pytest.mark.parametrize("value", [pd.NaT, pd.NA, [pd.NA, {"k": pd.NaT}]], ids=repr)
def test_missing_values_come_back_as_themselves(value: Any) -> None:
    again = sealed(value, MEMOS["dict"])
    assert repr(again) == repr(value)
    assert again is value or isinstance(value, list)


def test_zones_come_back_as_zones_of_their_kind() -> None:
    for zone in (zoneinfo.ZoneInfo("Europe/Berlin"), datetime.UTC):
        value = pd.Series(pd.date_range("2020", periods=2, tz=zone))
        again = sealed(value, MEMOS["dict"])
        assert type(again.dt.tz) is type(value.dt.tz)
        assert_same(again, value)


def test_a_caller_who_changes_a_frame_changes_nothing_that_is_kept() -> None:
    for memo in MEMOS.values():
        key, frame = os.urandom(20), pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
        memo.store([Entry(key, frame, 0.0)])
        frame.loc[0, "a"] = 9
        found = memo.lookup([key])[0].value  # type: ignore[union-attr]
        found.loc[1, "a"] = 9
        assert memo.lookup([key])[0].value.a.tolist() == [1, 2]  # type: ignore[union-attr]
