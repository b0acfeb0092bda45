"""Keys: 160 bits of BLAKE2b over an encoding in which different values never share their bytes.

Every value is written as ``tag, length (8 bytes, big-endian), content``. The tag keeps ``1``, ``1.0``,
``True`` and ``"1"`` apart, the length keeps ``("ab", "c")`` and ``("a", "bc")`` apart. Sets are sorted by
their members' bytes. Dicts keep their order: two equal dicts of different order iterate differently, so what
is computed from them may differ; a needless miss is cheaper than a wrong value.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import hashlib
import io
import pathlib
import struct
import sys
import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from blake3 import blake3

from dataflow.sources import home_of

__all__ = [
    "KEY_BYTES",
    "LEAVES",
    "RUNTIME",
    "SCHEMA",
    "Key",
    "Uncacheable",
    "digest",
    "digest_file",
    "encode",
    "memo_head",
    "memo_key",
    "of_leaves",
    "slots_of",
    "tagged",
]

Key = bytes
"""A memo key: 20 bytes."""

KEY_BYTES = 20
SCHEMA = 5
"""Raise it whenever an encoding or a fingerprint changes its meaning: old values aren't asked for then."""

_LENGTH = struct.Struct(">Q")
RUNTIME = (
    f"{sys.implementation.name} {sys.version_info.major}.{sys.version_info.minor}{' -O' * sys.flags.optimize}"
)
"""Part of every key: what Python of another version computes, or one without assertions, may differ."""


class Uncacheable(Exception):
    """A value or a piece of code can't be keyed or kept. The message names it, why, and the mend."""


def digest(data: bytes | bytearray | memoryview) -> bytes:
    """BLAKE3 of raw content, such as a document's bytes, cut to 20 bytes: a megabyte takes 0.1 ms, BLAKE2b's 0.7."""
    return bytes(blake3(data).digest(KEY_BYTES))


def digest_file(file: io.BufferedIOBase) -> bytes:
    """:func:`digest` of what a file holds, which was just opened and is never all in memory."""
    new: Any = blake3  # which is one of hashlib's kind, but that its digests may be of any length
    return bytes(hashlib.file_digest(file, new).digest(KEY_BYTES))  # type: ignore[call-arg]


def tagged(tag: bytes, content: bytes) -> bytes:
    """``content`` with its tag (one or more bytes, no tag a prefix of another) and its length before it."""
    return tag + _LENGTH.pack(len(content)) + content


def encode(value: object) -> bytes:
    """The canonical bytes of a plain value; equal in every process, whatever its hash seed.

    Takes None, bool, int, float, complex, str, bytes, bytearray, list, tuple, dict, set, frozenset, range,
    slice, Ellipsis, dates and times, timedelta, Decimal, Fraction, UUID, pure paths, enum members, dataclass
    instances and NumPy arrays and scalars, nested as you like. Types are taken exactly: a subclass may
    compute something else.

    Raises:
        Uncacheable: a type that isn't listed, a value that contains itself, or one nested too deep.
    """
    try:
        return _encode(value)
    except RecursionError:
        raise Uncacheable(
            "a value that contains itself, or is nested too deep, can't be part of a key."
        ) from None


def memo_key(stage_ids: Sequence[bytes], parameters: object, input_digest: bytes) -> Key:
    """The key of what a chain of stages makes of one input.

    Args:
        stage_ids: fingerprints of the stages from the first up to and including the one whose value is kept.
        parameters: whatever else the value depends on; anything that :func:`encode` takes.
        input_digest: :func:`digest` of the document's bytes, or whatever else stands for the input.

    Returns:
        20 bytes. The encoding's version and Python's major and minor version are part of them.

    Raises:
        Uncacheable: the parameters can't be encoded.
    """
    key = memo_head(stage_ids, parameters).copy()
    key.update(tagged(b"input", bytes(input_digest)))
    return bytes(key.digest())


def memo_head(stage_ids: Sequence[bytes], parameters: object) -> Any:
    """The hash of all that comes before the input in a key: to be copied, and never updated itself.

    Raises:
        Uncacheable: the parameters can't be encoded.
    """
    return _head(tuple(stage_ids), encode(parameters))


@functools.lru_cache(maxsize=256)
def _head(stage_ids: tuple[bytes, ...], parameters: bytes) -> Any:
    # All documents of a run share the part before the input: hash it once.
    head = hashlib.blake2b(digest_size=KEY_BYTES, person=b"dataflow memo")
    head.update(encode((SCHEMA, RUNTIME, stage_ids)))
    head.update(tagged(b"parameters", parameters))
    return head


def _encode(value: object) -> bytes:
    kind = type(value)
    encoder = _ENCODERS.get(kind)
    if encoder is not None:
        return encoder(value)
    if isinstance(value, enum.Enum):
        return _named(b"enum", kind, [value.name, value.value])
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _encode_dataclass(value)
    if kind.__module__ == "numpy":
        return _encode_numpy(value)
    raise Uncacheable(
        f"a value of type {home_of(kind)}.{kind.__qualname__} can't be part of a key: "
        "pass plain data (numbers, text, lists, dicts, dataclasses) instead."
    )


def _join(parts: Iterable[object]) -> bytes:
    return b"".join([_encode(part) for part in parts])


def _named(tag: bytes, kind: type, parts: Iterable[object]) -> bytes:
    return tagged(tag, _join([home_of(kind), kind.__qualname__, *parts]))


def _encode_int(value: Any) -> bytes:
    return tagged(b"i", value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def _encode_dict(value: Any) -> bytes:
    return tagged(b"d", b"".join([_encode(k) + _encode(v) for k, v in value.items()]))


def _encode_dataclass(value: Any) -> bytes:
    names = [field.name for field in dataclasses.fields(value)]
    slots = {one for kind in type(value).__mro__ for one in slots_of(kind) if hasattr(value, one)}
    extra = (slots | set(getattr(value, "__dict__", ()))) - set(names)
    if extra:
        raise Uncacheable(
            f"{type(value).__qualname__} carries {sorted(extra)[0]!r}, which is none of its fields: "
            "make it a field, or pass plain data."
        )
    if _has_builtin_base(type(value)):
        raise Uncacheable(
            f"{type(value).__qualname__} is a dataclass over a built-in type: pass plain data instead."
        )
    return _named(
        b"dataclass", type(value), [part for name in names for part in (name, getattr(value, name))]
    )


def slots_of(kind: type) -> Iterable[str]:
    """The attributes that a class itself keeps in slots, as they are called from outside."""
    slots = vars(kind).get("__slots__", ())
    plain = [slots] if isinstance(slots, str) else list(slots)
    own = kind.__name__.lstrip("_")
    hidden = [name.startswith("__") and not name.endswith("__") for name in plain]
    return [
        f"_{own}{n}" if private else n for n, private in zip(plain, hidden, strict=True) if n != "__weakref__"
    ]


def _has_builtin_base(kind: type) -> bool:
    return any(base in _ENCODERS for base in kind.__mro__)


def _encode_numpy(value: Any) -> bytes:
    import numpy

    if not isinstance(value, numpy.generic) and type(value) is not numpy.ndarray:
        raise Uncacheable(f"a numpy.{type(value).__name__} can't be part of a key: pass a plain array.")
    if value.dtype.hasobject or value.dtype.kind == "T":
        raise Uncacheable("a NumPy array of Python objects can't be part of a key: pass numbers or text.")
    # The order in memory counts: the last bit of a sum follows it.
    flags, scalar = value.flags, isinstance(value, numpy.generic)
    order: object = "C" if flags.c_contiguous else "F" if flags.f_contiguous else tuple(value.strides)
    shape = (scalar, tuple(value.shape), order, scalar or bool(flags.writeable))
    return tagged(b"numpy", _join([shape, _dtype_parts(value.dtype)]) + _array_bytes(value))


def _dtype_parts(dtype: Any) -> tuple[object, ...]:
    """All that two types of arrays may differ in."""
    if dtype.names is not None:
        fields = [(name, *_field_parts(dtype.fields[name])) for name in dtype.names]
        kind: tuple[object, ...] = ("fields", fields, dtype.itemsize, dtype.isalignedstruct)
    elif dtype.subdtype is not None:
        kind = ("array", _dtype_parts(dtype.subdtype[0]), tuple(dtype.subdtype[1]))
    else:
        kind = (dtype.str, dtype.char)
    return (*kind, dict(dtype.metadata)) if dtype.metadata else kind


def _field_parts(field: tuple[Any, ...]) -> tuple[object, ...]:
    dtype, offset, *title = field
    return _dtype_parts(dtype), offset, *title


def _array_bytes(value: Any) -> bytes:
    """The values without what lies between them: padding holds whatever was there before."""
    if value.dtype.names is not None:
        return b"".join(tagged(b"field", _array_bytes(value[name])) for name in value.dtype.names)
    data = value.tobytes()
    if value.dtype.char in "gG" and value.dtype.itemsize in (16, 32) and _has_ten_bytes():
        return b"".join(data[i : i + 10] for i in range(0, len(data), 16))
    return bytes(data)


@functools.lru_cache(maxsize=1)
def _has_ten_bytes() -> bool:
    """Whether a long double is one of ten bytes, with six after it that hold nothing."""
    import numpy

    return bool(numpy.finfo(numpy.longdouble).nmant == 63)


def _encode_datetime(value: Any) -> bytes:
    zone = value.tzinfo
    parts: list[object] = []
    if isinstance(zone, datetime.timezone):
        parts = [type(zone).__qualname__, zone.utcoffset(None), str(zone)]
    elif type(zone).__module__.partition(".")[0] == "zoneinfo" and getattr(zone, "key", None) is not None:
        parts = [type(zone).__qualname__, str(getattr(zone, "key", ""))]
    elif zone is not None:
        raise Uncacheable(
            f"a time in a zone of type {type(zone).__qualname__} can't be part of a key: use UTC."
        )
    return _named(b"time", type(value), [value.replace(tzinfo=None).isoformat(), value.fold, *parts])


def _text(tag: bytes, render: Callable[[Any], str]) -> Callable[[Any], bytes]:
    return lambda value: _named(tag, type(value), [render(value)])


_ENCODERS: dict[type, Callable[[Any], bytes]] = {
    type(None): lambda value: tagged(b"n", b""),
    type(Ellipsis): lambda value: tagged(b"e", b""),
    bool: lambda value: tagged(b"b", b"\x01" if value else b"\x00"),
    int: _encode_int,
    float: lambda value: tagged(b"f", struct.pack(">d", value)),
    complex: lambda value: tagged(b"c", struct.pack(">dd", value.real, value.imag)),
    # Lone surrogates are real: PDFs and mails are full of them.
    str: lambda value: tagged(b"s", value.encode("utf-8", "surrogatepass")),
    bytes: lambda value: tagged(b"y", value),
    bytearray: lambda value: tagged(b"Y", bytes(value)),
    list: lambda value: tagged(b"l", _join(value)),
    tuple: lambda value: tagged(b"t", _join(value)),
    dict: _encode_dict,
    set: lambda value: tagged(b"S", b"".join(sorted(map(_encode, value)))),
    frozenset: lambda value: tagged(b"F", b"".join(sorted(map(_encode, value)))),
    range: lambda value: tagged(b"r", _join([value.start, value.stop, value.step])),
    slice: lambda value: tagged(b"/", _join([value.start, value.stop, value.step])),
    datetime.date: _text(b"date", lambda value: str(value.isoformat())),
    datetime.time: _encode_datetime,
    datetime.datetime: _encode_datetime,
    datetime.timedelta: lambda value: tagged(
        b"delta", _join([value.days, value.seconds, value.microseconds])
    ),
    datetime.timezone: lambda value: tagged(b"zone", _join([value.utcoffset(None), str(value)])),
    decimal.Decimal: _text(b"Decimal", str),
    fractions.Fraction: _text(b"Fraction", str),
    uuid.UUID: lambda value: tagged(b"uuid", value.bytes),
    pathlib.PurePosixPath: _text(b"path", str),
    pathlib.PureWindowsPath: _text(b"path", str),
    pathlib.PosixPath: _text(b"path", str),
    pathlib.WindowsPath: _text(b"path", str),
}

LEAVES = frozenset(_ENCODERS) - {list, tuple, dict, set, frozenset, slice, datetime.time, datetime.datetime}
"""Types whose values hold no other values."""


def of_leaves(value: Any) -> bool:
    """Whether a value is a list, tuple, set or dict of plain leaves alone; quick, however long it is."""
    kind = type(value)
    if kind in (list, tuple, set, frozenset):
        return LEAVES.issuperset(map(type, value))
    if kind is dict:
        return LEAVES.issuperset(map(type, value)) and LEAVES.issuperset(map(type, value.values()))
    return False
