from __future__ import annotations

import datetime
import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflow.memo.codecs import Encoded, Failure, Link, decode_value, encode_value, own_copy, value_digest
from dataflow.memo.envelope import (
    HEADER_BYTES,
    EnvelopeError,
    Opened,
    claimed_marks,
    seal,
    unseal,
)
from dataflow.memo.keys import Uncacheable

Same = Callable[[Any, Any], bool]
SECRET, KEY = b"secret", b"k" * 20


def sealed(value: Any, **options: Any) -> bytes:
    sealing = {name: options.pop(name) for name in ("key", "secret", "compression") if name in options}
    kept = Opened.of(value, **{"compute_seconds": 1.5, "created": time.time(), **options})
    return seal(kept, **{"key": KEY, "secret": SECRET, **sealing})


def reason(blob: bytes, **options: Any) -> str:
    with pytest.raises(EnvelopeError) as caught:
        unseal(blob, **{"key": KEY, "secret": SECRET, **options})
    return caught.value.reason


leaves = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary())
text = st.text(st.characters(exclude_categories=()))  # lone surrogates too
keys = st.one_of(st.none(), st.integers(), text, st.binary(), st.tuples(st.integers(), text))
values = st.recursive(
    leaves | text,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(keys, inner, max_size=4)
    ),
    max_leaves=20,
)


@given(values, st.sampled_from(["raw", "lz4", "zstd"]))
def test_what_is_sealed_comes_back_the_same(same: Same, value: Any, compression: str) -> None:
    opened = unseal(sealed(value, compression=compression), key=KEY, secret=SECRET)
    assert same(opened.value, value)
    assert opened.compute_seconds == 1.5


@pytest.mark.parametrize("compression", ["raw", "lz4", "zstd"])
def test_long_values_come_back_the_same(compression: str) -> None:
    for value in ("long text " * 10_000, os.urandom(100_000), ["chunk " * 100] * 50):
        blob = sealed(value, compression=compression)
        opened = unseal(blob, key=KEY, secret=SECRET)
        assert opened.value == value
        assert len(opened.raw) >= len(value)


def test_arrow_tables_and_batches_come_back_the_same() -> None:
    table = pa.table({"a": [1, None], "b": ["x", "y"]}).replace_schema_metadata({"unit": "bytes"})
    back = unseal(sealed(table), key=KEY, secret=SECRET).value
    assert isinstance(back, pa.Table)
    assert back.equals(table, check_metadata=True)
    batch = table.to_batches()[0]
    again = unseal(sealed(batch), key=KEY, secret=SECRET).value
    assert isinstance(again, pa.RecordBatch)
    assert again.equals(batch, check_metadata=True)


def test_the_header_holds_the_digest_of_the_value() -> None:
    assert unseal(sealed(b"same"), key=KEY, secret=SECRET).digest == value_digest(1, b"same")
    packed = sealed("x" * 999, compression="zstd")
    assert unseal(packed, key=KEY, secret=SECRET).digest == value_digest(2, b"x" * 999)


def test_text_and_bytes_of_equal_content_have_digests_of_their_own() -> None:
    digests = {
        unseal(sealed(v), key=KEY, secret=SECRET).digest for v in ("1", b"1", 1, 1.0, True, ["1"], ("1",))
    }
    assert len(digests) == 7


def test_the_header_holds_what_the_value_was_made_of_and_by() -> None:
    blob = sealed(b"v", epoch=b"e" * 16, input_digest=b"i" * 20, marks=b"m" * 8)
    opened = unseal(blob, key=KEY, secret=SECRET)
    assert (opened.epoch, opened.input_digest, opened.marks) == (b"e" * 16, b"i" * 20, b"m" * 8)
    assert claimed_marks(blob) == b"m" * 8
    assert claimed_marks(b"no envelope" * 20) == b""


@pytest.mark.parametrize("value", [Link(b"k" * 20), Failure("ValueError", "no \udc80", "extract")])
def test_a_link_and_a_failure_come_back_as_what_they_are(value: Any) -> None:
    opened = unseal(sealed(value), key=KEY, secret=SECRET)
    assert opened.value == value
    assert type(opened.value) is type(value)


def test_a_value_that_was_encoded_before_is_sealed_as_it_was_then() -> None:
    value = ["first"]
    encoded = Encoded(*encode_value(value))
    value.append("changed by a later stage")
    opened = unseal(sealed(encoded), key=KEY, secret=SECRET)
    assert opened.value == ["first"]
    assert opened.digest == encoded.digest


class Text(str):
    pass


@pytest.mark.parametrize(
    "value",
    [
        object(), {1, 2}, bytearray(b"a"), [bytearray(b"a")], {"v": memoryview(b"a")}, Text("a"), [Text("a")],
        {Text("a"): 1}, ({"deep": [1j]},), range(3), pa.array([1]), lambda: None,
    ],
)  # fmt: skip
def test_what_would_not_come_back_the_same_is_uncacheable(value: Any) -> None:
    with pytest.raises(Uncacheable, match="can't be kept"):
        sealed(value)


@pytest.mark.parametrize("depth", [40, 220, 330, 1000])
def test_tuples_nested_so_deep_that_reading_them_would_end_the_process_are_uncacheable(depth: int) -> None:
    value: Any = 1
    for _ in range(depth):
        value = (value,)
    with pytest.raises(Uncacheable, match=r"nested too deep|recursion"):
        sealed([value])


def test_a_few_hundred_lists_in_lists_come_back() -> None:
    value: Any = (1,)
    for _ in range(200):
        value = [value]
    assert unseal(sealed(value), key=KEY, secret=SECRET).value == value


def test_whatever_a_librarys_type_raises_is_uncacheable() -> None:
    zone = datetime.timezone(datetime.timedelta(hours=1), "X")
    with pytest.raises(Uncacheable, match="can't be kept"):
        sealed(pd.Series(pd.to_datetime(["2020-01-01"])).dt.tz_localize(zone))


def test_a_value_nested_too_deep_or_in_itself_is_uncacheable() -> None:
    deep: Any = []
    for _ in range(5000):
        deep = [deep]
    loop: list[Any] = []
    loop.append(loop)
    for value in (deep, loop):
        with pytest.raises(Uncacheable):
            sealed(value)


@given(st.data())
def test_any_flipped_bit_is_refused(data: st.DataObject) -> None:
    blob = bytearray(sealed(["a value", 1]))
    bit = data.draw(st.integers(0, len(blob) * 8 - 1))
    blob[bit // 8] ^= 1 << bit % 8
    assert reason(bytes(blob)) in ("corrupt", "forged", "secret")


@given(st.integers(0, 200))
def test_any_truncated_or_lengthened_blob_is_corrupt(length: int) -> None:
    blob = sealed("a value of some length " * 5)
    assert reason(blob[: min(length, len(blob) - 1)]) == "corrupt"
    assert reason(blob + bytes(length + 1)) == "corrupt"


@given(st.binary(max_size=400))
def test_garbage_is_corrupt(garbage: bytes) -> None:
    assert reason(garbage) == "corrupt"


def test_a_value_of_another_key_is_forged() -> None:
    assert reason(sealed("v"), key=b"x" * 20) == "forged"


def test_a_value_of_another_secret_says_so_and_stays_unread() -> None:
    assert reason(sealed("v"), secret=b"another") == "secret"
    # It says so itself: whoever writes our key id without our secret is a forger.
    ours, theirs = sealed("v"), sealed("v", secret=b"another")
    assert reason(theirs[:8] + ours[8:12] + theirs[12:]) == "forged"


def test_a_payload_under_another_values_header_is_forged() -> None:
    one, other = sealed("value 1"), sealed("value 2")
    assert reason(one[:HEADER_BYTES] + other[HEADER_BYTES:]) == "forged"


def test_another_codec_in_the_header_is_forged() -> None:
    blob = bytearray(sealed("text"))
    assert blob[5] == 2
    blob[5] = 3
    assert reason(bytes(blob)) == "forged"


def test_nothing_is_decompressed_beyond_the_limit() -> None:
    blob = sealed(bytes(10_000_000), compression="zstd")
    assert len(blob) < 10_000
    assert reason(blob, max_raw_bytes=1_000_000) == "too_large"


@pytest.mark.parametrize("compression", ["lz4", "zstd"])
def test_a_payload_that_is_longer_than_its_header_says_is_refused(
    compression: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Only someone with the secret can make one: a wrong version of this program, say.
    import dataflow.memo.envelope as envelope

    bomb = envelope.compress(envelope.require(compression), bytes(5_000_000))
    monkeypatch.setattr(envelope, "compress", lambda number, data: bomb)
    blob = sealed(bytes(len(bomb) + 1), compression=compression)
    monkeypatch.undo()
    assert reason(blob) == "codec"


def test_too_large_a_value_is_uncacheable() -> None:
    with pytest.raises(Uncacheable, match="over 100 bytes can't be kept"):
        sealed(bytes(101), max_raw_bytes=100)


def test_a_value_past_its_time_is_expired() -> None:
    blob = sealed("v", created=1000.0, ttl_seconds=60)
    assert unseal(blob, key=KEY, secret=SECRET, now=1059.0).value == "v"
    assert reason(blob, now=1061.0) == "expired"
    assert unseal(sealed("v", created=1000.0), key=KEY, secret=SECRET, now=9e9).value == "v"


def test_the_mac_is_compared_before_anything_is_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    import dataflow.memo.envelope as envelope

    parsed: list[object] = []
    monkeypatch.setattr(envelope, "decompress", lambda *a: parsed.append(a))
    assert reason(sealed("v")[:-1] + b"!") == "forged"
    assert parsed == []


def test_the_header_has_the_size_that_its_description_says() -> None:
    assert HEADER_BYTES == 148
    assert len(sealed(b"12345")) == 153


@pytest.mark.parametrize("size", [100, 8190, 8191, 8192, 8193, 100_000])
def test_no_size_of_value_can_be_altered_cut_moved_or_sealed_with_another_secret(size):
    blob = sealed(b"v" * size)
    assert unseal(blob, key=KEY, secret=SECRET).value == b"v" * size
    for place in (20, HEADER_BYTES - 1, HEADER_BYTES, len(blob) - 1):
        altered = bytearray(blob)
        altered[place] ^= 1
        assert reason(bytes(altered)) in ("forged", "secret")
    # Across the size from which the MAC is another one, too.
    assert reason(blob[:-1]) == reason(blob + b"v") == "corrupt"
    assert reason(blob, key=b"K" * 20) == "forged"
    assert reason(blob, secret=b"other") == "secret"


def test_what_stands_in_a_value_twice_comes_back_as_one() -> None:
    meta: dict[str, Any] = {"n": [1]}
    array = np.arange(3)
    value = [{"t": "a", "meta": meta}, {"t": "b", "meta": meta}, (meta["n"], array), array]
    codec, raw = encode_value(value)
    found = decode_value(codec, raw)
    assert found[0]["meta"] is found[1]["meta"]
    assert found[0]["meta"]["n"] is found[2][0]
    assert found[2][1] is found[3]
    assert repr(found) == repr(value)
    again = encode_value(found)
    assert again == (codec, raw)
    copied = own_copy(value)
    assert copied[0]["meta"] is copied[1]["meta"] is not meta


def test_equal_parts_and_one_part_twice_are_two_values() -> None:
    part = [1]
    assert value_digest(*encode_value([part, part])) != value_digest(*encode_value([[1], [1]]))
    assert encode_value([(1, 2), (1, 2)]) == encode_value(
        [(1, 2)] * 2
    )  # what can't be changed may be one or two


@pytest.mark.parametrize("raw", [b"", b"\xc0", b"\x90", b"\x91\x01", b"\x91\xc4\x06\xd6\x06\x00\x00\x00\x00"])
def test_shared_parts_that_are_not_there_are_no_value(raw: bytes) -> None:
    codec, _ = encode_value([meta := [], meta])
    with pytest.raises(ValueError):  # noqa: PT011 - msgpack's own or ours
        decode_value(codec, raw)
