"""A Dask task as canonical bytes: its function's code, its literals, and numbered holes for what it waits for."""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from dataflow.graph.memoize import impure
from dataflow.graph.memoize.contents import content
from dataflow.graph.memoize.purity import Purity
from dataflow.graph.taskspec import Alias, DataNode, GraphNode, NestedContainer, Task, TaskRef, is_subgraph
from dataflow.memo.fingerprint import fingerprint
from dataflow.memo.keys import Uncacheable, digest, encode, tagged
from dataflow.memo.special import importable

__all__ = ["Described", "Describer", "functions_of", "is_unchanged"]


@dataclass(frozen=True)
class Described:
    """What a task is.

    Attributes:
        template: digest of code, literals and structure, with a hole for each input.
        inputs: the keys whose results fill the holes, in order.
        codes: the descriptions of the functions in it, in the order in which they are met.
    """

    template: bytes
    inputs: tuple[Any, ...]
    codes: tuple[bytes, ...] = ()


@dataclass
class _Scope:
    """The names that references are resolved by: inputs become holes, inner tasks numbered nodes."""

    holes: dict[Any, int]
    inner: dict[Any, Any] = field(default_factory=dict)
    bound: Mapping[Any, bytes] = field(default_factory=dict)
    numbers: dict[Any, int] = field(default_factory=dict)
    waiting: deque[Any] = field(default_factory=deque)


class _Bound(dict[Any, bytes]):
    """The inputs of a fused task, each described when it is met: they stand in it in the order of a set.

    Args:
        inputs: tasks and references by name.
        describe: what describes one.
    """

    def __init__(self, inputs: Mapping[Any, Any], describe: Callable[[Any], bytes]) -> None:
        super().__init__()
        self._inputs, self._describe = inputs, describe

    def __contains__(self, name: object) -> bool:
        return name in self._inputs

    def __missing__(self, name: Any) -> bytes:
        self[name] = described = self._describe(self._inputs[name])
        return described


class Describer:
    """Describes the tasks of one graph; each function is fingerprinted once.

    Args:
        trust: see :class:`Purity`.
    """

    def __init__(self, trust: Collection[Any] = ()) -> None:
        self._purity = Purity(trust)
        self._literals: dict[int, tuple[Any, bytes]] = {}
        self._codes: list[bytes] = []
        self._data: list[Any] = []
        self._makes_times = False

    def task(self, task: Any) -> Described:
        """The description of a task.

        Raises:
            Uncacheable: something in it has no stable description, or looks outside.
        """
        scope, self._codes, self._data, self._makes_times = _Scope({}), [], [], False
        try:
            body = self._part(task, scope)
        except RecursionError:
            raise Uncacheable("a task that is nested too deep can't be keyed.") from None
        if self._makes_times and any(map(impure.says_now, self._data)):
            raise Uncacheable("it is given the text 'now' and makes times of texts. Say trust= if it may.")
        return Described(digest(body), tuple(scope.holes), tuple(self._codes))

    def data(self, value: object) -> bytes:
        """The description of plain data in a graph. Raises Uncacheable."""
        return digest(self._literal(value))

    def _part(self, value: Any, scope: _Scope) -> bytes:
        if isinstance(value, TaskRef):
            return _reference(value.key, scope)
        if isinstance(value, Alias):
            return _reference(value.target, scope)
        if isinstance(value, DataNode):
            return self._literal(value.value)
        if isinstance(value, NestedContainer):
            parts = [self._part(one, scope) for one in value.args]
            return tagged(b"container", encode(type(value).__name__) + b"".join(parts))
        if is_subgraph(value):
            return self._subgraph(value, scope)
        if isinstance(value, Task):
            named = [encode(name) + self._part(one, scope) for name, one in value.kwargs.items()]
            parts = [self._literal(value.func), *(self._part(one, scope) for one in value.args)]
            return tagged(b"call", tagged(b"args", b"".join(parts)) + tagged(b"named", b"".join(named)))
        return self._literal(value)

    def _subgraph(self, task: Any, outer: _Scope) -> bytes:
        """A fused task. Inner names don't count: nodes are numbered as they are met from the output on."""
        graph, output, names, *inputs = task.args
        given = dict(zip(names, inputs, strict=True))
        scope = _Scope({}, graph, _Bound(given, functools.partial(self._part, scope=outer)))
        parts = [_reference(output, scope)]
        while scope.waiting:
            parts.append(self._part(graph[scope.waiting.popleft()], scope))
        if scope.holes:
            raise Uncacheable("a fused task refers to what it doesn't hold.")
        return tagged(b"fused", b"".join(parts))

    def _literal(self, value: Any) -> bytes:
        if isinstance(value, GraphNode):
            raise Uncacheable("a task inside of plain data can't be keyed.")
        known = self._literals.get(id(value))
        if known is None:
            # Kept with its value, so that no other object is given its identity.
            known = self._literals[id(value)] = (value, self._described(value))
        if known[1].startswith(_CODE):
            self._codes.append(known[1])
            self._makes_times |= self._purity.makes_times(value)
        else:
            self._data.append(value)
        return known[1]

    def _described(self, value: Any) -> bytes:
        try:
            return tagged(b"data", content(value))
        except Uncacheable:
            reason = self._purity.why_not(value)
            if reason:
                raise Uncacheable(f"{_name(value)} can't be keyed: {reason}. Say trust= if it may.") from None
            return tagged(_CODE, fingerprint(value))


_CODE = b"code"
_MOST_CODES = 1000


class _Again(Describer):
    """Describes a task where it runs. What travelled by value is what it was; what is found by name may not be."""

    def __init__(self, codes: tuple[bytes, ...], here: bool) -> None:
        super().__init__()
        self._known, self._here = iter(codes), here

    def _literal(self, value: Any) -> bytes:
        try:
            return tagged(b"data", content(value))
        except Uncacheable:
            return _code_here(value, next(self._known, b""), self._here)


def is_unchanged(task: Any, described: Described, here: bool) -> bool:
    """Whether a task is still what it was described as: its literals, and the code that this process has of it.

    A literal may have been changed in place since. A worker may have imported another state of a module than the
    process that described the task. Code is looked at once a process, since it leaves things in its globals.

    Args:
        task: the task.
        described: what it was.
        here: this is the process in which it was described, so that functions of all kinds are as they were there.
    """
    try:
        return _Again(described.codes, here).task(task).template == described.template
    except Uncacheable:
        return False


_codes_here: dict[tuple[int, bytes], tuple[Any, bytes]] = {}


def _code_here(value: Any, code: bytes, here: bool) -> bytes:
    known = _codes_here.get((id(value), code))
    if known is not None:
        return known[1]
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    by_name = isinstance(module, str) and isinstance(name, str) and importable(module, name) is value
    if not (by_name or here):
        return code
    own = tagged(_CODE, fingerprint(value))
    if own == code:
        if len(_codes_here) >= _MOST_CODES:
            _codes_here.clear()
        _codes_here[id(value), code] = (value, own)
    return own


def functions_of(value: Any) -> Iterator[Any]:
    """All callables that stand in a task: its own, those among its arguments, those fused into it."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, Task):
            if not isinstance(one, NestedContainer):
                waiting.append(one.func)
            waiting += [*one.args, *one.kwargs.values()]
        elif isinstance(one, DataNode):
            waiting.append(one.value)
        elif isinstance(one, functools.partial):
            waiting += [one.func, *one.args, *one.keywords.values()]
        elif isinstance(one, dict):
            waiting += one.values()
        elif type(one) in (list, tuple):
            waiting += one
        elif callable(one):
            yield one


def _reference(key: Any, scope: _Scope) -> bytes:
    if key in scope.bound:
        return tagged(b"bound", scope.bound[key])
    if key in scope.inner:
        if key not in scope.numbers:
            scope.numbers[key] = len(scope.numbers)
            scope.waiting.append(key)
        return tagged(b"node", encode(scope.numbers[key]))
    return tagged(b"hole", encode(scope.holes.setdefault(key, len(scope.holes))))


def _name(value: Any) -> str:
    return str(getattr(value, "__qualname__", type(value).__qualname__))
