"""How the walk describes an object: by its class and the state that it shows, as copying it would."""

from __future__ import annotations

import copyreg
import functools
import gc
import re
import sys
import threading
import types
from collections.abc import Callable, Iterator, Set
from typing import TYPE_CHECKING, Any

from dataflow.memo.hints import hint
from dataflow.memo.keys import encode, slots_of, tagged
from dataflow.memo.origin import class_owner, installed_as, module_of
from dataflow.memo.special import file_digest, filled_by_calls, importable, kept_in, taken

if TYPE_CHECKING:
    from dataflow.memo.walk import Walk

__all__ = ["object_parts"]

_FROM_ELSEWHERE = ("__doc__", "__module__", "__qualname__", "__name__", "__annotations__")
_CALLING = ("func", "__wrapped__", "py_func")
_PACKED = re.compile(b"\x80[\x04\x05]\x95(.{8})", re.DOTALL)
_FUNCTIONS = (types.FunctionType, types.MethodType, types.BuiltinFunctionType, functools.partial)
# Compiled objects that show nothing of what they were given, hold nothing else, and by which calls they are made.
_MAKERS = {
    **{("lxml.etree", name): frozenset({name}) for name in ("XPath", "ETXPath", "HTMLParser", "XMLParser")},
    **{("lxml.etree", name): frozenset({name}) for name in ("XSLT", "RelaxNG", "XMLSchema", "Schematron")},
    ("lxml.cssselect", "CSSSelector"): frozenset({"CSSSelector"}),
    ("functools", "KeyWrapper"): frozenset({"cmp_to_key"}),
    ("_hashlib", "HMAC"): frozenset({"new", "HMAC"}),
    ("zstandard.backend_c", "ZstdCompressor"): frozenset({"ZstdCompressor"}),
    ("zstandard.backend_c", "ZstdDecompressor"): frozenset({"ZstdDecompressor"}),
}
_SAYING = ("__getstate__", "__reduce__", "__reduce_ex__")


def object_parts(walk: Walk, value: Any) -> bytes:
    """What an object is made of. Raises Uncacheable if it shows no state."""
    kind = type(value)
    if callable(value) and (filled := _filled(kind.__mro__)):  # as a function with a cache of cachetools is
        walk.gives_again(value, [one for name in filled for one in kept_in(taken(value, name))])
    module, name = taken(value, "__module__"), taken(value, "__qualname__")
    if isinstance(module, str) and isinstance(name, str) and importable(module, name) is value:
        return _importable(walk, value, module, name)
    if describe := _BY_KIND.get((kind.__module__, kind.__qualname__)):
        return describe(walk, value)
    try:
        registered = copyreg.dispatch_table.get(kind)  # as those of compiled types are, often
        state = registered(value) if registered else value.__reduce_ex__(4)
    except Exception as error:
        if isinstance(taken(value, "__wrapped__"), types.FunctionType):
            return _standing_in(walk, value)
        made = walk.made_by(_MAKERS.get((kind.__module__, kind.__qualname__), frozenset()))
        if made is not None:
            return tagged(b"made", walk.value(kind) + encode(taken(value, "path")) + made)
        why = f"a {kind.__module__}.{kind.__qualname__} shows no state ({type(error).__name__})"
        raise walk.refuse(why) from None
    if isinstance(value, set | frozenset):  # which says its members in the order in which it has them
        members = walk.unordered(list(value), id(value))
        return tagged(b"set of its own", walk.value(kind) + members + _members(walk, value))
    if isinstance(state, str):
        own = _members(walk, value) if class_owner(kind) is None else _called_by(walk, value)
        return tagged(b"global", walk.value(kind) + encode(state) + own)
    if not isinstance(state, tuple) or not 2 <= len(state) <= 6:
        raise walk.refuse(
            f"what a {kind.__module__}.{kind.__qualname__} says of its state is nothing of the kind"
        )
    return tagged(b"instance", b"".join(_parts_of(walk, value, *state)))


def _parts_of(
    walk: Walk, value: Any, make: Any, arguments: Any, content: Any = None, members: Any = None, pairs: Any = None,
    _setter: Any = None,
) -> list[bytes]:  # fmt: skip
    """The parts of an object, by what copying it would take."""
    kind = type(value)
    first_party = class_owner(kind) is None
    if not first_party and type(content) is bytes and _holds_packed(content):
        raise walk.refuse(
            f"a {kind.__module__}.{kind.__qualname__} holds functions as bytes, which can't be seen"
        )
    parts = [walk.value(kind), walk.value(make), walk.value(tuple(arguments)), _state(walk, kind, content)]
    if not first_party:
        parts += [walk.value(one) for one in _functions_behind(value)]
    parts.append(walk.value(None if members is None else list(members)))
    parts.append(walk.value(None if pairs is None else list(pairs)))
    # What its own code leaves out it may make anew, as a cache; how it was made counts for it.
    if first_party and _has_cached_properties(kind.__mro__):
        walk.says_its_state(value)  # what was put in one of them doesn't show
    if _says_its_state(kind):
        walk.says_its_state(value)
        made = walk.how_made()
        # Where that can't be seen, what it leaves out counts as far as it can: it may be a connection.
        parts.append(walk.as_far_as_told(_left_out(value, content)) if made is None else made)
    elif first_party:
        parts.append(tagged(b"left out", walk.items(_left_out(value, content), walk.made_in(kind))))
    return parts


def _holds_packed(state: bytes) -> bool:
    """Whether there is in it what Python packs, functions by their names alone: it begins with its length."""
    return any(
        int.from_bytes(found[1], "little") <= len(state) - found.end() for found in _PACKED.finditer(state)
    )


def _adapter(walk: Walk, value: Any) -> bytes:
    """By what it adapts: the schema that it holds names classes by where they lie in memory."""
    walk.uses("pydantic")
    walk.asked.add("schema")
    settings = getattr(value, "_config", None)
    return tagged(b"adapter", hint(walk, getattr(value, "_type", None)) + walk.value(settings))


def _checked_call(walk: Walk, value: Any) -> bytes:
    """What ``validate_call`` puts in a function's place, by that function: it holds all names of its module, too."""
    walk.uses("pydantic")
    settings = getattr(getattr(value, "config_wrapper", None), "config_dict", None)
    return tagged(b"checked", walk.value((value.function, value.validate_return, settings)))


def _token(walk: Walk, value: Any) -> bytes:
    """A kind of token, by its name: it holds the kinds below it, and they it."""
    walk.uses("pygments")
    return tagged(b"token", encode(str(value)))


_BY_KIND: dict[tuple[str, str], Callable[[Walk, Any], bytes]] = {
    ("pygments.token", "_TokenType"): _token,
    ("pydantic.type_adapter", "TypeAdapter"): _adapter,
    ("pydantic._internal._validate_call", "ValidateCallWrapper"): _checked_call,
}


def _functions_behind(value: Any) -> Iterator[types.FunctionType]:
    """The functions that an object of somebody else's class calls, which may name them by a text: ``toolz.curry``."""
    for name in _CALLING if callable(value) else ():
        one = taken(value, name)
        if isinstance(one, types.FunctionType):
            yield one


def _called_by(walk: Walk, value: Any) -> bytes:
    """The functions that a compiled object holds which names itself alone, as one of ``numpy.frompyfunc`` does."""
    held = gc.get_referents(value) if callable(value) else ()
    return b"".join(walk.value(one) for one in held if isinstance(one, _FUNCTIONS))


def _says_its_state(kind: type) -> bool:
    """Whether first-party code says what its state is, all of it or what one property is."""
    own = [vars(one) for one in kind.__mro__ if class_owner(one) is None]
    return any(name in names for names in own for name in _SAYING) or any(
        isinstance(one, functools.cached_property) for names in own for one in names.values()
    )


def _left_out(value: Any, content: object) -> dict[str, Any]:
    """Attributes that a state doesn't hold, as those of an array's subclass, of which the array doesn't know."""
    told = content if isinstance(content, tuple) else (content,)
    known = {name for part in told if isinstance(part, dict) for name in part}
    members = {name: one for name, one in _attributes(value) if name not in known}
    return _without_cached(type(value), members)


def _state(walk: Walk, kind: type, state: object) -> bytes:
    find = walk.made_in(kind)
    if isinstance(state, dict) and all(isinstance(name, str) for name in state):
        kept = _without_cached(kind, state)
        if class_owner(kind) is not None:  # what it keeps a thread apart is filled by calls, and no setting
            kept = {name: one for name, one in kept.items() if type(one) is not threading.local}
        if not kept and state:  # an object without attributes has no state at all
            return walk.value(None)
        # Of classes that aren't ours, some show their attributes in order: a namespace's text, perhaps.
        order = b"" if class_owner(kind) is None else encode(list(kept))
        return tagged(b"state", order + walk.items(_own(kept), find))
    if isinstance(state, tuple) and len(state) == 2:
        return tagged(b"slots", b"".join(_state(walk, kind, part) for part in state))
    return walk.value(state)


def _without_cached(kind: type, state: dict[str, Any]) -> dict[str, Any]:
    """A state without what properties have put there when they were first read: their code says what; and without what
    calls fill."""
    filled = _filled(kind.__mro__)
    return {
        name: one
        for name, one in state.items()
        if name not in filled and not isinstance(getattr(kind, name, None), functools.cached_property)
    }


@functools.lru_cache(maxsize=1024)
def _filled(mro: tuple[type, ...]) -> Set[str]:
    """What calls fill in the objects of a class."""
    return {name for one in mro for name in filled_by_calls(module_of(one))}


@functools.lru_cache(maxsize=1024)
def _has_cached_properties(mro: tuple[type, ...]) -> bool:
    return any(type(one) is functools.cached_property for base in mro for one in vars(base).values())


def _members(walk: Walk, value: Any) -> bytes:
    """Attributes, also those in slots."""
    if _has_cached_properties(type(value).__mro__):
        walk.says_its_state(value)
    return tagged(b"members", walk.items(_own(dict(_attributes(value))), walk.made_in(type(value))))


def _attributes(value: Any) -> Iterator[tuple[str, Any]]:
    yield from _without_cached(type(value), getattr(value, "__dict__", {})).items()
    for kind in type(value).__mro__:
        yield from ((name, getattr(value, name)) for name in slots_of(kind) if hasattr(value, name))


def _own(members: dict[str, Any]) -> dict[str, Any]:
    """Attributes without the names that a decorator's object has from the function that it holds."""
    return {
        name: one
        for name, one in members.items()
        if name not in _FROM_ELSEWHERE
        or not any(_has(other, name, one) for other in members.values() if other is not one)
    }


def _has(other: object, name: str, value: object) -> bool:
    return callable(other) and getattr(other, name, None) is value


def _importable(walk: Walk, value: Any, module: str, name: str) -> bytes:
    """What can be imported by its name: installed or compiled, its package or its file says all; else it is an
    object that goes by a function's name, such as a decorator's."""
    owner, file = installed_as(module), getattr(sys.modules[module], "__file__", None)
    if owner is not None:
        walk.uses(module)
    if owner is not None or (file is not None and not str(file).endswith(".py")):
        return tagged(b"compiled", encode((owner or file_digest(file).hex(), module, name)))
    return _standing_in(walk, value)


def _standing_in(walk: Walk, value: Any) -> bytes:
    """An object that stands for a function, as a decorator's does."""
    # One that is written in C may show the attributes of the function that it stands for, and hide its own.
    shown = {id(member) for _, member in _attributes(value)}
    functions = (types.FunctionType, types.MethodType)
    held = [one for one in gc.get_referents(value) if type(one) in functions and id(one) not in shown]
    return tagged(
        b"object", walk.value(type(value)) + _members(walk, value) + b"".join(map(walk.value, held))
    )
