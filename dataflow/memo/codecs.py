"""Typed codecs: a value to bytes and back, exactly. What wouldn't come back the same is refused."""

from __future__ import annotations

import copy
import functools
import struct
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import msgpack
from blake3 import blake3

from dataflow.errors import one_line
from dataflow.memo.arrays import array_parts, array_value
from dataflow.memo.frames import frame_parts, frame_value, is_frame
from dataflow.memo.keys import KEY_BYTES, Uncacheable
from dataflow.memo.plain import ATOMS, copy_of, parts_of
from dataflow.sources import home_of

__all__ = [
    "CODECS",
    "Encoded",
    "Failure",
    "Link",
    "decode_value",
    "encode_value",
    "own_copy",
    "value_digest",
]

CODECS = {
    1: "raw",
    2: "utf-8",
    3: "msgpack",
    4: "arrow table",
    5: "arrow record batch",
    6: "link",
    7: "failure",
    8: "msgpack, shared",
}
"""Codec numbers as the envelope's header holds them."""

_RAW, _TEXT, _MSGPACK, _TABLE, _RECORD_BATCH, _LINK, _FAILURE, _SHARED = CODECS


class Encoded(NamedTuple):
    """A value that is encoded already: what a later stage does to the value can't reach it any more."""

    codec: int
    raw: bytes

    @property
    def digest(self) -> bytes:
        """See :func:`value_digest`."""
        return value_digest(self.codec, self.raw)


class Link(NamedTuple):
    """Kept instead of a value: the memo key that holds the value."""

    key: bytes


class Failure(NamedTuple):
    """Kept instead of a value: the deterministic error that computing it ends in."""

    error_type: str
    error: str
    stage: str


_TUPLE, _BIG_INT, _ARRAY, _FRAME, _ARROW, _SAME = 1, 2, 3, 4, 5, 6
_NESTED = frozenset({list, tuple, dict})
# Each extension in an extension takes some 40 kB of the stack when it is unpacked: a few hundred end the process.
_DEEPEST = 32


def encode_value(value: object, *, plain: bool = False) -> tuple[int, bytes]:
    """The codec's number and the encoded value.

    Takes bytes, str (lone surrogates too), None, bool, int of any size, float, NumPy arrays and scalars,
    pandas frames, series and indexes, list, tuple and dict nested as you like, and pyarrow's Table and
    RecordBatch. Types are taken exactly, subclasses are refused. What stands in the value twice, and not only its
    equal, comes back so: whoever changes it in one place changes it in both. Of what is said to be ``plain``, with
    nothing in it twice, nobody looks whether it is.

    Raises:
        Uncacheable: a type that wouldn't come back the same, or a value nested too deep, or in itself.
    """
    kind = type(value)
    if kind is bytes:
        return _RAW, value  # type: ignore[return-value]
    if kind is str:
        return _TEXT, value.encode("utf-8", "surrogatepass")  # type: ignore[attr-defined]
    if kind is Encoded:
        return value  # type: ignore[return-value]
    if kind is Link:
        return _LINK, value.key  # type: ignore[attr-defined]
    if kind is Failure:
        return _FAILURE, _pack(list(value))  # type: ignore[call-overload]
    try:
        if kind.__module__.startswith("pyarrow"):
            return _encode_arrow(value)
        twice = frozenset() if plain else _check(value)
        return (_SHARED, _pack_shared(value, twice)) if twice else (_MSGPACK, _pack(value))
    except Uncacheable:
        raise
    except Exception as error:  # a library's own types may raise what they like
        why = f"{type(error).__name__}: {one_line(error)}".rstrip(".")
        raise Uncacheable(f"a value can't be kept: {why}.") from None


def own_copy(value: Any) -> Any:
    """The same value, which its owner may change; what no codec knows is copied as Python does."""
    if type(value) in ATOMS:
        return value
    parts = parts_of(value)
    if parts is not None:
        return copy_of(value, parts)
    try:
        return decode_value(*encode_value(value))
    except Uncacheable:
        return copy.deepcopy(value)


def value_digest(codec: int, raw: bytes | memoryview) -> bytes:
    """The digest of an encoded value, 20 bytes. It keys the stage after it, so text and bytes differ."""
    check = blake3(bytes((codec,)))
    check.update(raw)
    return bytes(check.digest(KEY_BYTES))


def decode_value(codec: int, data: bytes | memoryview) -> Any:
    """The value of trusted bytes. Raises ValueError if the codec is unknown or the bytes aren't of it."""
    decode = _DECODERS.get(codec)
    if decode is None:
        raise ValueError(f"no codec has the number {codec}")
    return decode(data)


def _check(value: object) -> frozenset[int]:
    """Refuse what msgpack would take and change: bytearrays, views, subclasses.

    Returns:
        The identities of what could be changed and stands in the value more than once.
    """
    seen: set[int] = set()
    twice: set[int] = set()
    _look_through(value, seen, twice)
    return frozenset(twice)


def _look_through(value: object, seen: set[int], twice: set[int]) -> None:
    kind = type(value)
    if kind in ATOMS:
        return
    if kind is not tuple:
        if id(value) in seen:
            twice.add(id(value))
            return
        seen.add(id(value))
    if kind in _NESTED:
        members: list[Collection[object]] = [value]  # type: ignore[list-item]
        if kind is dict:
            members.append(value.values())  # type: ignore[attr-defined]
        for group in members:
            # Most lists hold one plain type: a look at the set of types spares a call a member.
            if not ATOMS.issuperset(map(type, group)):
                for member in group:
                    _look_through(member, seen, twice)
    elif not _extended(value):
        raise Uncacheable(
            f"a value of type {home_of(kind)}.{kind.__qualname__} can't be kept: return bytes, str, "
            "numbers, None, lists, tuples, dicts of these, NumPy arrays, pandas frames, or a pyarrow Table."
        )


def _pack_shared(value: object, twice: Collection[int]) -> bytes:
    """A list of packed values: each thing that stands in the value more than once, those in it first, and the value."""
    parts: list[bytes] = []
    places: dict[int, int | None] = {}

    def marked(one: Any) -> Any:
        if id(one) not in twice:
            return inside(one)
        if id(one) not in places:
            places[id(one)] = None
            parts.append(_pack(inside(one)))
            places[id(one)] = len(parts) - 1
        place = places[id(one)]
        if place is None:
            raise Uncacheable("a value that holds itself can't be kept.")
        return msgpack.ExtType(_SAME, place.to_bytes(4, "big"))

    def inside(one: Any) -> Any:
        kind = type(one)
        if kind is dict:
            return {key: marked(member) for key, member in one.items()}
        return kind(map(marked, one)) if kind in _NESTED else one

    last = _pack(marked(value))
    return _pack([*parts, last])


def _decode_shared(data: bytes | memoryview) -> Any:
    parts = _unpack(data)
    if not isinstance(parts, list) or not parts or not all(type(part) is bytes for part in parts):
        raise ValueError("shared parts are a list of packed values")
    table: list[Any] = []
    for part in parts:
        table.append(_unpack(part, table=table))
    return table[-1]


def _pack(value: object, depth: int = _DEEPEST) -> bytes:
    extend = functools.partial(_extend, depth=depth - 1)
    packed = msgpack.packb(value, strict_types=True, default=extend, unicode_errors="surrogatepass")
    return bytes(packed)


def _extend(value: Any, depth: int) -> msgpack.ExtType:
    # msgpack has no tuples, and no integers beyond 64 bits.
    if depth < 0:
        raise Uncacheable(
            "a value can't be kept: tuples, arrays or frames are nested too deep in each other."
        )
    if type(value) is tuple:
        return msgpack.ExtType(_TUPLE, _pack(list(value), depth))
    if type(value) is int:
        return msgpack.ExtType(_BIG_INT, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))
    if type(value).__module__ == "numpy":
        return msgpack.ExtType(_ARRAY, _checked(array_parts(value), depth))
    if is_frame(value):
        return msgpack.ExtType(_FRAME, _checked(frame_parts(value), depth))
    if _is_table(value):
        return msgpack.ExtType(_ARROW, _encode_arrow(value)[1])
    raise Uncacheable(f"a value of type {type(value).__qualname__} can't be kept.")


def _checked(parts: list[Any], depth: int) -> bytes:
    # An array of objects, a name or an attribute may hold anything.
    _check(parts)
    return _pack(parts, depth)


def _extended(value: object) -> bool:
    return type(value).__module__ == "numpy" or is_frame(value) or _is_table(value)


def _is_table(value: object) -> bool:
    return f"{type(value).__module__}.{type(value).__name__}" == "pyarrow.lib.Table"


def _unpack(data: bytes | memoryview, depth: int = _DEEPEST, table: list[Any] | None = None) -> Any:
    unpack = _unpacking(depth) if table is None else _unpacking_with(depth, table)
    try:
        try:
            return unpack(data)
        except UnicodeDecodeError:
            # Lone surrogates are rare, and looking out for them makes all text twice as slow.
            return unpack(data, unicode_errors="surrogatepass")
    except (msgpack.UnpackException, TypeError, struct.error, RecursionError) as error:
        raise ValueError(str(error)) from error


@functools.cache
def _unpacking(depth: int) -> Callable[..., Any]:
    return _unpacking_with(depth, None)


def _unpacking_with(depth: int, table: list[Any] | None) -> Callable[..., Any]:
    hook = functools.partial(_unextend, depth=depth - 1, table=table)
    return functools.partial(msgpack.unpackb, raw=False, strict_map_key=False, ext_hook=hook)


def _unextend(code: int, data: bytes, depth: int, table: list[Any] | None) -> object:
    if depth < 0:
        raise ValueError("extensions are nested too deep in each other")
    if code == _TUPLE:
        return tuple(_unpack(data, depth, table))
    if code == _SAME:
        return _shared_part(data, table or [])
    if code == _BIG_INT:
        return int.from_bytes(data, "big", signed=True)
    decode = _EXTENSIONS.get(code)
    if decode is None:
        raise ValueError(f"msgpack extension {code} is unknown")
    return decode(data, depth)


def _shared_part(data: bytes, table: list[Any]) -> object:
    place = int.from_bytes(data, "big")
    if place >= len(table):
        raise ValueError(f"there is no shared part {place}")
    return table[place]


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
        return _registered(pa.ipc.open_stream(pa.py_buffer(data)).read_all())
    except pa.ArrowException as error:
        raise ValueError(str(error)) from error


def _registered(table: Any) -> Any:
    """Refuses a column of a type that this process doesn't know, which comes as what it is stored as."""
    for column in table.schema:
        if b"ARROW:extension:name" in (column.metadata or {}):
            raise ValueError(f"the type of column {column.name!r} isn't registered here")
    return table


def _decode_record_batch(data: bytes | memoryview) -> Any:
    import pyarrow as pa

    try:
        return _registered(pa.ipc.open_stream(pa.py_buffer(data)).read_next_batch())
    except (pa.ArrowException, StopIteration) as error:
        raise ValueError(str(error)) from error


def _decode_link(data: bytes | memoryview) -> Link:
    if len(data) != KEY_BYTES:
        raise ValueError(f"a link has {KEY_BYTES} bytes")
    return Link(bytes(data))


def _decode_failure(data: bytes | memoryview) -> Failure:
    parts = _unpack(data)
    if not isinstance(parts, list) or len(parts) != 3 or not all(type(part) is str for part in parts):
        raise ValueError("a failure has a type, a message and a stage")
    return Failure(*parts)


_EXTENSIONS: dict[int, Callable[[bytes, int], Any]] = {
    _ARRAY: lambda data, depth: array_value(_unpack(data, depth)),
    _FRAME: lambda data, depth: frame_value(_unpack(data, depth)),
    _ARROW: lambda data, depth: _decode_arrow(data),
}
_DECODERS: dict[int, Callable[[bytes | memoryview], Any]] = {
    _RAW: bytes,
    _TEXT: lambda data: str(data, "utf-8", "surrogatepass"),
    _MSGPACK: _unpack,
    _TABLE: _decode_arrow,
    _RECORD_BATCH: _decode_record_batch,
    _LINK: _decode_link,
    _FAILURE: _decode_failure,
    _SHARED: _decode_shared,
}
