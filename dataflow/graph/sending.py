"""What is sent to other processes with the code that they don't have: cloudpickle, and what it leaves out."""

from __future__ import annotations

import functools
import io
import sys
import types
from collections import ChainMap
from collections.abc import Callable, Mapping
from typing import Any, ClassVar
from weakref import WeakKeyDictionary, WeakValueDictionary

import cloudpickle

from dataflow.errors import WorkloadError, one_line

__all__ = ["packed", "packed_pipeline"]

_Cached = type(functools.lru_cache(len))


def packed(value: Any) -> bytes:
    """The value as bytes that ``pickle.loads`` makes it of again in another process.

    Code of a script, or of a workload's own file, travels with it, functions with a cache of their own included: these
    arrive with an empty one.

    Raises:
        pickle.PicklingError, TypeError: it can't be sent.
    """
    with io.BytesIO() as file:
        _Pickler(file, protocol=5).dump(value)
        return file.getvalue()


def packed_pipeline(value: Any) -> bytes:
    """A pipeline, or what holds one, as bytes: see :func:`packed`.

    Raises:
        WorkloadError: it can't be sent.
    """
    try:
        return packed(value)
    except Exception as error:
        raise WorkloadError(
            f"the pipeline can't be sent to worker processes: {one_line(error)}. "
            "Define its stages at the top of a module and keep open files and locks out of them."
        ) from error


def _reduced(function: Any) -> str | tuple[Callable[..., Any], tuple[Any, ...]]:
    """How a function under ``functools.lru_cache`` is made again: by its name where its module can be imported."""
    if _is_there(function):
        by_name: str = function.__reduce__()
        return by_name
    return _cached_again, (function.__wrapped__, function.cache_parameters())


def _is_there(function: Any) -> bool:
    module = function.__module__
    alone = cloudpickle.list_registry_pickle_by_value()
    if module in (None, "__main__") or any(f"{module}.".startswith(f"{name}.") for name in alone):
        return False
    found: Any = sys.modules.get(module)
    for name in function.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is function


def _cached_again(function: Callable[..., Any], parameters: Mapping[str, Any]) -> Callable[..., Any]:
    cached: Callable[..., Any] = functools.lru_cache(**parameters)(function)
    return cached


def _without_its_lock(descriptor: Any) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """Python 3.11 gives each ``functools.cached_property`` a lock."""
    return _property_again, (descriptor.func, descriptor.attrname)


def _property_again(function: Callable[..., Any], name: str | None) -> Any:
    made = functools.cached_property(function)
    made.attrname = name
    return made


def _with_what_lives(held: Any) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """As ``functools.singledispatch`` holds what it has found out."""
    return type(held), (dict(held.items()),)


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    dispatch_table: ClassVar = ChainMap(
        {
            _Cached: _reduced,
            functools.cached_property: _without_its_lock,
            WeakKeyDictionary: _with_what_lives,
            WeakValueDictionary: _with_what_lives,
            types.MappingProxyType: lambda proxy: (types.MappingProxyType, (dict(proxy),)),
        },
        cloudpickle.Pickler.dispatch_table,
    )
