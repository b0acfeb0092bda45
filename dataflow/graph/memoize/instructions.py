"""What each instruction does to the stack and the names of a function, and what of that is of use to know."""

from __future__ import annotations

import builtins
import dis
from collections.abc import Callable
from types import CodeType
from typing import Any

from dataflow.graph.memoize.origins import (
    ANY,
    FOREIGN,
    NULL,
    SLICE,
    UNKNOWN,
    WITHIN,
    Found,
    Origin,
    Use,
    Value,
    holding,
    narrow,
    of_constant,
    one,
    result_of,
    starred,
    taken,
)

__all__ = ["Effects", "Names", "Stack"]


class Stack(list[Value]):
    """Values; what lies below the first one that is known is unknown."""

    def take(self) -> Value:
        """The uppermost one, taken off."""
        return self.pop() if self else UNKNOWN

    @property
    def top(self) -> Value:
        """The uppermost one."""
        return self[-1] if self else UNKNOWN


Names = dict[str, Value]
_Step = dis.Instruction
_Effect = Callable[["Effects", _Step, Stack, Names], None]

_NOTHING = {
    "RESUME", "NOP", "CACHE", "EXTENDED_ARG", "PRECALL", "MAKE_CELL", "COPY_FREE_VARS", "NOT_TAKEN",
    "SETUP_ANNOTATIONS", "TO_BOOL", "GET_YIELD_FROM_ITER", "DELETE_DEREF", "ASYNC_GEN_WRAP", "LIST_TO_TUPLE",
}  # fmt: skip
# They take what they take and give nothing back.
_TAKE = {
    "RAISE_VARARGS", "RERAISE", "STORE_NAME", "POP_EXCEPT", "END_FOR", "POP_ITER", "IMPORT_STAR", "PRINT_EXPR",
    "DELETE_NAME",
}  # fmt: skip
_MEMBERS = {"get", "items", "keys", "setdefault", "pop", "__getitem__"}
# They give something else with the same members.
_VIEWS = {"values", "__iter__"}
# They make another container, of the same members.
_COPIES = {"list", "tuple", "dict", "set", "copy", "deque"}
# Methods by which a container takes something in, itself or, the second ones, its members.
_TAKES_IN, _TAKES_ALL = (
    {"append", "appendleft", "add", "insert", "setdefault"},
    {"extend", "extendleft", "update"},
)
_ITERATE = {"next", "enumerate", "zip"}
_ITERATORS = {"iter", "reversed"}

_ANY_KEY = "[]"

_EFFECTS: dict[str, _Effect] = {}


def _bracketed(key: Value) -> str:
    """The name of a member: its key, where that stands in the code."""
    known = [origin.root[1] for origin in key if origin.root[0] == "const"]
    return f"[{known[0]!r}]" if len(known) == len(key) == 1 else _ANY_KEY


def _may_be(key: str, name: str) -> bool:
    return key == name or (_ANY_KEY in (key, name) and key[0] == name[0] == "[")


def _of(*names: str) -> Callable[[_Effect], _Effect]:
    def register(effect: _Effect) -> _Effect:
        _EFFECTS.update(dict.fromkeys(names, effect))
        return effect

    return register


class Effects:
    """The effects of one code object's instructions, and what is found out by them.

    Args:
        code: whose.
        cells: what its own cells hold, which inner functions see.
        free: what the cells of the functions around it hold.
        found: uses, in the order in which they were found; added to.
        given: what inner functions are called with; added to.
        returned: what inner functions give.
    """

    def __init__(
        self,
        code: CodeType,
        cells: dict[str, Value],
        free: dict[str, Value],
        found: Found,
        given: dict[CodeType, dict[str, Value]],
        returned: dict[CodeType, Value],
    ) -> None:
        self.gives: Value = frozenset()
        self._returned = returned
        self._code, self._cells, self._free, self._found, self._given = code, cells, free, found, given
        self._keywords: tuple[str, ...] = ()

    def apply(self, step: _Step, stack: Stack, names: Names) -> None:
        """Change the stack and the names as an instruction does."""
        effect = _EFFECTS.get(step.opname)
        if effect is not None:
            effect(self, step, stack, names)
        elif "_FAST_" in step.opname and isinstance(step.argval, tuple):
            self._two_locals(step, stack, names)
        elif step.opname not in _NOTHING:
            self._other(step, stack)

    # Local names.

    @_of("LOAD_FAST", "LOAD_FAST_CHECK", "LOAD_FAST_BORROW", "LOAD_FAST_AND_CLEAR")
    def _load_local(self, step: _Step, stack: Stack, names: Names) -> None:
        stack.append(names.get(step.argval, UNKNOWN))

    @_of("STORE_FAST")
    def _store_local(self, step: _Step, stack: Stack, names: Names) -> None:
        names[step.argval] = stack.take()

    @_of("DELETE_FAST")
    def _delete_local(self, step: _Step, stack: Stack, names: Names) -> None:
        names.pop(step.argval, None)

    def _two_locals(self, step: _Step, stack: Stack, names: Names) -> None:
        first, second = step.argval
        stores = step.opname.startswith("STORE_FAST"), step.opname.endswith("STORE_FAST")
        for name, store in zip((first, second), stores, strict=True):
            if store:
                names[name] = stack.take()
            else:
                stack.append(names.get(name, UNKNOWN))

    # Names of the module, and of functions around.

    @_of("LOAD_GLOBAL", "LOAD_NAME")
    def _load_global(self, step: _Step, stack: Stack, names: Names) -> None:
        value = one("global", step.argval)
        calls = step.opname == "LOAD_GLOBAL" and (step.arg or 0) & 1
        # Whichever of the two comes first: a call looks at both.
        stack += [NULL, value] if calls else [value]

    @_of("STORE_GLOBAL", "DELETE_GLOBAL")
    def _change_global(self, step: _Step, stack: Stack, names: Names) -> None:
        self._mark("write", one("global", step.argval))
        if step.opname == "STORE_GLOBAL":
            self._read(stack.take())

    @_of("LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_DEREF")
    def _load_cell(self, step: _Step, stack: Stack, names: Names) -> None:
        if step.opname == "LOAD_FROM_DICT_OR_DEREF":
            stack.take()
        stack.append(self._cells.get(step.argval) or self._free.get(step.argval, UNKNOWN))

    @_of("LOAD_FROM_DICT_OR_GLOBALS")
    def _load_of_class(self, step: _Step, stack: Stack, names: Names) -> None:
        stack.take()
        stack.append(one("global", step.argval))

    @_of("STORE_DEREF")
    def _store_cell(self, step: _Step, stack: Stack, names: Names) -> None:
        value = stack.take()
        if step.argval in self._cells:
            self._cells[step.argval] = narrow(self._cells[step.argval] | value)
        else:
            self._mark("write", self._free.get(step.argval, UNKNOWN))
            self._read(value)

    # The stack itself.

    @_of("LOAD_CONST", "LOAD_SMALL_INT", "RETURN_CONST")
    def _constant(self, step: _Step, stack: Stack, names: Names) -> None:
        stack.append(of_constant(step.argval))

    @_of("PUSH_NULL")
    def _null(self, step: _Step, stack: Stack, names: Names) -> None:
        stack.append(NULL)

    @_of("COPY")
    def _copy(self, step: _Step, stack: Stack, names: Names) -> None:
        depth = step.arg or 0
        stack.append(stack[-depth] if depth <= len(stack) else UNKNOWN)

    @_of("SWAP")
    def _swap(self, step: _Step, stack: Stack, names: Names) -> None:
        depth = step.arg or 0
        if depth <= len(stack):
            stack[-1], stack[-depth] = stack[-depth], stack[-1]

    @_of("POP_TOP")
    def _drop(self, step: _Step, stack: Stack, names: Names) -> None:
        stack.take()

    # Attributes, members, imports.

    @_of("LOAD_ATTR", "LOAD_METHOD")
    def _load_attribute(self, step: _Step, stack: Stack, names: Names) -> None:
        owner = stack.take()
        stack.append(self._attribute(owner, str(step.argval)))
        if step.opname == "LOAD_METHOD" or dis.stack_effect(step.opcode, step.arg) == 1:
            stack.append(owner)

    @_of("STORE_ATTR", "DELETE_ATTR", "DELETE_SUBSCR", "STORE_SUBSCR", "STORE_SLICE")
    def _change_inside(self, step: _Step, stack: Stack, names: Names) -> None:
        name = str(step.argval)
        if step.opname == "STORE_SLICE":
            stack.take(), stack.take()
            name = _ANY_KEY
        elif step.opname.endswith("SUBSCR"):
            name = _bracketed(self._read(stack.take()))
        target = stack.take()
        if step.opname.startswith("STORE"):
            self._put(target, name, self._read(stack.take()))
        self._mark("write", target)

    @_of("BINARY_SUBSCR")
    def _subscript(self, step: _Step, stack: Stack, names: Names) -> None:
        key, owner = self._read(stack.take()), self._read(stack.take())
        is_slice = bool(key) and all(origin.root[0] == "slice" for origin in key)
        stack.append(self._slice(owner) if is_slice else self._members(owner, _bracketed(key)))

    @_of("BUILD_SLICE")
    def _build_slice(self, step: _Step, stack: Stack, names: Names) -> None:
        for _ in range(1 - dis.stack_effect(step.opcode, step.arg)):
            self._read(stack.take())
        stack.append(one("slice"))

    @_of("BINARY_SLICE")
    def _subscript_by_slice(self, step: _Step, stack: Stack, names: Names) -> None:
        self._read(stack.take()), self._read(stack.take())
        stack.append(self._slice(self._read(stack.take())))

    def _slice(self, owner: Value) -> Value:
        return taken(owner, SLICE) | holding([self._members(owner)], frozenset())

    @_of("BINARY_OP")
    def _operate(self, step: _Step, stack: Stack, names: Names) -> None:
        if step.argrepr == "[]":
            return self._subscript(step, stack, names)
        self._read(stack.take())
        left = self._read(stack.take())
        if step.argrepr.endswith("="):
            self._mark("in place", left)
        stack.append(UNKNOWN)

    @_of("GET_ITER", "GET_AITER")
    def _iterate(self, step: _Step, stack: Stack, names: Names) -> None:
        # An iterator has the members that the whole has.
        stack.append(self._read(stack.take()))

    @_of("FOR_ITER")
    def _next(self, step: _Step, stack: Stack, names: Names) -> None:
        stack.append(self._members(stack.top))

    @_of("UNPACK_SEQUENCE", "UNPACK_EX")
    def _unpack(self, step: _Step, stack: Stack, names: Names) -> None:
        member = self._members(self._read(stack.take()))
        stack += [member] * (dis.stack_effect(step.opcode, step.arg) + 1)

    @_of("BUILD_LIST", "BUILD_TUPLE", "BUILD_SET", "BUILD_MAP", "BUILD_CONST_KEY_MAP")
    def _build(self, step: _Step, stack: Stack, names: Names) -> None:
        members = [stack.take() for _ in range(1 - dis.stack_effect(step.opcode, step.arg))]
        stack.append(holding([self._read(member) for member in members], self._made(step)))

    @_of("LIST_APPEND", "SET_ADD", "MAP_ADD", "LIST_EXTEND", "SET_UPDATE", "DICT_UPDATE", "DICT_MERGE")
    def _put_in(self, step: _Step, stack: Stack, names: Names) -> None:
        """Members of a list, set or dict that is being made, further down on the stack."""
        member = self._read(stack.take())
        if step.opname == "MAP_ADD":
            self._read(stack.take())
        elif not step.opname.endswith(("APPEND", "ADD")):
            member = self._members(member)
        depth = step.arg or 0
        if 0 < depth <= len(stack):
            stack[-depth] = narrow(stack[-depth] | holding([member], frozenset()))

    @_of("CALL_INTRINSIC_1")
    def _call_of_its_own(self, step: _Step, stack: Stack, names: Names) -> None:
        # From 3.12 on the list of a call's arguments becomes a tuple so.
        if not step.argrepr.endswith("LIST_TO_TUPLE"):
            self._other(step, stack)

    @_of("IMPORT_NAME")
    def _import(self, step: _Step, stack: Stack, names: Names) -> None:
        names_of, level = stack.take(), stack.take()
        whole = any(o.root[0] == "const" and o.root[1] for o in names_of)
        number = next((o.root[1] for o in level if o.root[0] == "const"), 0)
        stack.append(one("import", step.argval, number or 0, whole))

    @_of("IMPORT_FROM")
    def _import_from(self, step: _Step, stack: Stack, names: Names) -> None:
        stack.append(taken(stack.top, str(step.argval)))

    # Functions and calls.

    @_of("MAKE_FUNCTION", "SET_FUNCTION_ATTRIBUTE")
    def _make_function(self, step: _Step, stack: Stack, names: Names) -> None:
        function = stack.take()
        for _ in range(-dis.stack_effect(step.opcode, step.arg)):
            self._read(stack.take())
        stack.append(function)

    @_of("KW_NAMES")
    def _name_keywords(self, step: _Step, stack: Stack, names: Names) -> None:
        self._keywords = self._code.co_consts[step.arg or 0]

    @_of("CALL", "CALL_KW")
    def _call(self, step: _Step, stack: Stack, names: Names) -> None:
        keywords, self._keywords = self._keywords, ()
        if step.opname == "CALL_KW":
            keywords = next((o.root[1] for o in stack.take() if o.root[0] == "const"), ())
        arguments = [stack.take() for _ in range(step.arg or 0)][::-1]
        second, first = stack.take(), stack.take()
        stack.append(self._called(first, second, arguments, tuple(keywords)) | self._made(step))

    @_of("CALL_FUNCTION_EX")
    def _call_with_all(self, step: _Step, stack: Stack, names: Names) -> None:
        values = [stack.take() for _ in range(1 - dis.stack_effect(step.opcode, step.arg))]
        for value in values:
            self._read(value)
        # The uppermost are the named ones, if there are any, and those with a place.
        placed, named = values[-3], values[0] if len(values) > 3 else frozenset()
        callee = [origin for value in values[-2:] for origin in value if origin.root[0] != "null"]
        self._found.update(dict.fromkeys(Use("call", origin, (placed, named), (ANY,)) for origin in callee))
        results: list[Value] = [result_of(origin, (placed, named), (ANY,)) for origin in callee]
        stack.append(narrow(frozenset().union(*results)) | self._made(step))

    @_of("RETURN_VALUE", "YIELD_VALUE")
    def _give(self, step: _Step, stack: Stack, names: Names) -> None:
        value = self._read(stack.take())
        if step.opname == "YIELD_VALUE":
            value = holding([value], frozenset())
            stack.append(UNKNOWN)
        kept = frozenset(o for o in value if o.root[0] in (*FOREIGN, "holds", "code"))
        self.gives = narrow(self.gives | kept)

    @_of("BEFORE_WITH", "BEFORE_ASYNC_WITH")
    def _enter(self, step: _Step, stack: Stack, names: Names) -> None:
        self._read(stack.take())
        stack += [UNKNOWN, UNKNOWN]

    def _other(self, step: _Step, stack: Stack) -> None:
        effect = dis.stack_effect(step.opcode, step.arg, jump=False)
        if step.opname in _TAKE or step.opname.startswith(("POP_JUMP", "JUMP_IF")):
            takes = max(-effect, 0)
        else:
            # ``a + b`` has the effect of -1: it takes two and gives one.
            takes = 1 - effect if effect <= 0 else 0
        for _ in range(takes):
            self._read(stack.take())
        stack += [UNKNOWN] * (takes + effect)

    # What is found out.

    def _read(self, value: Value) -> Value:
        for origin in value:
            kind = origin.root[0]
            if kind not in ("const", "null", "code", "made", "slice") and (kind != "unknown" or origin.path):
                self._found[Use("read", origin)] = None
        return value

    def _mark(self, kind: str, value: Value) -> None:
        self._found.update(dict.fromkeys(Use(kind, origin) for origin in value))

    def _attribute(self, value: Value, name: str) -> Value:
        found = taken(value, name)
        # Of what isn't known, its name says what a method does.
        unseen = [origin for origin in found if origin.root[0] in ("unknown", "result")]
        self._found.update(dict.fromkeys(Use("read", origin) for origin in unseen))
        return found | self._put_before(value, name)

    def _made(self, step: _Step) -> Value:
        return one("made", id(self._code), step.offset)

    def _members(self, value: Value, name: str = _ANY_KEY) -> Value:
        """Any member of a value, or the one of a key."""
        return taken(value, WITHIN) | self._put_before(value, name)

    def _put(self, target: Value, name: str, value: Value) -> None:
        """Note what an object or a container of the function's own is given."""
        kept = frozenset(origin for origin in value if origin.root[0] in (*FOREIGN, "holds"))
        if not kept:
            return
        for origin in target:
            if origin.root[0] == "made":
                known = self._found.stored.get((origin, name), frozenset())
                self._found.stored[origin, name] = narrow(known | kept)
            elif origin.root[0] == "param" and not origin.path:
                self._found[Use("store", Origin(origin.root, (name,)), (kept,))] = None

    def _put_before(self, owner: Value, name: str) -> Value:
        places = [origin for origin in owner if origin.root[0] == "made"]
        if not places or not self._found.stored:
            return frozenset()
        stored = self._found.stored.items()
        fits = [v for (place, key), v in stored if place in places and _may_be(key, name)]
        return narrow(frozenset().union(*fits))

    def _called(
        self, first: Value, second: Value, arguments: list[Value], keywords: tuple[str, ...]
    ) -> Value:
        # Either is NULL, or they are a method and the object it was taken of.
        callee = second if first == NULL else first
        for value in (second, *arguments) if callee is first else arguments:
            if not any(o.path[:-1] == p.path and o.root == p.root for o in callee for p in value):
                self._read(value)
        result: set[Origin] = set()
        for origin in callee:
            if origin.root[0] == "null":
                continue
            # A comprehension, or a decorator, takes its one argument where a method has its object.
            alone = callee is first and not origin.path and second != NULL
            given = [second, *arguments] if alone else arguments
            self._found[Use("call", origin, tuple(given), keywords)] = None
            if callee is first and origin.path:
                result |= self._of_own(second, origin.path[-1], arguments)
            if origin.root[0] == "code":
                self._pass(origin.root[1], given, keywords)
                result |= self._returned.get(origin.root[1], frozenset())
            else:
                result |= self._result(origin, arguments, keywords)
        return narrow(frozenset(result))

    def _of_own(self, owner: Value, method: str, arguments: list[Value]) -> Value:
        """What a method gives of a container that the function made, if it is one that gives or takes members."""
        for argument in arguments:
            if method in _TAKES_IN:
                self._put(owner, _ANY_KEY, argument)
            elif method in _TAKES_ALL:
                self._put(owner, _ANY_KEY, self._members(argument))
        return self._put_before(owner, _ANY_KEY) if method in _MEMBERS | _VIEWS else frozenset()

    def _result(self, origin: Origin, arguments: list[Value], keywords: tuple[str, ...]) -> Value:
        """What a call gives; nothing where it is nobody else's."""
        path = origin.path
        builtin = origin.root[1] if origin.root[0] == "global" and not path else ""
        if builtin == "getattr" and len(arguments) > 1:
            return self._getattr(arguments)
        if builtin in _ITERATORS:
            return frozenset().union(*arguments)
        if builtin in _ITERATE:
            return frozenset().union(*map(self._members, arguments))
        owner = [frozenset({Origin(origin.root, path[:-1])})] if path else []
        if (path[-1] if path else builtin) in _COPIES:
            return holding(map(self._members, (*owner, *arguments)), frozenset())
        if path and path[-1] in _VIEWS:
            return owner[0]
        members = taken(owner[0], WITHIN) if path and path[-1] in _MEMBERS else frozenset()
        return members if hasattr(builtins, builtin) else members | result_of(origin, arguments, keywords)

    def _getattr(self, arguments: list[Value]) -> Value:
        texts = [o.root[1] for o in arguments[1] if o.root[0] == "const" and isinstance(o.root[1], str)]
        if len(texts) < len(arguments[1]):
            self._mark("dynamic", arguments[0])
        return frozenset().union(*(self._attribute(arguments[0], text) for text in texts))

    def _pass(self, code: CodeType, arguments: list[Value], keywords: tuple[str, ...]) -> None:
        """Note what a function that is defined here is called with, by its parameters' names."""
        every = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        placed = arguments[: len(arguments) - len(keywords)]
        named = dict(zip(keywords, arguments[len(placed) :], strict=True))
        bound = dict(zip(code.co_varnames[: code.co_argcount], placed, strict=False))
        bound |= {name: value for name, value in named.items() if name in every}
        rest = {"*": placed[code.co_argcount :], "**": [v for n, v in named.items() if n not in every]}
        bound |= {name: holding(rest[stars]) for stars, name in starred(code)}
        given: dict[str, Any] = self._given.setdefault(code, {})
        for name, value in bound.items():
            given[name] = narrow(given.get(name, frozenset()) | value)
