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

from dataflow.graph.memoize.instructions import Effects, Names, Stack
from dataflow.graph.memoize.origins import UNKNOWN, Found, Origin, Use, Value, holding, narrow, one, starred

__all__ = ["codes", "uses"]

_State = tuple[Stack, Names]
_STEPS = 200_000
_PASSES = 4
_ENDS = {"RETURN_VALUE", "RETURN_CONST", "RAISE_VARARGS", "RERAISE", "JUMP_FORWARD", "JUMP_BACKWARD",
         "JUMP_BACKWARD_NO_INTERRUPT", "JUMP_ABSOLUTE", "INTERPRETER_EXIT"}  # fmt: skip


def codes(code: CodeType) -> Iterator[CodeType]:
    """A function's code and all that is nested in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from codes(constant)


@functools.lru_cache(maxsize=4096)
def uses(code: CodeType) -> tuple[Use, ...]:
    """What a function's code, with the code nested in it, does with what it takes from outside."""
    found = Found()
    count = code.co_argcount + code.co_kwonlyargcount
    parameters = {name: one("param", name) for name in code.co_varnames[:count]}
    # The tuple and the dict of all others are the function's own; what is in them need not be.
    parameters |= {name: holding([one("param", stars + name)]) for stars, name in starred(code)}
    free = {name: one("free", name) for name in code.co_freevars}
    gives = _run(code, free, parameters, found)
    return (*found, *(Use("return", origin) for origin in gives))


def _run(code: CodeType, free: dict[str, Value], given: dict[str, Value], found: Found) -> Value:
    """Go through a function and those in it; returns what it gives."""
    frame = _Frame(code, free, given, found)
    inner = [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    for _ in range(_PASSES):
        frame.run_until_nothing_is_new()
        before = dict(frame.returned)
        for one_of_them in inner:
            cells = {name: frame.cells.get(name, free.get(name, UNKNOWN)) for name in one_of_them.co_freevars}
            frame.returned[one_of_them] = _run(one_of_them, cells, frame.given.get(one_of_them, {}), found)
        if frame.returned == before or not any(frame.returned.values()):
            break
    return frame.gives


class _Frame:
    """One code object: every way through it, its cells, and what it passes to the functions that it defines."""

    def __init__(
        self,
        code: CodeType,
        free: dict[str, Value],
        given: dict[str, Value],
        found: Found,
    ) -> None:
        self.cells = {name: given.get(name, frozenset()) for name in code.co_cellvars}
        self.given: dict[CodeType, dict[str, Value]] = {}
        self._arguments, self._found = given, found
        self.returned: dict[CodeType, Value] = {}
        self._effects = Effects(code, self.cells, free, found, self.given, self.returned)
        self._steps = [step for step in dis.get_instructions(code) if step.opname != "CACHE"]
        self._at = {step.offset: n for n, step in enumerate(self._steps)}
        table = getattr(dis, "_parse_exception_table", lambda _: ())(code)
        self._handlers = [(e.start, e.end, e.target, e.depth + bool(e.lasti)) for e in table]
        self._starts = {self._at[t] for s in self._steps if (t := _target(s)) in self._at}
        self._starts |= {self._at[h[2]] for h in self._handlers if h[2] in self._at}

    @property
    def gives(self) -> Value:
        """What it returns or yields that may not be its own."""
        return self._effects.gives

    def run_until_nothing_is_new(self) -> None:
        """Repeat :meth:`run`, since what a cell or an object holds at the end is seen from the beginning on."""
        for _ in range(_PASSES):
            before = dict(self.cells), dict(self._found.stored)
            self.run()
            if (self.cells, self._found.stored) == before:
                break

    def run(self) -> None:
        """Follow every way through the code until nothing is new."""
        self._states: dict[int, _State] = {0: (Stack(), dict(self._arguments))}
        self._waiting, self._left = [0], _STEPS
        while self._waiting:
            # The first place first, so that most are passed once.
            if not self._follow(heapq.heappop(self._waiting)):
                self._found[Use("opaque", Origin(("unknown",)))] = None
                return

    def _follow(self, n: int) -> bool:
        """From one place to where the way ends or meets another; false where there was no end of it."""
        known, bound = self._states[n]
        stack, names = Stack(known), dict(bound)
        stored = True
        while n < len(self._steps):
            step, self._left = self._steps[n], self._left - 1
            if self._left < 0:
                return False
            self._may_raise(step, stack, names, stored)
            stored = step.opname.startswith("STORE_FAST")
            jumped = _jumped(step, stack)
            if jumped is not None:
                self._join(self._at.get(_target(step) or 0), jumped, names)
            if jumped is None or step.opname not in _ENDS:
                self._effects.apply(step, stack, names)
            if step.opname in _ENDS:
                break
            n += 1
            if n in self._starts:
                self._join(n, stack, names)
                break
        return True

    def _may_raise(self, step: dis.Instruction, stack: Stack, names: Names, stored: bool) -> None:
        for start, end, target, depth in self._handlers:
            if start <= step.offset < end and (stored or step.offset == start):
                kept = (stack + [UNKNOWN] * depth)[:depth]
                self._join(self._at.get(target), Stack([*kept, UNKNOWN]), names)

    def _join(self, at: int | None, stack: Stack, names: Names) -> None:
        """Add a state to what is known of a place; the place waits if that told anything new."""
        if at is None:
            return
        known = self._states.get(at)
        if known is None:
            self._states[at] = (Stack(stack), dict(names))
            heapq.heappush(self._waiting, at)
            return
        joined = Stack(narrow(a | b) for a, b in zip(known[0], stack, strict=False))
        # A name that is bound on one way alone is that, or an error.
        both = {
            n: narrow(known[1].get(n, frozenset()) | names.get(n, frozenset())) for n in {*known[1], *names}
        }
        if (joined, both) != known:
            self._states[at] = (joined, both)
            if at not in self._waiting:
                heapq.heappush(self._waiting, at)


def _jumped(step: dis.Instruction, stack: Stack) -> Stack | None:
    """The stack where a jump arrives; ``None`` if this is none."""
    if _target(step) is None:
        return None
    effect = dis.stack_effect(step.opcode, step.arg, jump=True)
    return Stack(stack[: len(stack) + effect] if effect < 0 else stack + [UNKNOWN] * effect)


def _target(step: dis.Instruction) -> int | None:
    return step.argval if step.opcode in dis.hasjrel or step.opcode in dis.hasjabs else None
