"""Typed codecs: a value to bytes and back, exactly. What wouldn't come back the same is refused."""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection
from typing import Any

import msgpack

from dataflow.memo.keys import Uncacheable

__all__ = ["CODECS", "decode_value", "encode_value"]

CODECS = {1: "raw", 2: "utf-8", 3: "msgpack", 4: "arrow table", 5: "arrow record batch"}
"""Codec numbers as the envelope's header holds them."""

_RAW, _TEXT, _MSGPACK, _TABLE, _RECORD_BATCH = CODECS
_TUPLE, _BIG_INT = 1, 2
_PLAIN = frozenset({type(None), bool, int, float, str, bytes})
_NESTED = frozenset({list, tuple, dict})


def encode_value(value: object) -> tuple[int, bytes]:
    """The codec's number and the encoded value.

    Takes bytes, str (lone surrogates too), None, bool, int of any size, float, list, tuple and dict nested
    as you like, and pyarrow's Table and RecordBatch. Types are taken exactly, subclasses are refused.

    Raises:
        Uncacheable: a type that wouldn't come back the same, or a value nested too deep.
    """
    kind = type(value)
    if kind is bytes:
        return _RAW, value  # type: ignore[return-value]
    if kind is str:
        return _TEXT, value.encode("utf-8", "surrogatepass")  # type: ignore[attr-defined]
    if kind.__module__.startswith("pyarrow"):
        return _encode_arrow(value)
    try:
        _check(value)
        return _MSGPACK, _pack(value)
    except (RecursionError, ValueError) as error:
        raise Uncacheable(f"a value can't be kept: {error or 'it is nested too deep'}.") from None


def decode_value(codec: int, data: bytes | memoryview) -> Any:
    """The value of trusted bytes. Raises ValueError if the codec is unknown or the bytes aren't of it."""
    decode = _DECODERS.get(codec)
    if decode is None:
        raise ValueError(f"no codec has the number {codec}")
    return decode(data)


def _check(value: object) -> None:
    """Refuse what msgpack would take and change: bytearrays, views, subclasses."""
    kind = type(value)
    if kind in _NESTED:
        members: list[Collection[object]] = [value]  # type: ignore[list-item]
        if kind is dict:
            members.append(value.values())  # type: ignore[attr-defined]
        for group in members:
            # Most lists hold one plain type: a look at the set of types spares a call a member.
            if not _PLAIN.issuperset(map(type, group)):
                for member in group:
                    _check(member)
    elif kind not in _PLAIN:
        raise Uncacheable(
            f"a value of type {kind.__module__}.{kind.__qualname__} can't be kept: return bytes, str, "
            "numbers, None, lists, tuples, dicts of these, or a pyarrow Table."
        )


def _pack(value: object) -> bytes:
    packed = msgpack.packb(value, strict_types=True, default=_extend, unicode_errors="surrogatepass")
    return bytes(packed)


def _extend(value: Any) -> msgpack.ExtType:
    # msgpack has no tuples, and no integers beyond 64 bits.
    if type(value) is tuple:
        return msgpack.ExtType(_TUPLE, _pack(list(value)))
    if type(value) is int:
        return msgpack.ExtType(_BIG_INT, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))
    raise Uncacheable(f"a value of type {type(value).__qualname__} can't be kept.")


def _unpack(data: bytes | memoryview) -> Any:
    try:
        return msgpack.unpackb(
            data, raw=False, strict_map_key=False, ext_hook=_unextend, unicode_errors="surrogatepass"
        )
    except (msgpack.UnpackException, TypeError, struct.error, RecursionError) as error:
        raise ValueError(str(error)) from error


def _unextend(code: int, data: bytes) -> object:
    if code == _TUPLE:
        return tuple(_unpack(data))
    if code == _BIG_INT:
        return int.from_bytes(data, "big", signed=True)
    raise ValueError(f"msgpack extension {code} is unknown")


def _encode_arrow(value: Any) -> tuple[int, bytes]:
    import pyarrow as pa

    if type(value) not in (pa.Table, pa.RecordBatch):
        raise Uncacheable(f"a pyarrow {type(value).__name__} can't be kept: return a Table or a RecordBatch.")
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, value.schema) as writer:
        writer.write(value)
    return (_TABLE if type(value) is pa.Table else _RECORD_BATCH), sink.getvalue().to_pybytes()


def _decode_arrow(data: bytes | memoryview) -> Any:
    import pyarrow as pa

    try:
        return pa.ipc.open_stream(pa.py_buffer(data)).read_all()
    except pa.ArrowException as error:
        raise ValueError(str(error)) from error


def _decode_record_batch(data: bytes | memoryview) -> Any:
    import pyarrow as pa

    try:
        return pa.ipc.open_stream(pa.py_buffer(data)).read_next_batch()
    except (pa.ArrowException, StopIteration) as error:
        raise ValueError(str(error)) from error


_DECODERS: dict[int, Callable[[bytes | memoryview], Any]] = {
    _RAW: bytes,
    _TEXT: lambda data: str(data, "utf-8", "surrogatepass"),
    _MSGPACK: _unpack,
    _TABLE: _decode_arrow,
    _RECORD_BATCH: _decode_record_batch,
}
