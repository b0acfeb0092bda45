"""What each instruction does to the stack and the names of a function, and what of that is of use to know."""

from __future__ import annotations

import dis
from collections.abc import Callable
from types import CodeType
from typing import Any

from dataflow.graph.memoize.origins import (
    NULL,
    UNKNOWN,
    WITHIN,
    Origin,
    Use,
    Value,
    holding,
    narrow,
    of_constant,
    one,
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
    "SETUP_ANNOTATIONS", "TO_BOOL", "GET_YIELD_FROM_ITER", "DELETE_DEREF", "ASYNC_GEN_WRAP",
}  # fmt: skip
# They take what they take and give nothing back.
_TAKE = {
    "RETURN_VALUE", "RAISE_VARARGS", "RERAISE", "STORE_NAME", "LIST_APPEND", "SET_ADD", "MAP_ADD",
    "LIST_EXTEND", "SET_UPDATE", "DICT_UPDATE", "DICT_MERGE", "POP_EXCEPT", "END_FOR", "POP_ITER",
    "IMPORT_STAR", "PRINT_EXPR", "DELETE_NAME",
}  # fmt: skip
_MEMBERS = {"get", "values", "items", "keys", "setdefault", "pop", "__getitem__", "__iter__"}
# They make another container, of the same members.
_COPIES = {"list", "tuple", "dict", "set", "copy", "deque"}
_ITERATE = {"iter", "next", "enumerate", "zip", "reversed"}

_EFFECTS: dict[str, _Effect] = {}


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
    """

    def __init__(
        self,
        code: CodeType,
        cells: dict[str, Value],
        free: dict[str, Value],
        found: dict[Use, None],
        given: dict[CodeType, dict[str, Value]],
    ) -> None:
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
        if step.opname == "STORE_SLICE":
            stack.take(), stack.take()
        elif step.opname.endswith("SUBSCR"):
            self._read(stack.take())
        target = stack.take()
        if step.opname.startswith("STORE"):
            self._read(stack.take())
        self._mark("write", target)

    @_of("BINARY_SUBSCR")
    def _subscript(self, step: _Step, stack: Stack, names: Names) -> None:
        self._read(stack.take())
        stack.append(taken(self._read(stack.take()), WITHIN))

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
        stack.append(taken(self._read(stack.take()), WITHIN))

    @_of("FOR_ITER")
    def _next(self, step: _Step, stack: Stack, names: Names) -> None:
        stack.append(taken(stack.top, WITHIN))

    @_of("UNPACK_SEQUENCE", "UNPACK_EX")
    def _unpack(self, step: _Step, stack: Stack, names: Names) -> None:
        member = taken(self._read(stack.take()), WITHIN)
        stack += [member] * (dis.stack_effect(step.opcode, step.arg) + 1)

    @_of("BUILD_LIST", "BUILD_TUPLE", "BUILD_SET", "BUILD_MAP", "BUILD_CONST_KEY_MAP")
    def _build(self, step: _Step, stack: Stack, names: Names) -> None:
        members = [stack.take() for _ in range(1 - dis.stack_effect(step.opcode, step.arg))]
        stack.append(holding([self._read(member) for member in members]))

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
        stack.append(self._called(first, second, arguments, tuple(keywords)))

    @_of("CALL_FUNCTION_EX")
    def _call_with_all(self, step: _Step, stack: Stack, names: Names) -> None:
        values = [stack.take() for _ in range(1 - dis.stack_effect(step.opcode, step.arg))]
        for value in values:
            self._read(value)
        for value in values[-2:]:
            self._mark("call", value - NULL)
        stack.append(UNKNOWN)

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
            if kind not in ("const", "null", "code") and (kind != "unknown" or origin.path):
                self._found[Use("read", origin)] = None
        return value

    def _mark(self, kind: str, value: Value) -> None:
        self._found.update(dict.fromkeys(Use(kind, origin) for origin in value))

    def _attribute(self, value: Value, name: str) -> Value:
        found = taken(value, name)
        self._found.update(dict.fromkeys(Use("read", o) for o in found if o.root[0] == "unknown"))
        return found

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
            if origin.root[0] == "code":
                self._pass(origin.root[1], given)
            else:
                result |= self._result(origin, arguments)
        return narrow(frozenset(result)) if result else UNKNOWN

    def _result(self, origin: Origin, arguments: list[Value]) -> Value:
        """What a call gives; nothing where that isn't known."""
        path = origin.path
        builtin = origin.root[1] if origin.root[0] == "global" and not path else ""
        if builtin == "getattr" and len(arguments) > 1:
            return self._getattr(arguments)
        if builtin in _ITERATE:
            return frozenset().union(*(taken(value, WITHIN) for value in arguments))
        owner = [frozenset({Origin(origin.root, path[:-1])})] if path else []
        if (path[-1] if path else builtin) in _COPIES:
            return holding([taken(value, WITHIN) for value in (*owner, *arguments)])
        return taken(owner[0], WITHIN) if path and path[-1] in _MEMBERS else frozenset()

    def _getattr(self, arguments: list[Value]) -> Value:
        texts = [o.root[1] for o in arguments[1] if o.root[0] == "const" and isinstance(o.root[1], str)]
        if len(texts) < len(arguments[1]):
            self._mark("dynamic", arguments[0])
        return frozenset().union(*(self._attribute(arguments[0], text) for text in texts))

    def _pass(self, code: CodeType, arguments: list[Value]) -> None:
        given: dict[str, Any] = self._given.setdefault(code, {})
        for name, value in zip(code.co_varnames[: code.co_argcount], arguments, strict=False):
            given[name] = narrow(given.get(name, frozenset()) | value)
