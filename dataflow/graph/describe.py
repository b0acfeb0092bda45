"""A Dask task as canonical bytes: its function's code, its literals, and numbered holes for what it waits for."""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

from dataflow.graph.contents import content
from dataflow.graph.purity import Purity
from dataflow.graph.taskspec import Alias, DataNode, GraphNode, NestedContainer, Task, TaskRef, is_subgraph
from dataflow.memo.fingerprint import fingerprint
from dataflow.memo.keys import Uncacheable, digest, encode, tagged

__all__ = ["Described", "Describer", "functions_of"]


@dataclass(frozen=True)
class Described:
    """What a task is.

    Attributes:
        template: digest of code, literals and structure, with a hole for each input.
        inputs: the keys whose results fill the holes, in order.
    """

    template: bytes
    inputs: tuple[Any, ...]


@dataclass
class _Scope:
    """The names that references are resolved by: inputs become holes, inner tasks numbered nodes."""

    holes: dict[Any, int]
    inner: dict[Any, Any] = field(default_factory=dict)
    bound: dict[Any, bytes] = field(default_factory=dict)
    numbers: dict[Any, int] = field(default_factory=dict)
    waiting: deque[Any] = field(default_factory=deque)


class Describer:
    """Describes the tasks of one graph; each function is fingerprinted once.

    Args:
        trust: see :class:`Purity`.
    """

    def __init__(self, trust: Collection[Any] = ()) -> None:
        self._purity = Purity(trust)
        self._literals: dict[int, tuple[Any, bytes]] = {}

    def task(self, task: Any) -> Described:
        """The description of a task.

        Raises:
            Uncacheable: something in it has no stable description, or looks outside.
        """
        scope = _Scope({})
        try:
            body = self._part(task, scope)
        except RecursionError:
            raise Uncacheable("a task that is nested too deep can't be keyed.") from None
        return Described(digest(body), tuple(scope.holes))

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
        bound = {n: self._part(one, outer) for n, one in zip(names, inputs, strict=True)}
        scope = _Scope({}, graph, bound)
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
        return known[1]

    def _described(self, value: Any) -> bytes:
        try:
            return tagged(b"data", content(value))
        except Uncacheable:
            reason = self._purity.why_not(value)
            if reason:
                raise Uncacheable(f"{_name(value)} can't be keyed: {reason}. Say trust= if it may.") from None
            return tagged(b"code", fingerprint(value))


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
