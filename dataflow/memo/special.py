"""How the walk describes objects that hold their meaning in other places than their attributes."""

from __future__ import annotations

import contextlib
import contextvars
import decimal
import functools
import gc
import hashlib
import importlib
import io
import json.scanner
import logging
import re
import struct
import sys
import threading
import types
import typing
import weakref
from collections import OrderedDict
from collections.abc import Callable, Set
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataflow.memo.hints import hint
from dataflow.memo.keys import digest, encode
from dataflow.memo.origin import class_owner, installed_as, module_of
from dataflow.pipeline import Stage
from dataflow.sources import found_by_name

if TYPE_CHECKING:
    from dataflow.memo.walk import Walk

__all__ = ["contents", "file_digest", "filled_by_calls", "importable", "kept_in", "special", "taken"]

_BUILTIN_CALLABLES = (
    types.BuiltinFunctionType,
    types.MethodDescriptorType,
    types.WrapperDescriptorType,
    types.MethodWrapperType,
    types.ClassMethodDescriptorType,
    types.GetSetDescriptorType,
    types.MemberDescriptorType,
)
# A lock has no value that a result could depend on; nor has a logger, but for its name.
_LOCKS = (
    type(threading.Lock()),
    type(threading.RLock()),
    threading.Condition,
)


_MANAGERS = (contextlib._GeneratorContextManager, contextlib._AsyncGeneratorContextManager)
_SCANNERS = type(json.scanner.make_scanner(json.JSONDecoder()))  # type: ignore[arg-type]
_VIEWS = tuple(
    type(getattr(kind(), name)()) for kind in (dict, OrderedDict) for name in ("keys", "values", "items")
)
_HASHES = tuple(
    type(made())
    for made in (hashlib.sha256, hashlib.shake_128, hashlib.blake2b, hashlib.blake2s, hashlib.sha3_256)
)


def special(walk: Walk, value: object) -> bytes | None:
    """The description of an object of a type that is listed here; ``None`` for any other."""
    if isinstance(value, io.TextIOBase) and value in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        return encode("a stream of the process")
    if (type(value).__module__, type(value).__name__) == ("loguru._logger", "Logger"):
        return encode("a logger")
    if (type(value).__module__, type(value).__name__) == ("concurrent.futures.thread", "ThreadPoolExecutor"):
        # Whatever is handed to it is seen where that is done. What is done in each of its threads first is its own.
        return encode("a pool of threads") + walk.value(
            (taken(value, "_initializer"), taken(value, "_initargs"))
        )
    if _is_client(type(value)):
        walk.notices.unseen(f"a {type(value).__name__}")
        return encode("a client of a server")
    for known, describe in _TABLE:
        if issubclass(type(value), known):
            if class_owner(type(value)) is not None:
                walk.uses(module_of(type(value)))
            own = b"" if _is_exactly(value, known) else walk.value(type(value)) + _state(walk, value)
            return encode(type(value).__qualname__) + describe(walk, value) + own
    return None


def _is_client(kind: type) -> bool:
    """Whether it speaks to a Redis: its connections and their numbers are another process's elsewhere.

    One of ours that is derived of such a class has code of its own, and is told by that.
    """
    return kind.__module__.partition(".")[0] in ("redis", "valkey") and kind.__name__ in _CLIENTS


_CLIENTS = ("Connection", "ConnectionPool", "Redis", "RedisCluster", "Sentinel", "Valkey", "ValkeyCluster")


def _is_exactly(value: object, known: Any) -> bool:
    return any(type(value) is one for one in (known if isinstance(known, tuple) else (known,)))


def _state(walk: Walk, value: object) -> bytes:
    # A logger holds handlers and its tree, a stage's own description says all that counts, and a generic shows what
    # it is of.
    skip = isinstance(value, logging.Logger | Stage | types.GenericAlias)
    return b"" if skip else walk.items(dict(getattr(value, "__dict__", {})))


def importable(module: str, qualname: str) -> object:
    """What a module that is loaded holds under a dotted name; ``None`` if nothing."""
    if module == "builtins":
        importlib.import_module(module)
    return found_by_name(module, qualname)


def taken(value: object, name: str) -> Any:
    """An attribute; ``None`` where there is none, or taking it raises: a property raises what it likes."""
    try:
        return getattr(value, name, None)
    except Exception:
        return None


def contents(cell: Any) -> object:
    """What a closure's cell holds; an ellipsis of its own kind for a cell that was never filled."""
    try:
        return cell.cell_contents
    except ValueError:
        return ("an empty cell", ...)


def filled_by_calls(module: str) -> Set[str]:
    """What an installed decorator's functions and objects hold under these names is filled when they are called."""
    return _FILLED.get(module.partition(".")[0], frozenset())


def kept_in(cache: object) -> list[object]:
    """What a cache of an installed module's keeps; it isn't asked, since that may change it."""
    return [cache, *getattr(cache, "__dict__", {}).values()]


_FILLED = {
    "cachetools": {"cache"},
    "jinja2": {"cache", "_module"},
    "markdown_it": {"__cache__", "terminator_re"},  # a pattern of a set of its own
    "numpy": {"_ufunc"},  # of `vectorize`
    "pydantic": {"_default_factory_takes_validated_data"},
    "pygments": {"span_element_openers"},
    "tenacity": {"statistics"},
}


def file_digest(path: str | None) -> bytes:
    """The digest of a compiled module's file; of nothing, where it has none."""
    return digest(Path(path).read_bytes()) if path and Path(path).is_file() else b""


def _stage(walk: Walk, stage: Any) -> bytes:
    parts = walk.value(stage.function) + walk.value(stage.version) + walk.value(stage.deps)
    return parts + encode(sorted(stage.ignore))


def _builtin(walk: Walk, value: Any) -> bytes:
    # What is bound is told by what it is bound to, although it names its class too.
    bound = isinstance(value, types.MethodWrapperType)
    owner = None if bound else getattr(value, "__objclass__", None)
    if owner is None:
        owner = getattr(value, "__self__", None)
    name = encode(getattr(value, "__qualname__", value.__name__))
    return name + (encode(None) if owner is None else walk.value(owner))


def _partial(walk: Walk, value: Any) -> bytes:
    given = {**{str(place): one for place, one in enumerate(value.args)}, **value.keywords}
    told = encode((len(value.args), list(value.keywords))) + walk.items(given, lambda _: None)
    return walk.value(value.func) + told + _extra(walk, value)


def _wrapper(walk: Walk, value: Any) -> bytes:
    # What it has given once, it gives again: settings that others change, a registry that they fill.
    walk.gives_again(
        value, [one for one in gc.get_referents(value) if not isinstance(one, types.FunctionType)]
    )
    # `functools.wraps` over a cache names another function than the one whose results it holds.
    held = [one for one in gc.get_referents(value) if isinstance(one, types.FunctionType)]
    others = [] if any(one is value.__wrapped__ for one in held) else held
    # One with types apart gives `1` and `1.0` results of their own.
    kind = encode("typed") if value.cache_parameters()["typed"] else b""
    return walk.value(value.__wrapped__) + b"".join(map(walk.value, others)) + kind + _extra(walk, value)


def _extra(walk: Walk, value: Any) -> bytes:
    """Attributes that somebody gave it."""
    names = {
        "__wrapped__",
        "__doc__",
        "__module__",
        "__name__",
        "__qualname__",
        "__annotations__",
        "__type_params__",
    }
    return walk.items({k: v for k, v in vars(value).items() if k not in names and k != "cache_parameters"})


def _local(walk: Walk, value: Any) -> bytes:
    return walk.items({k: v for k, v in vars(value).items() if isinstance(k, str)})


def _variable(walk: Walk, value: contextvars.ContextVar[Any]) -> bytes:
    walk.uses("contextvars")
    try:
        # In a context of its own it has its default.
        return walk.value((value.name, contextvars.Context().run(value.get)))
    except LookupError:
        return walk.value((value.name,))


def _context(walk: Walk, value: decimal.Context) -> bytes:
    traps = sorted(signal.__name__ for signal, caught in value.traps.items() if caught)
    return encode((value.prec, value.rounding, value.Emin, value.Emax, value.capitals, value.clamp, traps))


def _hash(walk: Walk, value: Any) -> bytes:
    length = () if value.digest_size else (32,)  # whose digests are as long as is asked for
    return encode((value.name, value.digest(*length)))


def _logger(walk: Walk, value: Any) -> bytes:
    # Most are called like their module, which a script's is not.
    module = sys.modules.get(value.name)
    own = module is not None and (value.name == "__main__" or installed_as(value.name) is None)
    return encode("its module's" if own else value.name)


def _weak(walk: Walk, value: Any) -> bytes:
    return walk.value(value())


def _weak_members(walk: Walk, value: Any) -> bytes:
    members = list(value) if isinstance(value, weakref.WeakSet) else list(value.items())
    return walk.unordered(members, id(value))


def _attributes(*names: str) -> Callable[[Walk, Any], bytes]:
    return lambda walk, value: b"".join(walk.value(getattr(value, name)) for name in names)


_TABLE: tuple[tuple[Any, Callable[[Walk, Any], bytes]], ...] = (
    (Stage, _stage),
    (types.MethodType, _attributes("__func__", "__self__")),
    (functools.partial, _partial),
    (_VIEWS, lambda walk, value: walk.value(list(value))),
    (functools._lru_cache_wrapper, _wrapper),
    (functools.cached_property, _attributes("func")),
    ((staticmethod, classmethod), _attributes("__func__")),
    (property, _attributes("fget", "fset", "fdel")),
    (_BUILTIN_CALLABLES, _builtin),
    (re.Pattern, _attributes("pattern", "flags")),
    (struct.Struct, _attributes("format")),
    (logging.Logger, _logger),
    (contextvars.ContextVar, _variable),
    (threading.Event, lambda walk, value: encode(value.is_set())),
    (threading.local, _local),
    (typing.ForwardRef, _attributes("__forward_arg__")),
    (typing.NewType, _attributes("__name__", "__supertype__")),
    (weakref.ref, _weak),
    ((weakref.WeakSet, weakref.WeakKeyDictionary, weakref.WeakValueDictionary), _weak_members),
    (_MANAGERS, _attributes("func", "args", "kwds")),
    (
        _SCANNERS,
        _attributes(
            "strict", "object_hook", "object_pairs_hook", "parse_float", "parse_int", "parse_constant"
        ),
    ),
    (_HASHES, _hash),
    (decimal.Context, _context),
    (_LOCKS, lambda walk, value: b""),
    ((types.GenericAlias, types.UnionType, typing.TypeVar), hint),
)
