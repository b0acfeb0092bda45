"""What is sent to other processes with the code that they don't have: cloudpickle, and what it leaves out."""

from __future__ import annotations

import contextlib
import copyreg
import functools
import io
import sys
import types
import typing
from collections import ChainMap
from collections.abc import Callable, Mapping
from typing import IO, Any, ClassVar
from weakref import WeakKeyDictionary, WeakValueDictionary

import cloudpickle

from dataflow.memo.classes import complete_model
from dataflow.sources import found_by_name

__all__ = ["pack_into", "packed"]

_Cached = type(functools.lru_cache(len))


def packed(value: Any) -> bytes:
    """The value as bytes that ``pickle.loads`` makes it of again in another process.

    Code of a script, or of a workload's own file, travels with it, functions with a cache of their own included: these
    arrive with an empty one.

    Raises:
        pickle.PicklingError, TypeError: it can't be sent.
    """
    with io.BytesIO() as file:
        pack_into(file, value)
        return file.getvalue()


def pack_into(file: IO[bytes], value: Any) -> None:
    """As :func:`packed`, at the end of a file."""
    _Pickler(file, protocol=5).dump(value)


def _reduced(function: Any) -> str | tuple[Callable[..., Any], tuple[Any, ...]]:
    """How a function under ``functools.lru_cache`` is made again: by its name where its module can be imported."""
    if _is_at(function, function.__module__, function.__qualname__):
        by_name: str = function.__reduce__()
        return by_name
    return _cached_again, (function.__wrapped__, function.cache_parameters())


def _is_at(value: object, module: str | None, path: str) -> bool:
    """Whether a value is found by its name in a module that other processes can import."""
    alone = cloudpickle.list_registry_pickle_by_value()
    if module in (None, "__main__") or any(f"{module}.".startswith(f"{name}.") for name in alone):
        return False
    return found_by_name(str(module), path) is value


def _cached_again(function: Callable[..., Any], parameters: Mapping[str, Any]) -> Callable[..., Any]:
    cached: Callable[..., Any] = functools.lru_cache(**parameters)(function)
    return cached


def _named_type(made: Any) -> str | tuple[Callable[..., Any], tuple[Any, ...]]:
    """What ``typing`` makes of a name, and pickles by it."""
    if _is_at(made, made.__module__, made.__name__):
        return str(made.__name__)
    return type(made), (made.__name__, *([made.__supertype__] if isinstance(made, typing.NewType) else []))


def _not_begun(manager: Any) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """A manager that ``contextlib`` has made of a generator: as a decorator, it is made anew for each call."""
    return type(manager), (manager.func, manager.args, manager.kwds)


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
            contextlib._GeneratorContextManager: _not_begun,
            contextlib._AsyncGeneratorContextManager: _not_begun,
            typing.NewType: _named_type,
            typing.ParamSpec: _named_type,
            typing.TypeVarTuple: _named_type,
            WeakKeyDictionary: _with_what_lives,
            WeakValueDictionary: _with_what_lives,
            types.MappingProxyType: lambda proxy: (types.MappingProxyType, (dict(proxy),)),
        },
        cloudpickle.Pickler.dispatch_table,
    )

    def reducer_override(self, value: Any) -> Any:
        """Complete a model of pydantic's that is still to look for what its annotations name; and leave out of an
        environment of Jinja's its templates, which name others by where they lie in memory.
        """
        if isinstance(value, type):
            complete_model(value)
            return super().reducer_override(value)
        jinja = sys.modules.get("jinja2")
        if jinja is not None and isinstance(value, jinja.Environment):
            state = {
                **vars(value),
                "cache": jinja.environment.create_cache(value.cache.capacity if value.cache else 0),
            }
            return copyreg.__newobj__, (type(value),), state  # type: ignore[attr-defined]
        return super().reducer_override(value)
