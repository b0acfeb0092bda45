"""Arrow columns of plain values.

Arrow's own conversion imports pandas when it is first used: half a second of every process that writes a part, and most
of what a small job takes. Its builder and its buffers do without, so the plain cases go by these, and all others,
values that don't fit included, by Arrow.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import accumulate, chain
from types import NoneType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["column"]


def column(values: Sequence[Any], kind: pa.DataType) -> pa.Array | pa.ChunkedArray:
    """Values as a column, equal to ``pyarrow.array(values, type=kind)``, and truth values where numbers may be.

    Raises:
        TypeError, ValueError, OverflowError, pyarrow.ArrowException: a value doesn't fit.
    """
    import pyarrow as pa

    made = _plain(values, kind)
    # The builder is silent about values that it has no room for: two gibibytes of text need more than one array.
    return made if made is not None and len(made) == len(values) else pa.array(values, type=kind)


def _plain(values: Sequence[Any], kind: pa.DataType) -> pa.Array | None:
    """``None`` where the values aren't what the type is for."""
    import pyarrow as pa

    found = set(map(type, values))
    valid = _valid(values) if NoneType in found else None
    found.discard(NoneType)
    if not found:
        return pa.nulls(len(values), kind)
    if kind == pa.string() and found <= {str}:
        builder = pa.lib.StringBuilder()
        builder.append_values(values)
        return builder.finish()
    if pa.types.is_list(kind) and found <= {list}:
        return _lists([v or () for v in values], kind, valid)
    # To Python a truth value is a number; to Arrow it isn't.
    for numbers_of, code, fitting in (({int, bool}, "q", pa.int64()), ({float}, "d", pa.float64())):
        if kind == fitting and found <= numbers_of:
            numbers = array(code, [0 if v is None else v for v in values] if valid else values)
            return pa.Array.from_buffers(kind, len(values), [valid, pa.py_buffer(numbers)])
    return None


def _lists(values: Sequence[Sequence[Any]], kind: pa.DataType, valid: pa.Buffer | None) -> pa.Array | None:
    import pyarrow as pa

    items = list(chain.from_iterable(values))
    inner = _plain(items, kind.value_type)
    if inner is None or len(inner) != len(items):
        return None
    offsets = pa.py_buffer(array("i", accumulate(map(len, values), initial=0)))
    return pa.Array.from_buffers(kind, len(values), [valid, offsets], children=[inner])


def _valid(values: Sequence[Any]) -> pa.Buffer:
    """Which values aren't null, a bit each, the first one lowest."""
    import numpy as np
    import pyarrow as pa

    return pa.py_buffer(np.packbits([v is not None for v in values], bitorder="little"))
