"""Copies of plain containers: equal, of the same types, and nobody else's."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflow.memo.base import Entry, Found
from dataflow.memo.lru import LruMemo
from dataflow.memo.plain import copy_of, parts_of, weight

ATOM = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
FROZEN = st.recursive(ATOM, lambda inner: st.lists(inner, max_size=3).map(tuple), max_leaves=4)
PLAIN = st.recursive(
    st.lists(FROZEN, max_size=4) | st.dictionaries(ATOM, FROZEN, max_size=4),
    lambda inner: st.lists(inner | FROZEN, max_size=4) | st.dictionaries(ATOM, inner | FROZEN, max_size=4),
    max_leaves=12,
)


def spoil(value: Any) -> None:
    """Change every container that can be changed."""
    members = list(value.values()) if type(value) is dict else list(value)
    for member in members:
        if type(member) in (list, dict):
            spoil(member)
    value.clear()


@given(PLAIN)
def test_a_copy_is_equal_and_shares_nothing_that_can_be_changed(value: Any) -> None:
    parts = parts_of(value)
    assert parts is not None
    before = repr(value)
    copied = copy_of(value, parts)
    assert repr(copied) == before
    spoil(copied)
    assert repr(value) == before


@pytest.mark.parametrize(
    "value",
    [
        {1, 2},
        bytearray(b"x"),
        ([],),
        [shared := [1], shared],
        {"a": {"m": shared}, "b": shared},
        [([1], 2)],
        {("a", "b"): 1},
        [object()],
        type("Words", (list,), {})("ab"),
        [type("Word", (str,), {})("a")],
    ],
)
def test_what_might_share_something_is_not_plain(value: Any) -> None:
    assert parts_of(value) is None


def test_what_is_nested_deep_or_in_itself_is_not_plain() -> None:
    deep: list[Any] = []
    for _ in range(100):
        deep = [deep]
    ring: list[Any] = []
    ring.append(ring)
    assert parts_of(deep) is parts_of(ring) is None


def test_a_value_weighs_at_least_its_text() -> None:
    assert weight({"a": ["x" * 1000, ("y" * 1000,)], "b": "€" * 1000}) > 4000


@pytest.mark.parametrize(
    "value", [["a", ["b"]], {"chunks": ["a", {"b": [1]}]}, {"n": (1, [2])}, [{1: {}}]], ids=repr
)
def test_no_callers_change_reaches_what_is_kept(value: Any) -> None:
    memo = LruMemo()
    before = repr(value)
    memo.store([Entry(bytes(20), value, 1.0)])
    spoil(value)
    for _ in range(2):
        (answer,) = memo.lookup([bytes(20)])
        assert isinstance(answer, Found)
        assert repr(answer.value) == before
        spoil(answer.value)
