from __future__ import annotations

import dataclasses
import datetime
import enum
import itertools
import math
import subprocess
import sys
from collections import OrderedDict, namedtuple
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflow.memo import keys
from dataflow.memo.keys import Uncacheable, digest, encode, memo_key

leaves = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(), st.complex_numbers()
)
hashable = st.recursive(
    leaves, lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3), max_leaves=5
)
plain = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(hashable, inner, max_size=3)
        | st.sets(hashable, max_size=3)
    ),
    max_leaves=12,
)


def spelled(value: Any) -> Any:
    """A value with its types and order spelled out, so that comparing it is comparing what encode() sees."""
    if isinstance(value, dict):
        return ("dict", tuple((spelled(k), spelled(v)) for k, v in value.items()))
    if isinstance(value, (list, tuple)):
        return (type(value).__name__, tuple(map(spelled, value)))
    if isinstance(value, (set, frozenset)):
        return (type(value).__name__, frozenset(map(spelled, value)))
    if isinstance(value, float):
        return ("float", "nan" if math.isnan(value) else repr(value))
    if isinstance(value, complex):
        return ("complex", spelled(value.real), spelled(value.imag))
    return (type(value).__name__, value)


@given(plain, plain)
def test_two_values_share_their_bytes_only_if_they_are_the_same(one: Any, other: Any) -> None:
    assert (encode(one) == encode(other)) == (spelled(one) == spelled(other))


@given(st.lists(st.binary(), max_size=4), st.lists(st.binary(), max_size=4))
def test_texts_joined_differently_are_different(one: list[bytes], other: list[bytes]) -> None:
    assert (encode(one) == encode(other)) == (one == other)


class Color(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    ONE = 1


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0


Pair = namedtuple("Pair", "x y")

LOOKALIKES: list[Any] = [
    1,
    True,
    1.0,
    "1",
    b"1",
    [1],
    (1,),
    {1},
    frozenset({1}),
    {1: None},
    1 + 0j,
    None,
    "None",
    "",
    b"",
    bytearray(),
    [],
    (),
    {},
    set(),
    [[]],
    [[], []],
    ("ab", "c"),
    ("a", "bc"),
    [["a"], ["a"]],
    [["a"]],
    0,
    0.0,
    -0.0,
    range(3),
    [0, 1, 2],
    slice(3),
    ...,
    Color.RED,
    Level.ONE,
    Point(1),
    datetime.date(2026, 1, 1),
    datetime.datetime(2026, 1, 1),
    datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
    PurePosixPath("1"),
    np.int64(1),
    np.int32(1),
    np.array(1),
    np.array([1]),
    np.array([[1]]),
    np.array([1, 2]),
    np.array([[1], [2]]),
    np.array([1, 2], dtype="int32"),
    np.array([1.0, 2.0]),
    np.array(["1"]),
    {"a": 1, "b": 2},
    {"b": 2, "a": 1},
]


def test_no_two_lookalikes_collide() -> None:
    for one, other in itertools.combinations(LOOKALIKES, 2):
        assert encode(one) != encode(other), (one, other)


def test_shared_and_copied_parts_are_one_value() -> None:
    shared = ["a"]
    assert encode([shared, shared]) == encode([["a"], ["a"]])


def test_arrays_of_another_order_in_memory_are_other_values_since_sums_follow_it() -> None:
    array = np.arange(6).reshape(2, 3)
    wide = np.zeros((2, 6), array.dtype)
    wide[:, ::2] = array
    assert len({encode(array), encode(np.asfortranarray(array)), encode(wide[:, ::2])}) == 3
    assert encode(array) == encode(array.copy())


@given(st.lists(st.sampled_from(["list", "tuple", "dict"]), min_size=1, max_size=150), st.integers())
def test_values_that_differ_only_far_below_the_surface_differ(ways: list[str], leaf: int) -> None:
    def wrapped(value: Any) -> Any:
        for way in ways:
            value = [value, 0] if way == "list" else (0, value) if way == "tuple" else {"k": 0, "d": value}
        return value

    assert encode(wrapped(leaf)) != encode(wrapped(leaf + 1))
    assert encode(wrapped(leaf)) == encode(wrapped(leaf))


@pytest.mark.parametrize("place", [0, 499_999, 999_999])
def test_large_values_that_differ_in_one_place_differ(place: int) -> None:
    array, items = np.zeros(1_000_000), [0] * 1_000_000
    before = encode(array), encode(items)
    array[place], items[place] = 1e-300, 1
    assert encode(array) != before[0]
    assert encode(items) != before[1]


def test_what_another_version_of_python_computed_has_another_key(monkeypatch: pytest.MonkeyPatch) -> None:
    major, minor = sys.version_info[:2]
    assert keys.RUNTIME.endswith(f" {major}.{minor}")
    before = memo_key([b"extract"], {}, digest(b"document"))
    monkeypatch.setattr(keys, "RUNTIME", keys.RUNTIME.replace(f".{minor}", f".{minor + 1}"))
    keys._head.cache_clear()
    after = memo_key([b"extract"], {}, digest(b"document"))
    keys._head.cache_clear()
    assert after != before


@pytest.mark.parametrize(
    "value",
    [
        object(),
        lambda: None,
        Pair(1, 2),
        OrderedDict(),
        type("Text", (str,), {})("a"),
        np.array([object()]),
        np.ma.masked_array([1], [True]),
        memoryview(b"a"),
        iter([]),
        {"deep": [object()]},
    ],
)
def test_an_unknown_type_is_uncacheable(value: Any) -> None:
    with pytest.raises(Uncacheable, match="can't be part of a key"):
        encode(value)


def test_a_dataclass_with_more_than_its_fields_is_uncacheable() -> None:
    point = Point(1)
    point.label = "hidden"  # type: ignore[attr-defined]
    with pytest.raises(Uncacheable, match="label"):
        encode(point)


def test_a_value_that_contains_itself_is_uncacheable() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(Uncacheable, match="contains itself"):
        encode(loop)


def test_a_key_depends_on_each_of_its_parts() -> None:
    base = memo_key([b"extract"], {"size": 1}, digest(b"document"))
    assert len(base) == 20
    assert base == memo_key([b"extract"], {"size": 1}, digest(b"document"))
    others = [
        memo_key([b"extract", b""], {"size": 1}, digest(b"document")),
        memo_key([b"extrac", b"t"], {"size": 1}, digest(b"document")),
        memo_key([b"extract"], {"size": 1.0}, digest(b"document")),
        memo_key([b"extract"], {"size": 1}, digest(b"another")),
        memo_key([], {"size": 1}, digest(b"document")),
    ]
    assert len({base, *others}) == 6


def test_a_long_document_counts_to_its_last_byte() -> None:
    content = bytearray(3_000_000)
    before = digest(content)
    content[-1] = 1
    assert digest(content) != before


def test_keys_are_equal_across_processes_and_hash_seeds() -> None:
    program = (
        "from dataflow.memo.keys import encode, memo_key;"
        "v = {'s': {'a', 'b', ('c', frozenset('xyz'))}, 'f': frozenset(range(9))};"
        "print(memo_key([b'1'], v, b'2').hex())"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", program], env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True, check=True, text=True,
        ).stdout
        for seed in ("0", "1", "4242")
    }  # fmt: skip
    assert len(printed) == 1
