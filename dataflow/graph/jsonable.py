"""Values as JSON has them, of the types that stages give in tables, models and lists of them."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import pathlib
import uuid
from collections import deque
from collections.abc import Mapping
from typing import Any

__all__ = ["plain_of"]


def plain_of(value: Any) -> Any:
    """A value that JSON doesn't know as one that it does; for ``json.dumps(default=)``.

    Times are written as ISO 8601 has them, durations in seconds, enumerations by their values, sets in the order of
    their members; dataclasses, models of pydantic and classes of attrs as tables, arrays as lists.

    Raises:
        TypeError: there is no such value.
    """
    match value:
        case datetime.date() | datetime.time():
            return value.isoformat()
        case datetime.timedelta():
            return value.total_seconds()
        case decimal.Decimal() | pathlib.PurePath() | uuid.UUID():
            return str(value)
        case enum.Enum():
            return value.value
        case set() | frozenset():
            return _in_order(value)
        case Mapping():
            return dict(value)
        case deque():
            return list(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if hasattr(type(value), "__pydantic_fields__"):
        return value.model_dump(mode="json")
    if hasattr(type(value), "__attrs_attrs__"):
        return {one.name: getattr(value, one.name) for one in type(value).__attrs_attrs__}
    if type(value).__module__.partition(".")[0] == "numpy" and hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def _in_order(members: set[Any] | frozenset[Any]) -> list[Any]:
    try:
        return sorted(members)
    except TypeError:
        return sorted(members, key=repr)
