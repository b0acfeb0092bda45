"""NumPy arrays and scalars come back exactly as they were, or are refused."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dataflow.memo.base import Entry, Found
from dataflow.memo.codecs import decode_value, encode_value
from dataflow.memo.dictionary import DictMemo
from dataflow.memo.keys import Uncacheable
from dataflow.memo.lru import LruMemo

dtypes = st.one_of(
    hnp.boolean_dtypes(),
    hnp.integer_dtypes(endianness="?"),
    hnp.unsigned_integer_dtypes(endianness="?"),
    hnp.floating_dtypes(endianness="?"),
    hnp.complex_number_dtypes(endianness="?"),
    hnp.byte_string_dtypes(),
    hnp.unicode_string_dtypes(endianness="?"),
    hnp.datetime64_dtypes(endianness="?"),
    hnp.timedelta64_dtypes(endianness="?"),
)
shapes = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)
MEMOS = {"dict": DictMemo(), "lru": LruMemo(2**24)}


@st.composite
def arrays(draw: st.DrawFn) -> Any:
    """Arrays of every dtype and shape; in C or Fortran order, turned, with gaps, repeated, or read-only."""
    array = np.asarray(draw(hnp.arrays(draw(dtypes), draw(shapes))))
    way = draw(
        st.sampled_from(["as it is", "fortran", "turned", "reversed", "gaps", "repeated", "read-only"])
    )
    if way == "fortran":
        array = np.asfortranarray(array)
    elif way == "turned":
        array = array.T
    elif way == "reversed" and array.ndim:
        array = array[::-1]
    elif way == "gaps" and array.ndim:
        array = array[..., ::2]
    elif way == "repeated":
        array = np.broadcast_to(array, (3, *array.shape))
    elif way == "read-only":
        array.flags.writeable = False
    return array


def is_the_same(one: Any, other: Any) -> bool:
    """To the last bit, the byte order, the order in memory and whether it can be written."""
    told = [(type(a), a.dtype.str, a.shape, a.flags.writeable, order(a), a.tobytes()) for a in (one, other)]
    return told[0] == told[1]


def order(array: Any) -> Any:
    if array.flags.c_contiguous or array.flags.f_contiguous:
        return array.flags.c_contiguous, array.flags.f_contiguous
    return array.strides


def sealed(value: Any, memo: Any) -> Any:
    """What a memo gives back; an ellipsis where it keeps nothing."""
    key = os.urandom(20)
    if not memo.store([Entry(key, value, 0.0)]):
        return ...
    (answer,) = memo.lookup([key])
    assert isinstance(answer, Found)
    return answer.value


@settings(max_examples=300)
@given(arrays(), st.sampled_from(sorted(MEMOS)))
def test_an_array_comes_back_as_it_was_or_is_refused(array: Any, name: str) -> None:
    again = sealed(array, MEMOS[name])
    if again is ...:
        assert not array.flags.c_contiguous
        assert not array.flags.f_contiguous
    else:
        assert is_the_same(again, array)


@given(st.lists(arrays(), max_size=3), st.text(max_size=3))
def test_arrays_nested_in_plain_data_come_back_as_they_were(inner: list[Any], name: str) -> None:
    try:
        codec, raw = encode_value({name: inner, "pair": (inner, 1)})
    except Uncacheable:
        return
    again = decode_value(codec, raw)
    for found in (again[name], again["pair"][0]):
        assert [is_the_same(a, b) for a, b in zip(found, inner, strict=True)] == [True] * len(inner)


@given(arrays())
def test_a_scalar_comes_back_as_it_was_or_is_refused(array: Any) -> None:
    for scalar in array.ravel()[:2]:
        if not isinstance(scalar, np.generic):
            continue
        again = sealed(scalar, MEMOS["dict"])
        if again is not ...:
            assert (type(again), again.dtype) == (type(scalar), scalar.dtype)
            assert again.tobytes() == scalar.tobytes()
        else:
            assert scalar.dtype.kind in "SU"


def test_an_array_of_objects_comes_back_with_what_is_in_it() -> None:
    array = np.empty((2, 2), object)
    array[:] = [[1, "a"], [None, (1.5, [b"x"])]]
    again = sealed(array, MEMOS["dict"])
    assert (again.dtype, again.shape, again.tolist()) == (array.dtype, array.shape, array.tolist())
    assert [type(one) for one in again.ravel()] == [int, str, type(None), tuple]


class Own(np.ndarray):
    pass


REFUSED = {
    "structured": np.zeros(2, [("a", "i4"), ("b", "f8")]),
    "a structured scalar": np.zeros(1, [("a", "i4")])[0],
    "record": np.rec.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
    "masked": np.ma.masked_array([1, 2], [True, False]),
    "the masked constant": np.ma.masked,
    "a subclass": np.zeros(2).view(Own),
    "void": np.zeros(2, "V3"),
    "with metadata": np.zeros(2, np.dtype("f8", metadata={"unit": "m"})),
    "variable text": np.array(["a", "bc"], np.dtypes.StringDType()),
    "objects of its own": np.array([object()], object),
    "a memory map": None,
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_not_come_back_as_it_was_is_refused(name: str, tmp_path: Any) -> None:
    value = REFUSED[name]
    if value is None:
        value = np.memmap(tmp_path / "mapped", "f8", "w+", shape=3)
    with pytest.raises(Uncacheable):
        encode_value(value)
    assert sealed([value], MEMOS["dict"]) is ...


@pytest.mark.parametrize(
    "value",
    [
        np.float16(1.5),
        np.longdouble(1) / 3,
        np.datetime64("NaT"),
        np.datetime64("2024-02-29T12:00", "m"),
        np.timedelta64(5, "W"),
        np.array(np.datetime64("2020-01-01", "D")),
        np.array(5, ">i2"),
        np.zeros((0, 3), "F"),
        np.array([np.nan, -np.nan, -0.0, np.inf]),
        np.array([b"a\0b", b""], "S3"),
        np.array(["a", "é\U0001f600"], ">U2"),
        np.arange(24).reshape(2, 3, 4).transpose(2, 0, 1).copy("F"),
    ],
    ids=repr,
)
def test_each_kind_comes_back_to_the_last_bit(value: Any) -> None:
    for memo in MEMOS.values():
        again = sealed(value, memo)
        assert is_the_same(np.asarray(again), np.asarray(value))
        assert type(again) is type(value)


def test_a_caller_who_changes_an_array_changes_nothing_that_is_kept() -> None:
    for memo in MEMOS.values():
        key, array = os.urandom(20), np.zeros(3)
        memo.store([Entry(key, array, 0.0)])
        array[0] = 1
        memo.lookup([key])[0].value[1] = 1  # type: ignore[union-attr]
        assert memo.lookup([key])[0].value.tolist() == [0, 0, 0]  # type: ignore[union-attr]
