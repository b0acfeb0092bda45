"""What a function does with names that aren't its own: a small interpreter of its instructions.

Each value on the stack is a set of origins: where it came from (a global, a closure's cell, a parameter, an
import, a constant) and what was taken of it since. So ``d = datetime; now = d.now; now()`` is a call of
``datetime.now``, and ``rows = TABLE; rows.append(1)`` writes to ``TABLE``. Branches are joined, loops repeated
until nothing is new. An instruction that isn't listed is taken by its effect on the stack: its result is unknown.
"""

from __future__ import annotations

import dis
import functools
import heapq
from collections.abc import Iterator
from types import CodeType
from typing import Any, NamedTuple

__all__ = ["WITHIN", "Origin", "Use", "codes", "uses"]

WITHIN = "*"
"""In a path: any one of the members."""


class Origin(NamedTuple):
    """``root`` is ``(kind, name, ...)``; ``path`` the attributes taken since, and ``*`` for a member."""

    root: tuple[Any, ...]
    path: tuple[str, ...] = ()


class Use(NamedTuple):
    """``kind`` is read, call, write, in place, dynamic or opaque; ``args`` are a call's, ``named`` its keywords."""

    kind: str
    origin: Origin
    args: tuple[frozenset[Origin], ...] = ()
    named: tuple[str, ...] = ()


_Value = frozenset[Origin]
_State = tuple[list[_Value], dict[str, _Value]]
_UNKNOWN: _Value = frozenset({Origin(("unknown",))})
_NULL: _Value = frozenset({Origin(("null",))})
_LONGEST, _WIDEST, _STEPS = 6, 24, 200_000

_NOTHING = {
    "RESUME", "NOP", "CACHE", "EXTENDED_ARG", "PRECALL", "MAKE_CELL", "COPY_FREE_VARS", "NOT_TAKEN",
    "SETUP_ANNOTATIONS", "TO_BOOL", "GET_YIELD_FROM_ITER", "DELETE_DEREF", "ASYNC_GEN_WRAP",
}  # fmt: skip
# They take what they take and give nothing back.
_TAKE = {
    "RETURN_VALUE", "RAISE_VARARGS", "RERAISE", "STORE_GLOBAL", "STORE_NAME", "LIST_APPEND", "SET_ADD", "MAP_ADD",
    "LIST_EXTEND", "SET_UPDATE", "DICT_UPDATE", "DICT_MERGE", "POP_EXCEPT", "END_FOR", "POP_ITER", "POP_TOP",
    "IMPORT_STAR", "PRINT_EXPR", "DELETE_NAME", "DELETE_GLOBAL",
}  # fmt: skip
_ENDS = {"RETURN_VALUE", "RETURN_CONST", "RAISE_VARARGS", "RERAISE", "JUMP_FORWARD", "JUMP_BACKWARD",
         "JUMP_BACKWARD_NO_INTERRUPT", "JUMP_ABSOLUTE", "INTERPRETER_EXIT"}  # fmt: skip
_FAST = {"LOAD_FAST", "LOAD_FAST_CHECK", "LOAD_FAST_BORROW", "LOAD_FAST_AND_CLEAR"}
_MEMBERS = {"get", "values", "items", "keys", "setdefault", "pop", "__getitem__", "__iter__"}
# They make another container, of the same members.
_COPIES = {"list", "tuple", "dict", "set", "copy", "deque"}
_ITERATE = {"iter", "next", "enumerate", "zip", "reversed"}


def codes(code: CodeType) -> Iterator[CodeType]:
    """A function's code and all that is nested in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from codes(constant)


@functools.lru_cache(maxsize=4096)
def uses(code: CodeType) -> tuple[Use, ...]:
    """What a function's code, with the code nested in it, does with what it takes from outside."""
    found: dict[Use, None] = {}
    count = code.co_argcount + code.co_kwonlyargcount
    parameters = {name: frozenset({Origin(("param", name))}) for name in code.co_varnames[:count]}
    free = {name: frozenset({Origin(("free", name))}) for name in code.co_freevars}
    _run(code, free, parameters, found)
    return tuple(found)


def _run(code: CodeType, free: dict[str, _Value], given: dict[str, _Value], found: dict[Use, None]) -> None:
    frame = _Frame(code, free, given, found)
    for _ in range(4):
        before = dict(frame.cells)
        frame.run()
        if frame.cells == before:
            break
    for inner in frame.inner:
        cells = {name: frame.cells.get(name, free.get(name, _UNKNOWN)) for name in inner.co_freevars}
        _run(inner, cells, frame.given.get(inner, {}), found)


class _Frame:
    """One code object, its cells, and what it passes to the functions that it defines."""

    def __init__(
        self, code: CodeType, free: dict[str, _Value], given: dict[str, _Value], found: dict[Use, None]
    ) -> None:
        self.code, self.free, self.found, self.arguments = code, free, found, given
        self.cells = {name: given.get(name, frozenset()) for name in code.co_cellvars}
        self.inner = [one for one in code.co_consts if isinstance(one, CodeType)]
        self.given: dict[CodeType, dict[str, _Value]] = {}
        self.steps = [step for step in dis.get_instructions(code) if step.opname != "CACHE"]
        self.at = {step.offset: n for n, step in enumerate(self.steps)}
        self.named: tuple[str, ...] = ()
        table = getattr(dis, "_parse_exception_table", lambda _: ())(code)
        self.handlers = [(e.start, e.end, e.target, e.depth + bool(e.lasti)) for e in table]

    def run(self) -> None:
        """Follow every way through the code until nothing is new."""
        states: dict[int, _State] = {0: ([], dict(self.arguments))}
        waiting, left = [0], _STEPS
        starts = {self.at[t] for s in self.steps if (t := _target(s)) in self.at}
        starts |= {self.at[h[2]] for h in self.handlers if h[2] in self.at}
        while waiting:
            n = heapq.heappop(waiting)  # the first place first, so that most are passed once
            stack, names = list(states[n][0]), dict(states[n][1])
            stored = True
            while n < len(self.steps):
                step, left = self.steps[n], left - 1
                if left < 0:
                    self.found[Use("opaque", Origin(("unknown",)))] = None
                    return
                for start, end, target, depth in self.handlers:
                    if start <= step.offset < end and (stored or step.offset == start):
                        kept = (stack + [_UNKNOWN] * depth)[:depth]
                        _join(states, waiting, self.at.get(target), [*kept, _UNKNOWN], names)
                stored = step.opname.startswith("STORE_FAST")
                jumped = self._jump(step, stack)
                if jumped is not None:
                    _join(states, waiting, self.at.get(_target(step) or 0), jumped, names)
                if jumped is None or step.opname not in _ENDS:
                    self._do(step, stack, names)
                if step.opname in _ENDS:
                    break
                n += 1
                if n in starts:
                    _join(states, waiting, n, stack, names)
                    break

    def _jump(self, step: dis.Instruction, stack: list[_Value]) -> list[_Value] | None:
        """The stack where a jump arrives; ``None`` if this is none."""
        if _target(step) is None:
            return None
        effect = dis.stack_effect(step.opcode, step.arg, jump=True)
        return stack[: len(stack) + effect] if effect < 0 else stack + [_UNKNOWN] * effect

    def _read(self, value: _Value) -> _Value:
        for origin in value:
            if origin.root[0] not in ("const", "null", "code") and (
                origin.root[0] != "unknown" or origin.path
            ):
                self.found[Use("read", origin)] = None
        return value

    def _mark(self, kind: str, value: _Value) -> None:
        self.found.update(dict.fromkeys(Use(kind, origin) for origin in value))

    def _attribute(self, value: _Value, name: str) -> _Value:
        taken = _taken(value, name)
        self.found.update(dict.fromkeys(Use("read", o) for o in taken if o.root[0] == "unknown"))
        return taken

    def _do(self, step: dis.Instruction, stack: list[_Value], names: dict[str, _Value]) -> None:
        name, argument = step.opname, step.arg or 0
        pop = functools.partial(_pop, stack)
        if name in _NOTHING:
            return
        if name in _FAST:
            stack.append(names.get(step.argval, _UNKNOWN))
        elif name == "STORE_FAST":
            names[step.argval] = pop()
        elif name == "DELETE_FAST":
            names.pop(step.argval, None)
        elif "_FAST_" in name and isinstance(step.argval, tuple):
            first, second = step.argval
            if name.startswith("STORE_FAST"):
                names[first] = pop()
            else:
                stack.append(names.get(first, _UNKNOWN))
            if name.endswith("STORE_FAST"):
                names[second] = pop()
            else:
                stack.append(names.get(second, _UNKNOWN))
        elif name in ("LOAD_GLOBAL", "LOAD_NAME"):
            value = frozenset({Origin(("global", step.argval))})
            self._push(stack, value, null=name == "LOAD_GLOBAL" and bool(argument & 1))
        elif name in ("LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_DEREF"):
            if name == "LOAD_FROM_DICT_OR_DEREF":
                pop()
            stack.append(self.cells.get(step.argval) or self.free.get(step.argval, _UNKNOWN))
        elif name == "LOAD_FROM_DICT_OR_GLOBALS":
            pop()
            stack.append(frozenset({Origin(("global", step.argval))}))
        elif name == "STORE_DEREF":
            value = pop()
            if step.argval in self.cells:
                self.cells[step.argval] = _narrow(self.cells[step.argval] | value)
            else:
                self._mark("write", self.free.get(step.argval, _UNKNOWN))
                self._read(value)
        elif name in ("STORE_GLOBAL", "DELETE_GLOBAL"):
            self.found[Use("write", Origin(("global", step.argval)))] = None
            if name == "STORE_GLOBAL":
                self._read(pop())
        elif name in ("LOAD_CONST", "LOAD_SMALL_INT", "RETURN_CONST"):
            stack.append(_constant(step.argval))
        elif name == "PUSH_NULL":
            stack.append(_NULL)
        elif name == "COPY":
            stack.append(stack[-argument] if argument <= len(stack) else _UNKNOWN)
        elif name == "SWAP":
            if argument <= len(stack):
                stack[-1], stack[-argument] = stack[-argument], stack[-1]
        elif name == "POP_TOP":
            pop()
        elif name == "KW_NAMES":
            self.named = self.code.co_consts[argument]
        elif name in ("LOAD_ATTR", "LOAD_METHOD"):
            owner = pop()
            stack.append(self._attribute(owner, str(step.argval)))
            if name == "LOAD_METHOD" or dis.stack_effect(step.opcode, step.arg) == 1:
                stack.append(owner)
        elif name == "IMPORT_NAME":
            names_of, level = pop(), pop()
            whole = any(o.root[0] == "const" and o.root[1] for o in names_of)
            number = next((o.root[1] for o in level if o.root[0] == "const"), 0)
            stack.append(frozenset({Origin(("import", step.argval, number or 0, whole))}))
        elif name == "IMPORT_FROM":
            stack.append(_taken(stack[-1] if stack else _UNKNOWN, str(step.argval)))
        elif name == "MAKE_FUNCTION":
            function = pop()
            for _ in range(-dis.stack_effect(step.opcode, step.arg)):
                self._read(pop())
            stack.append(function)
        elif name == "SET_FUNCTION_ATTRIBUTE":
            function = pop()
            self._read(pop())
            stack.append(function)
        elif name in ("CALL", "CALL_KW"):
            named = self.named
            if name == "CALL_KW":
                named = next((o.root[1] for o in pop() if o.root[0] == "const"), ())
            self.named = ()
            arguments = [pop() for _ in range(argument)][::-1]
            second, first = pop(), pop()
            stack.append(self._call(first, second, arguments, tuple(named)))
        elif name == "CALL_FUNCTION_EX":
            taken = [pop() for _ in range(1 - dis.stack_effect(step.opcode, step.arg))]
            for value in taken:
                self._read(value)
            for value in taken[-2:]:
                self._mark("call", value - _NULL)
            stack.append(_UNKNOWN)
        elif name in ("STORE_ATTR", "DELETE_ATTR", "DELETE_SUBSCR", "STORE_SUBSCR", "STORE_SLICE"):
            self._write(name, pop)
        elif name == "BINARY_SUBSCR" or (name == "BINARY_OP" and step.argrepr == "[]"):
            self._read(pop())
            stack.append(_taken(self._read(pop()), WITHIN))
        elif name == "BINARY_OP":
            self._read(pop())
            left = self._read(pop())
            if step.argrepr.endswith("="):
                self._mark("in place", left)
            stack.append(_UNKNOWN)
        elif name in ("GET_ITER", "GET_AITER"):
            stack.append(_taken(self._read(pop()), WITHIN))
        elif name == "FOR_ITER":
            stack.append(_taken(stack[-1] if stack else _UNKNOWN, WITHIN))
        elif name in ("UNPACK_SEQUENCE", "UNPACK_EX"):
            member = _taken(self._read(pop()), WITHIN)
            stack += [member] * (dis.stack_effect(step.opcode, step.arg) + 1)
        elif name in ("BUILD_LIST", "BUILD_TUPLE", "BUILD_SET", "BUILD_MAP", "BUILD_CONST_KEY_MAP"):
            members = [pop() for _ in range(1 - dis.stack_effect(step.opcode, step.arg))]
            stack.append(_holding([self._read(member) for member in members]))
        elif name in ("BEFORE_WITH", "BEFORE_ASYNC_WITH"):
            self._read(pop())
            stack += [_UNKNOWN, _UNKNOWN]
        else:
            self._other(step, stack)

    def _other(self, step: dis.Instruction, stack: list[_Value]) -> None:
        effect = dis.stack_effect(step.opcode, step.arg, jump=False)
        if step.opname in _TAKE or step.opname.startswith(("POP_JUMP", "JUMP_IF")):
            takes = max(-effect, 0)
        else:
            # ``a + b`` has the effect of -1: it takes two and gives one.
            takes = 1 - effect if effect <= 0 else 0
        for _ in range(takes):
            self._read(_pop(stack))
        stack += [_UNKNOWN] * (takes + effect)

    def _write(self, name: str, pop: Any) -> None:
        if name == "STORE_SLICE":
            pop(), pop()
        elif name.endswith("SUBSCR"):
            self._read(pop())
        target = pop()
        if name.startswith("STORE"):
            self._read(pop())
        self._mark("write", target)

    def _push(self, stack: list[_Value], value: _Value, *, null: bool) -> None:
        # Whichever of the two comes first: a call looks at both.
        stack += [_NULL, value] if null else [value]

    def _call(self, first: _Value, second: _Value, arguments: list[_Value], named: tuple[str, ...]) -> _Value:
        # Either is NULL, or they are a method and the object it was taken of.
        callee = second if first == _NULL else first
        for value in (second, *arguments) if callee is first else arguments:
            if not any(o.path[:-1] == p.path and o.root == p.root for o in callee for p in value):
                self._read(value)
        result: set[Origin] = set()
        for origin in callee:
            kind, path = origin.root[0], origin.path
            if kind == "null":
                continue
            # A comprehension, or a decorator, takes its one argument where a method has its object.
            given = [second, *arguments] if callee is first and not path and second != _NULL else arguments
            self.found[Use("call", origin, tuple(given), named)] = None
            if kind == "code":
                self._pass(origin.root[1], given)
            elif kind == "global" and not path and origin.root[1] == "getattr" and len(arguments) > 1:
                result |= self._getattr(arguments)
            elif kind == "global" and not path and origin.root[1] in _ITERATE:
                result.update(*(_taken(value, WITHIN) for value in arguments))
            elif (path[-1] if path else origin.root[1] if kind == "global" else "") in _COPIES:
                copied = [frozenset({Origin(origin.root, path[:-1])}), *arguments] if path else arguments
                result |= _holding([_taken(value, WITHIN) for value in copied])
            elif path and path[-1] in _MEMBERS:
                result |= _taken(frozenset({Origin(origin.root, path[:-1])}), WITHIN)
        return _narrow(frozenset(result)) if result else _UNKNOWN

    def _getattr(self, arguments: list[_Value]) -> _Value:
        texts = [o.root[1] for o in arguments[1] if o.root[0] == "const" and isinstance(o.root[1], str)]
        if len(texts) < len(arguments[1]):
            self._mark("dynamic", arguments[0])
        return frozenset().union(*(self._attribute(arguments[0], text) for text in texts))

    def _pass(self, code: CodeType, arguments: list[_Value]) -> None:
        given = self.given.setdefault(code, {})
        for name, value in zip(code.co_varnames[: code.co_argcount], arguments, strict=False):
            given[name] = _narrow(given.get(name, frozenset()) | value)


def _target(step: dis.Instruction) -> int | None:
    return step.argval if step.opcode in dis.hasjrel or step.opcode in dis.hasjabs else None


def _pop(stack: list[_Value]) -> _Value:
    return stack.pop() if stack else _UNKNOWN


def _constant(value: object) -> _Value:
    if isinstance(value, CodeType):
        return frozenset({Origin(("code", value))})
    if value is None or isinstance(value, str | int | tuple):
        return frozenset({Origin(("const", value))})
    return _UNKNOWN


def _holding(members: list[_Value]) -> _Value:
    """A container that is the function's own; some of its members may not be."""
    inner = {o.root[1] if o.root[0] == "holds" else o for member in members for o in member}
    kept = {o for o in inner if o.root[0] in ("global", "free", "param", "import")}
    return _narrow(frozenset(Origin(("holds", o)) for o in kept)) | _UNKNOWN


def _taken(value: _Value, name: str) -> _Value:
    return frozenset(_extended(origin, name) for origin in value)


def _extended(origin: Origin, name: str) -> Origin:
    root, path = origin
    if root[0] in ("null", "code", "const", "unknown"):
        return Origin(("unknown",), () if name == WITHIN else (name,))
    if root[0] == "holds":
        return root[1] if name == WITHIN else Origin(root, (name,))
    if name == WITHIN and path[-1:] == (WITHIN,):
        return origin
    if len(path) >= _LONGEST:
        path = (*path[: _LONGEST - 1], WITHIN)
        return Origin(root, path if name == WITHIN else (*path, name))
    return Origin(root, (*path, name))


def _narrow(value: _Value) -> _Value:
    return value if len(value) <= _WIDEST else frozenset(sorted(value, key=repr)[:_WIDEST]) | _UNKNOWN


def _join(
    states: dict[int, _State],
    waiting: list[int],
    at: int | None,
    stack: list[_Value],
    names: dict[str, _Value],
) -> None:
    """Add a state to what is known of a place; the place waits if that told anything new."""
    if at is None:
        return
    known = states.get(at)
    if known is None:
        states[at] = (list(stack), dict(names))
        heapq.heappush(waiting, at)
        return
    joined = [_narrow(a | b) for a, b in zip(known[0], stack, strict=False)]
    # A name that is bound on one way alone is that, or an error.
    both = {n: _narrow(known[1].get(n, frozenset()) | names.get(n, frozenset())) for n in {*known[1], *names}}
    if (joined, both) != known:
        states[at] = (joined, both)
        if at not in waiting:
            heapq.heappush(waiting, at)
