"""How the walk describes a class: bases, methods, attributes; generated parts by what they were made of."""

from __future__ import annotations

import abc
import contextlib
import dataclasses
import enum
import inspect
import reprlib
import sys
import types
from typing import TYPE_CHECKING, Any

from dataflow.memo.bindings import Finder, class_bindings, defaults_of
from dataflow.memo.hints import each_hint, hint
from dataflow.memo.keys import encode, tagged
from dataflow.memo.order import has_order
from dataflow.memo.origin import module_of
from dataflow.memo.special import importable
from dataflow.sources import home_of

if TYPE_CHECKING:
    from dataflow.memo.walk import Walk

__all__ = ["class_parts", "complete_model"]

_BOOKKEEPING = frozenset(
    {
        "__abstractmethods__", "__annotate__", "__annotate_func__", "__annotations__",
        "__annotations_cache__", "__dataclass_fields__", "__dataclass_params__", "__dict__", "__doc__",
        "__firstlineno__", "__module__", "__non_callable_proto_members__",
        "__orig_bases__", "__parameters__", "__protocol_attrs__", "__qualname__", "__slotnames__",
        "__static_attributes__", "__weakref__", "_abc_impl", "_is_protocol", "_is_runtime_protocol",
    }
)  # fmt: skip
# A generated `__repr__` is wrapped by the standard library, so that it may meet itself.
_MSGSPEC = ("__struct_fields__", "__struct_encode_fields__")
_WRAPPING = (dataclasses.__file__, reprlib.__file__)
_ENUM_BOOKKEEPING = frozenset(
    {
        "__new_member__", "_generate_next_value_", "_hashable_values_", "_member_map_", "_member_names_",
        "_member_type_", "_unhashable_values_", "_unhashable_values_map_", "_use_args_",
        "_value2member_map_", "_value_repr_",
    }
)  # fmt: skip

# What a metaclass keeps in its classes for itself: its process's number, and instances.
_KEPT_BY = {("fsspec.spec", "_Cached"): {"_cache", "_instantiation_lock", "_latest", "_pid"}}


def class_parts(walk: Walk, kind: type) -> list[bytes]:
    """What a first-party class is made of, in a fixed order."""
    complete_model(kind)
    annotations = vars(kind).get("__annotations__")
    annotations = annotations if isinstance(annotations, dict) else {}
    parts = [encode(_names_of(kind)), b"".join(walk.value(base) for base in kind.__bases__)]
    space, find = getattr(sys.modules.get(module_of(kind)), "__dict__", {}), class_bindings(kind)
    parts.append(hint(walk, vars(kind).get("__orig_bases__", ()), space))
    parts.append(walk.value(type(kind)))
    parts.append(each_hint(walk, annotations, space))
    parts.append(tagged(b"body", walk.items(_body(kind), find)))
    parts += [_defaults(walk, one, find) for name, one in vars(kind).items() if _generated(name, one)]
    if isinstance(kind, abc.ABCMeta):
        parts.append(tagged(b"registered", walk.unordered(_registered(kind), id(kind))))
    if dataclasses.is_dataclass(kind):
        parts += [_field(walk, field, find) for field in dataclasses.fields(kind)]
        settings = vars(kind).get("__dataclass_params__")
        parts.append(encode(repr(settings)))
    if issubclass(kind, enum.Enum):
        parts += [_member(walk, name, member, find) for name, member in kind.__members__.items()]
    return parts + _declared(walk, kind)


def complete_model(kind: type) -> None:
    """Have pydantic look for what a model's text annotations name, as it does when the model is used, or looked at."""
    if vars(kind).get("__pydantic_complete__") is False and hasattr(kind, "model_rebuild"):
        with contextlib.suppress(Exception):
            kind.model_rebuild(raise_errors=False)


def _declared(walk: Walk, kind: type) -> list[bytes]:
    """What pydantic and msgspec keep of a class's definition elsewhere than in its attributes: which fields a validator
    is for, defaults, how it is written."""
    told = []
    defaults, config = getattr(kind, "__struct_defaults__", None), getattr(kind, "__struct_config__", None)
    if isinstance(defaults, tuple):
        told += [walk.value(getattr(kind, name, None)) for name in _MSGSPEC]
        told += [walk.value(getattr(one, "factory", None) or one) for one in defaults]
        told += [walk.named(name, getattr(config, name)) for name in dir(config) if not name.startswith("_")]
    decorators = getattr(kind, "__pydantic_decorators__", None)
    if decorators is not None:
        walk.asked.add("schema")
    for group, members in vars(decorators).items() if hasattr(decorators, "__dict__") else _slots(decorators):
        if isinstance(members, dict):
            told += [
                encode((group, name)) + walk.value(getattr(one, "info", None))
                for name, one in members.items()
            ]
    return told


def _slots(value: object) -> list[tuple[str, Any]]:
    return [(name, getattr(value, name)) for name in getattr(type(value), "__slots__", ())]


def _names_of(kind: type) -> tuple[str, ...]:
    """How a class is called: its module too, where somebody gave it another than it is in."""
    given = "<locals>" not in kind.__qualname__ and importable(module_of(kind), kind.__qualname__) is not kind
    return (kind.__name__, home_of(kind), kind.__qualname__) if given else (kind.__name__,)


def _body(kind: type) -> dict[str, Any]:
    skipped = set(_BOOKKEEPING)
    if issubclass(kind, enum.Enum):
        skipped |= _ENUM_BOOKKEEPING | set(kind.__members__)
    for meta in inspect.getmro(type(kind)):
        skipped |= _KEPT_BY.get((meta.__module__, meta.__qualname__), set())
    return {
        name: value
        for name, value in vars(kind).items()
        if name not in skipped and not _generated(name, value)
    }


def _generated(name: str, value: object) -> bool:
    """Whether a decorator wrote it: it follows from the fields, which are described themselves."""
    if name.startswith("__pydantic_") and name != "__pydantic_fields__":
        return True  # see _declared
    value = getattr(value, "__func__", value)
    if isinstance(value, types.FunctionType) and value.__code__.co_filename in _WRAPPING:
        value = getattr(value, "__wrapped__", value)
    if not isinstance(value, types.FunctionType):
        return False
    code = value.__code__
    if code.co_filename.startswith("<attrs generated"):
        return True
    # Where a program has no file of its own, its functions are from "<string>" too.
    made = code.co_qualname.startswith(("__create_fn__.", "_create_fn.")) or (
        name == "__new__" and code.co_name == "<lambda>"
    )
    return made and code.co_filename == "<string>"


def _defaults(walk: Walk, value: Any, find: Finder) -> bytes:
    """What somebody may have set in a generated method; a field's default is made in the class's body."""
    made = getattr(value, "__func__", value)
    if not isinstance(made, types.FunctionType):
        return b""
    # What stands for a factory is no value of its own.
    return b"".join(
        walk.named(n, one, find if has_order(one) else None) for n, one in defaults_of(made).items()
    )


def _registered(kind: abc.ABCMeta) -> frozenset[type]:
    """The classes that were registered as an abstract one's subclasses."""
    registry = abc._get_dump(kind)[0]  # type: ignore[attr-defined]
    return frozenset(found for reference in registry if (found := reference()) is not None)


def _member(walk: Walk, name: str, member: enum.Enum, find: Finder) -> bytes:
    own = {k: v for k, v in vars(member).items() if k not in _MEMBER_BOOKKEEPING}
    return walk.named(name, member.value, find) + tagged(b"member", walk.items(own))


_MEMBER_BOOKKEEPING = {"_value_", "_name_", "__objclass__", "_sort_order_", "_inverted_"}


def _field(walk: Walk, field: dataclasses.Field[Any], find: Finder) -> bytes:
    flags = (field.init, field.repr, field.hash, field.compare, getattr(field, "kw_only", False))
    written = None if field.default is dataclasses.MISSING else find
    described = walk.named(field.name, field.default, written) + walk.value(field.default_factory)
    return tagged(b"field", encode(flags) + described + walk.value(dict(field.metadata)))
