"""``memoize()``: memo nodes around the tasks of any Dask collection.

The graph keeps its shape: each task that has a key becomes a node that looks up before it runs the task, so
that an entry which is gone, or a server that is down, is a computation and never an error.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any

from dask.base import is_dask_collection
from dask.core import toposort
from dask.utils import key_split

from dataflow.errors import CacheError
from dataflow.graph.memoize import rebuild
from dataflow.graph.memoize.describe import Described, Describer, functions_of
from dataflow.graph.memoize.nodes import MemoNode, PlainNode, node_counters
from dataflow.graph.memoize.purity import names_of
from dataflow.graph.memoize.source import spec_of, with_generation
from dataflow.graph.memoize.taking import Merged, Taken, taken
from dataflow.graph.taskspec import Alias, DataNode, Task, TaskRef, is_future, unfused
from dataflow.memo.keys import Uncacheable, digest, encode
from dataflow.memo.spec import MemoSpec, open_memo

__all__ = ["Only", "memoize", "node_counters", "uncacheable"]

Only = str | Callable[[str], bool] | Iterable[Any] | None


def memoize(
    collection: Any,
    memo: MemoSpec | str,
    *,
    only: Only = None,
    trust: Collection[Any] = (),
    optimize_graph: bool = True,
) -> Any:
    """A collection of the same type whose tasks are looked up before they are run.

    A task's key is made of the code that it reaches, its literal arguments, and the content of the results
    that it waits for. An edited helper or another argument is a miss; an upstream edit that leaves a result
    unchanged recomputes nothing after it. Tasks that can't be keyed run as they were and are counted.

    Args:
        collection: a Delayed, Bag, Array, DataFrame, or whatever else follows Dask's protocol; or a list,
            tuple or dict of them, nested as you like: they share one graph, as ``dask.compute(a, b)`` would
            have it. Nothing is computed.
        memo: a :class:`MemoSpec`, the URL of a Redis server, or ``lru``, ``redis``, ``tiered``, ``dict``. For
            ``redis`` and ``tiered`` the server is ``REDIS_URL``, else one that ends with this process.
        only: which tasks: names of functions or of keys' prefixes, functions, or a predicate of a name.
        trust: functions, or their names, that are pure though they look outside (see the guide).
        optimize_graph: optimise first, so that a node holds what Dask fuses; ``False`` for a node a task.

    Returns:
        The memoized collection. Its keys begin with ``memo-``; it works in further computations.

    Raises:
        CacheError: this is no Dask collection, the memo can't be opened, or ``only`` names nothing in it.
    """
    spec = with_generation(spec_of(memo))
    open_memo(spec)
    collections = list(_members(collection))
    merged = taken(collections, optimize_graph)
    chosen, describer = _chooser(only, [one.graph for one in merged]), Describer(trust)
    made: dict[int, Any] = {}
    for one in merged:
        nodes = _Nodes(one, spec, chosen, describer)
        for part in one.members:
            made[part.place] = rebuild.put_back(
                collections[part.place], part, nodes.renamed, nodes.graph(part)
            )
    return _repacked(collection, (made[n] for n in range(len(made))))


def _members(collection: Any) -> Iterator[Any]:
    """The collections in nested lists, tuples and dicts, in order."""
    if type(collection) in (list, tuple, dict):
        for one in collection.values() if type(collection) is dict else collection:
            yield from _members(one)
    elif is_dask_collection(collection):
        yield collection
    else:
        kind = type(collection).__name__
        raise CacheError(f"a {kind} is no Dask collection: pass a Delayed, a Bag, an Array or a DataFrame.")


def _repacked(collection: Any, made: Iterator[Any]) -> Any:
    """The same lists, tuples and dicts with other collections in them."""
    if type(collection) is dict:
        return {key: _repacked(one, made) for key, one in collection.items()}
    if type(collection) in (list, tuple):
        return type(collection)([_repacked(one, made) for one in collection])
    return next(made)


def uncacheable(collection: Any) -> dict[Any, str]:
    """Of a memoized collection, or of several, the keys of the tasks that run plainly, each with the reason."""
    if isinstance(collection, list | tuple):
        return {key: reason for one in collection for key, reason in uncacheable(one).items()}
    graph = collection.__dask_graph__()
    found = {key: functions_of(task) for key, task in dict(graph).items()}
    plain = {key: [f for f in functions if isinstance(f, PlainNode)] for key, functions in found.items()}
    return {key: nodes[0].reason for key, nodes in plain.items() if nodes}


class _Nodes:
    """The memoized twin of a graph; collections that share the one share the other."""

    def __init__(
        self, merged: Merged, spec: MemoSpec, chosen: Callable[[Any, Any], bool], describer: Describer
    ) -> None:
        graph, self._graph, self._met = merged.graph, merged.graph, merged.met
        self._spec, self._chosen, self._describer = spec, chosen, describer
        # The cluster's own shuffle knows its tasks by their keys.
        self._fixed = {key for key, node in graph.items() if is_future(node) or _is_shuffle(node)}
        self._derived: dict[Any, bytes | None] = {}
        self._described: dict[Any, Described | str | None] = {}
        for key in toposort(graph, dependencies={k: _inputs(k, v, graph) for k, v in graph.items()}):
            self._describe(key, graph[key])
        told = {d.template for d in self._described.values() if isinstance(d, Described)}
        life = (spec.tag, spec.ttl_seconds, spec.generation)
        settings = (spec.kind, spec.url, spec.namespace, *life, sorted(told))
        # One key may be several tasks: what is fused into it follows from the collections beside it.
        wanted = repr([one.outputs for one in merged.members])
        self._token = digest(encode((settings, merged.number, wanted))).hex()[:8]
        self._twin = {key: self._node(key, node) for key, node in graph.items()}

    def renamed(self, key: Any) -> Any:
        """The memoized twin's key; of a key outside of the graph, the key itself.

        The code is part of the name: a cluster holds results by key, and must not take one for another.
        """
        if key not in self._graph or key in self._fixed:
            return key
        return rebuild.new_key(key, self._token)

    def graph(self, part: Taken) -> dict[Any, Any]:
        """The twin of one collection's part: the same keys, renamed, and the same dependencies."""
        return {self.renamed(key): self._twin[key] for layer in part.layers.values() for key in layer}

    def _describe(self, key: Any, node: Any) -> None:
        self._described[key], self._derived[key] = None, None
        if isinstance(node, Alias):
            self._derived[key] = self._derived.get(node.target)
        elif isinstance(node, DataNode):
            try:
                self._derived[key] = self._describer.data(node.value)
            except Uncacheable:
                return
        elif key not in self._fixed and isinstance(node, Task) and _is_work(node) and self._chosen(key, node):
            try:
                described = self._describer.task(node)
            except Uncacheable as error:
                self._described[key] = str(error)
                return
            self._described[key] = described
            known = [self._derived.get(one) for one in described.inputs]
            if None not in known:
                self._derived[key] = digest(encode((described.template, known)))

    def _node(self, key: Any, node: Any) -> Any:
        new, described = self.renamed(key), self._described[key]
        if is_future(node):
            return node
        if described is None:
            names = {k: self.renamed(k) for k in node.dependencies}
            if isinstance(node, Alias):
                return Alias(new, names[node.target])
            return self._open(key, node.substitute(names, key=new))
        if isinstance(described, str):
            inputs = tuple(node.dependencies)
            run: Any = PlainNode(node, inputs, described)
        else:
            inputs = described.inputs
            derived = tuple(self._derived.get(one) for one in inputs)
            run = MemoNode(node, described, derived, self._spec, _titles(key, node))
        refs = [TaskRef(self.renamed(one)) for one in inputs]
        return self._open(key, Task(new, run, *refs, _data_producer=node.data_producer))

    def _open(self, key: Any, task: Any) -> Any:
        """Collections that are optimised apart when they are computed would each fuse what they share."""
        return unfused(task) if key in self._met else task


def _inputs(key: Any, node: Any, graph: dict[Any, Any]) -> set[Any]:
    return set() if is_future(node) else {k for k in node.dependencies if k in graph and k != key}


def _is_work(task: Any) -> bool:
    # A coroutine has to stay one for the worker's loop; what is memoized already is left alone.
    return not task.is_coro and not any(isinstance(f, MemoNode | PlainNode) for f in functions_of(task))


def _is_shuffle(task: Any) -> bool:
    if not isinstance(task, Task):
        return False
    found = (f"{getattr(f, '__module__', '')}.{getattr(f, '__qualname__', '')}" for f in functions_of(task))
    return any(name.startswith("distributed.shuffle.") or name in _SHUFFLE for name in found)


_SHUFFLE = ("dask.dataframe.dask_expr._shuffle._shuffle_transfer",)


def _chooser(only: Only, graphs: list[dict[Any, Any]]) -> Callable[[Any, Any], bool]:
    """Whether a task is meant. A name has to be that of a task somewhere in what was given, not in each of it."""
    if only is None or not graphs:
        return lambda key, task: True
    known = {name for graph in graphs for name in _all_names(graph)}
    if callable(only) and not names_of(only) & known:
        predicate: Callable[[str], bool] = only
        return lambda key, task: any(map(predicate, _names(key, task)))
    wanted = [only] if isinstance(only, str) or callable(only) else list(only)
    names = {name for one in wanted for name in ([one] if isinstance(one, str) else names_of(one))}
    if not names & known:
        shown = ", ".join(sorted(n for n in known if "." not in n)[:20])
        raise CacheError(f"no task here is called {', '.join(map(str, wanted))}: choose of {shown}.")
    return lambda key, task: bool(names & _names(key, task))


def _all_names(graph: dict[Any, Any]) -> set[str]:
    return {name for key, task in graph.items() if isinstance(task, Task) for name in _names(key, task)}


def _titles(key: Any, task: Any) -> tuple[str, ...]:
    """What a node goes by: its key's prefix, and the functions in it but Dask's own, by their short names."""
    functions = [f for f in functions_of(task) if not (isinstance(f, type) or _is_dasks(f))]
    named = {str(getattr(f, "__name__", type(f).__name__)) for f in functions}
    return tuple(sorted({str(key_split(key)), *named}))


def _is_dasks(function: Any) -> bool:
    return str(getattr(function, "__module__", "")).partition(".")[0] in ("dask", "distributed")


def _names(key: Any, task: Any) -> set[str]:
    return {str(key_split(key)), *(name for function in functions_of(task) for name in names_of(function))}
