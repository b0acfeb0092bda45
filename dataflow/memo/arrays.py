"""NumPy arrays and scalars as bytes and back: dtype, shape, memory order and writability included.

The order is kept since results depend on it: NumPy adds up an array in Fortran order in other steps than
one in C order, and the last bit of a sum follows.
"""

from __future__ import annotations

from typing import Any

from dataflow.memo.keys import Uncacheable

__all__ = ["array_parts", "array_value", "layout", "plain_dtype"]

_SCALARS = "biufcmM"


def layout(array: Any) -> str:
    """``C``, ``F``, or an empty string for an array that is neither and whose strides count."""
    return "C" if array.flags.c_contiguous else "F" if array.flags.f_contiguous else ""


def plain_dtype(dtype: Any) -> str:
    """The text that NumPy makes this very dtype of again.

    Raises:
        Uncacheable: there is none: a structured one, one of another package, one with metadata.
    """
    import numpy

    text = str(dtype.str)
    if dtype.names is not None or dtype.subdtype is not None or dtype.metadata or dtype.kind in "VT":
        raise Uncacheable(f"an array of dtype {dtype} can't be kept: use one column a field.")
    if numpy.dtype(text).char != dtype.char:
        text = dtype.byteorder.replace("=", "") + dtype.char  # a long long that is as long as a long
    if numpy.dtype(text) != dtype or numpy.dtype(text).char != dtype.char:
        raise Uncacheable(f"an array of dtype {dtype} can't be kept: use one of NumPy's own.")
    return text


def array_parts(value: Any) -> list[Any]:
    """An array or scalar as a list of plain values; of an array of objects, its members are among them.

    Raises:
        Uncacheable: a subclass, a dtype without a name, or an array that is a view with gaps.
    """
    import numpy

    scalar = isinstance(value, numpy.generic)
    if not scalar and type(value) is not numpy.ndarray:
        raise Uncacheable(f"a numpy.{type(value).__name__} can't be kept: return a plain array.")
    dtype = plain_dtype(value.dtype)
    if scalar:
        if value.dtype.kind not in _SCALARS or numpy.asarray(value)[()].dtype != value.dtype:
            raise Uncacheable(f"a numpy.{type(value).__name__} can't be kept: return a Python value.")
        return [dtype, "scalar", True, [], value.tobytes(), []]
    shape = list(value.shape)
    if not layout(value) and not value.flags.writeable:
        # One value that is shown many times over, as ``broadcast_to`` makes: kept once.
        value = value[tuple(slice(0, 1) if step == 0 else slice(None) for step in value.strides)]
    order = layout(value)
    if not order:
        raise Uncacheable("an array that is a view with gaps can't be kept as it is: return a copy.")
    data = value.ravel(order=order).tolist() if value.dtype.hasobject else value.tobytes(order=order)
    return [dtype, order, bool(value.flags.writeable), list(value.shape), data, shape]


def array_value(parts: list[Any]) -> Any:
    """The array or scalar of :func:`array_parts`; raises ValueError if it isn't one."""
    import numpy

    dtype, order, writeable, shape, data, shown = parts
    kind = numpy.dtype(dtype)
    if order == "scalar":
        return numpy.frombuffer(data, kind)[0]
    # The array's own memory: who gets a read-only one may make it writeable, as the one who computed it may.
    array = numpy.empty(shape, kind, order=order)
    flat = array.reshape(-1, order=order)
    if kind.hasobject:
        for index, member in enumerate(data):
            flat[index] = member
    else:
        flat[:] = numpy.frombuffer(data, kind)
    array.flags.writeable = writeable
    return array if shape == shown else numpy.broadcast_to(array, shown)
