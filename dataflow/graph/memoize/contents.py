"""The content of a task's argument or result as canonical bytes: what a memo node's key is made of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dataflow.memo.arrays import layout, plain_dtype
from dataflow.memo.codecs import encode_value
from dataflow.memo.keys import LEAVES, Uncacheable, digest, encode, of_leaves, tagged

__all__ = ["content"]

_TAGS: dict[type, bytes] = {list: b"l", tuple: b"t", set: b"S", frozenset: b"F", dict: b"d"}
_PACKAGES = ("numpy", "pandas", "pyarrow")


def content(value: object) -> bytes:
    """Bytes that two values share when no function can tell them apart.

    Takes plain data, NumPy arrays and scalars, pandas frames and Arrow tables, nested as you like. Instances
    of classes are refused: what their methods do is no part of their content.

    Raises:
        Uncacheable: any other type, or a value nested too deep.
    """
    try:
        return _content(value)
    except RecursionError:
        raise Uncacheable("a value that is nested too deep can't be part of a key.") from None


def _content(value: Any) -> bytes:
    kind = type(value)
    if kind in LEAVES or of_leaves(value):
        return encode(value)
    if kind in _TAGS:
        return tagged(_TAGS[kind], b"".join(_members(value)))
    package = kind.__module__.partition(".")[0]
    if package == "numpy":
        return _array(value)
    if package in _PACKAGES:
        codec, data = encode_value(value)
        return tagged(b"kept", encode((_version(package), codec)) + digest(data))
    if kind.__module__ in ("builtins", "datetime"):
        return encode(value)
    raise Uncacheable(f"a value of type {kind.__module__}.{kind.__qualname__} has no content to be keyed by.")


def _members(value: Any) -> Iterable[bytes]:
    if isinstance(value, dict):
        return [_content(key) + _content(member) for key, member in value.items()]
    members = map(_content, value)
    return sorted(members) if isinstance(value, set | frozenset) else members


def _array(value: Any) -> bytes:
    import numpy

    if type(value) is numpy.ndarray and not value.dtype.hasobject:
        # An array that is a view with gaps can't be kept, yet it can be told apart. Strides count there, since
        # sums follow them.
        order = layout(value)
        shape = (value.shape, order or value.strides, value.flags.writeable)
        head = encode((_version("numpy"), plain_dtype(value.dtype), *shape))
        data = value.tobytes(order="F" if order == "F" else "C")
        return tagged(b"array", head + digest(data))
    codec, data = encode_value(value)
    return tagged(b"kept", encode((_version("numpy"), codec)) + digest(data))


def _version(package: str) -> str:
    # ``operator.add`` is Python's own, yet NumPy or pandas decides what it does to theirs.
    import importlib

    return f"{package} {importlib.import_module(package).__version__}"
