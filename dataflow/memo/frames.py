"""pandas frames, series and indexes as plain parts and back, block by block: nothing is inferred anew.

A way through Arrow alone would change them: it merges or splits blocks, drops the frequency of an index and
guesses the types of objects. So NumPy blocks travel as they lie in memory, strings as Arrow, and whatever
isn't known here is refused.
"""

from __future__ import annotations

from typing import Any

from dataflow.memo.keys import Uncacheable

__all__ = ["frame_parts", "frame_value", "is_frame"]


def is_frame(value: object) -> bool:
    """Whether a value is one that pandas made and that :func:`frame_parts` may take."""
    return type(value).__module__.partition(".")[0] == "pandas"


def frame_parts(value: Any) -> list[Any]:
    """A frame, series, index or missing value as lists of plain values, NumPy arrays and Arrow tables.

    Raises:
        Uncacheable: a subclass, or an array, index or attribute of a kind that isn't known here.
    """
    import pandas as pd

    kind = type(value)
    if value is pd.NaT or value is pd.NA:
        return ["missing", "NaT" if value is pd.NaT else "NA"]
    if kind is pd.DataFrame:
        blocks = [[_array_parts(block.values), block.mgr_locs.as_array] for block in value._mgr.blocks]
        return ["frame", blocks, _index_parts(value.index), _index_parts(value.columns), _extras(value)]
    if kind is pd.Series:
        return ["series", _array_parts(value._values), _index_parts(value.index), value.name, _extras(value)]
    if isinstance(value, pd.Index):
        return ["index", _index_parts(value)]
    raise Uncacheable(f"a pandas {kind.__name__} can't be kept: return a DataFrame, a Series or an Index.")


def frame_value(parts: list[Any]) -> Any:
    """What :func:`frame_parts` took apart; raises ValueError if it isn't that."""
    import pandas as pd
    from pandas.api.internals import create_dataframe_from_blocks  # type: ignore[import-not-found]

    kind, *rest = parts
    if kind == "missing":
        return pd.NaT if rest[0] == "NaT" else pd.NA
    if kind == "index":
        return _index_value(rest[0])
    if kind == "frame":
        blocks, index, columns, extras = rest
        arrays = [(_array_value(array), places) for array, places in blocks]
        frame = create_dataframe_from_blocks(arrays, _index_value(index), _index_value(columns))
        return _with_extras(frame, extras)
    if kind == "series":
        array, index, name, extras = rest
        values = _array_value(array)
        # The dtype is said, so that nothing is inferred from objects.
        series = pd.Series(values, _index_value(index), values.dtype, name=name, copy=False)
        return _with_extras(series, extras)
    raise ValueError(f"pandas part {kind!r} is unknown")


def _extras(value: Any) -> list[Any]:
    return [value.attrs, value.flags.allows_duplicate_labels]


def _with_extras(value: Any, extras: list[Any]) -> Any:
    value.attrs = extras[0]
    if not extras[1]:
        value.flags.allows_duplicate_labels = False
    return value


def _index_parts(index: Any) -> list[Any]:
    import pandas as pd

    kind = type(index)
    if kind is pd.RangeIndex:
        return ["range", index.start, index.stop, index.step, index.name]
    if kind is pd.MultiIndex:
        levels = [_index_parts(level) for level in index.levels]
        return ["multi", levels, list(index.codes), list(index.names), index.sortorder]
    if kind in (pd.Index, pd.CategoricalIndex, pd.DatetimeIndex, pd.TimedeltaIndex):
        frequency = getattr(index, "freqstr", None)
        if frequency is not None and pd.tseries.frequencies.to_offset(frequency) != index.freq:
            raise Uncacheable(f"an index of frequency {frequency} can't be kept: drop the frequency.")
        return ["flat", _array_parts(index._values), index.name, frequency]
    raise Uncacheable(f"a pandas {kind.__name__} can't be kept: use a plain index.")


def _index_value(parts: list[Any]) -> Any:
    import pandas as pd

    kind, *rest = parts
    if kind == "range":
        start, stop, step, name = rest
        return pd.RangeIndex(start, stop, step, name=name)
    if kind == "multi":
        levels, codes, names, sortorder = rest
        made = [_index_value(level) for level in levels]
        return pd.MultiIndex(made, codes, sortorder=sortorder, names=names, verify_integrity=False)
    array, name, frequency = rest
    values = _array_value(array)
    index = pd.Index(values, name=name, dtype=values.dtype, copy=False)
    if frequency is not None:
        index.freq = frequency
    return index


def _array_parts(array: Any) -> list[Any]:
    import numpy
    import pandas as pd

    kind = type(array)
    if kind is numpy.ndarray:
        return ["numpy", array]
    if kind in (pd.arrays.DatetimeArray, pd.arrays.TimedeltaArray):
        return ["time", kind.__name__, array._ndarray, _time_dtype(array.dtype)]
    if kind is pd.Categorical:
        return ["category", array._codes, _index_parts(array.categories), bool(array.ordered)]
    if kind in (pd.arrays.IntegerArray, pd.arrays.FloatingArray, pd.arrays.BooleanArray):
        return ["masked", kind.__name__, array._data, array._mask]
    if kind is pd.arrays.ArrowStringArray:
        return ["string", array.dtype.na_value is pd.NA, _table(array._pa_array)]
    if kind is pd.arrays.ArrowExtensionArray:
        return ["arrow", _table(array._pa_array)]
    raise Uncacheable(f"a pandas {kind.__name__} can't be kept: convert it to a NumPy or Arrow type.")


def _array_value(parts: list[Any]) -> Any:
    import pandas as pd

    kind, *rest = parts
    if kind == "numpy":
        return rest[0]
    if kind == "time":
        name, ndarray, dtype = rest
        return getattr(pd.arrays, name)._simple_new(ndarray, dtype=pd.api.types.pandas_dtype(dtype))
    if kind == "category":
        codes, categories, ordered = rest
        kept: Any = pd.Categorical
        return kept._simple_new(codes, pd.CategoricalDtype(_index_value(categories), ordered))
    if kind == "masked":
        name, data, mask = rest
        return getattr(pd.arrays, name)(data, mask)
    if kind == "string":
        dtype = pd.StringDtype("pyarrow") if rest[0] else pd.StringDtype("pyarrow", na_value=float("nan"))
        strings: Any = pd.arrays.ArrowStringArray
        return strings(rest[1].column(0), dtype=dtype)
    if kind == "arrow":
        return pd.arrays.ArrowExtensionArray(rest[0].column(0))
    raise ValueError(f"pandas array {kind!r} is unknown")


def _time_dtype(dtype: Any) -> str:
    import pandas as pd

    try:
        again = pd.api.types.pandas_dtype(str(dtype))
    except (TypeError, ValueError):
        again = None
    zones = [getattr(one, "tz", None) for one in (dtype, again)]
    if again != dtype or type(zones[0]) is not type(zones[1]) or str(zones[0]) != str(zones[1]):
        raise Uncacheable(f"times of type {dtype} can't be kept: use UTC or a zone of zoneinfo.")
    return str(dtype)


def _table(column: Any) -> Any:
    import pyarrow as pa

    return pa.table({"": column})
