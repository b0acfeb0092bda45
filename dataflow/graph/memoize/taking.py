"""Collections' graphs taken out: optimised together as ``dask.compute`` does, so that what they share is one task.

Members that one function optimises are one graph to it, and DataFrames one expression. Where members of several
optimisers meet, each is told to leave that key alone: it would else fuse the shared task into its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dask.base import collections_to_expr
from dask.core import flatten
from dask.highlevelgraph import HighLevelGraph
from dask.tokenize import tokenize

from dataflow.errors import CacheError
from dataflow.graph.taskspec import Alias, DataNode, Task, TaskRef, is_future, nodes_of

__all__ = ["Merged", "Taken", "taken"]


@dataclass(frozen=True)
class Taken:
    """What a collection is made of.

    Attributes:
        place: its place among the collections that were taken.
        layers: its part of the graph by layer, each as keys to tasks.
        outputs: keys of its results.
        annotations: of the layers that have any.
        frame: the optimised expression of a DataFrame; ``None`` for other collections.
    """

    place: int
    layers: dict[str, dict[Any, Any]]
    outputs: list[Any]
    annotations: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    frame: Any = None

    @property
    def all_keys(self) -> set[Any]:
        """Every key of its part of the graph."""
        return {key for layer in self.layers.values() for key in layer}


@dataclass(frozen=True)
class Merged:
    """Collections that share one graph.

    Attributes:
        number: the graph's, of those that were taken together.
        graph: keys to graph nodes, and to a cluster's futures.
        members: what each collection is made of.
        met: the keys that collections of several optimisers need.
    """

    number: int
    graph: dict[Any, Any]
    members: list[Taken]
    met: set[Any]


def taken(collections: Sequence[Any], optimize_graph: bool) -> list[Merged]:
    """Take collections apart; nothing of them is computed.

    All share one graph, but for those that mean another task by a key of an earlier one: a name that was given
    by hand twice, or a part that is persisted in one of them. They get a graph of their own.

    Raises:
        CacheError: one is an expression of a kind that can't be put together again.
    """
    rooms: list[_Room] = []
    for member in _members(collections, optimize_graph):
        room = next((one for one in rooms if one.agrees(member)), None)
        if room is None:
            rooms.append(room := _Room())
        room.add(member)
    return [_merged(number, room.members, optimize_graph) for number, room in enumerate(rooms)]


@dataclass
class _Member:
    """One collection. Of a DataFrame, ``frame`` and ``graph`` are optimised already."""

    place: int
    graph: Mapping[Any, Any]
    keys: Any
    optimize: Callable[..., Any] | None = None
    frame: Any = None

    @property
    def layers(self) -> Mapping[str, Mapping[Any, Any]]:
        """Its graph's layers; of a plain graph the only one."""
        graph = self.graph
        return graph.layers if isinstance(graph, HighLevelGraph) else {f"member {self.place}": graph}

    def futures(self) -> dict[Any, Any]:
        """What a cluster holds of it."""
        return {k: v for layer in self.layers.values() for k, v in layer.items() if is_future(v)}


class _Room:
    """Members whose keys mean one thing."""

    def __init__(self) -> None:
        self.members: list[_Member] = []
        self._tasks: dict[Any, Any] = {}
        self._layers: set[int] = set()

    def agrees(self, member: _Member) -> bool:
        """Whether no key of a member is another task here."""
        layers = [layer for layer in member.layers.values() if id(layer) not in self._layers]
        pairs = ((k, v, self._tasks[k]) for layer in layers for k, v in layer.items() if k in self._tasks)
        return all(_is_held(key, one, other) or _same(one, other) for key, one, other in pairs)

    def add(self, member: _Member) -> None:
        """Take a member in."""
        self.members.append(member)
        for layer in member.layers.values():
            self._tasks.update({} if id(layer) in self._layers else layer)
            self._layers.add(id(layer))


class _Kind:
    """Members of one optimiser, whose layers of one name are one layer."""

    def __init__(self, optimize: Callable[..., Any] | None) -> None:
        self.optimize = optimize
        self.members: list[_Member] = []
        self._layers: dict[str, Mapping[Any, Any]] = {}

    def fits(self, member: _Member) -> bool:
        """Whether a member can be optimised with these."""
        met = ((layer, self._layers.get(name, layer)) for name, layer in member.layers.items())
        return self.optimize == member.optimize and all(a is b or a.keys() == b.keys() for a, b in met)

    def add(self, member: _Member) -> None:
        """Take a member in."""
        self.members.append(member)
        self._layers |= member.layers

    def graph(self) -> Any:
        """All that they are made of, as one graph."""
        graphs = [one.graph for one in self.members]
        return graphs[0] if len(graphs) == 1 else HighLevelGraph.merge(*map(_layered, self.members))

    def optimized(self, met: set[Any]) -> Any:
        """The graph as their optimiser makes it; keys where others are met stay."""
        graph = self.graph()
        if self.optimize is None:
            return graph
        keys = self.members[0].keys
        if len(self.members) > 1 or met:
            keys = list(dict.fromkeys([k for one in self.members for k in flatten([one.keys])]))
            keys += [k for k in met - {*keys} if k in graph]
        return self.optimize(graph, keys)


def _layered(member: _Member) -> HighLevelGraph:
    if isinstance(member.graph, HighLevelGraph):
        return member.graph
    return HighLevelGraph(dict(member.layers), {name: set() for name in member.layers})


def _members(collections: Sequence[Any], optimize_graph: bool) -> list[_Member]:
    frames = {n: one for n, one in enumerate(collections) if _is_frame(one)}
    best = dict(zip(frames, _optimized(list(frames.values()), optimize_graph), strict=True))
    members = []
    for place, one in enumerate(collections):
        if place in best:
            frame = best[place]
            members.append(_Member(place, frame.__dask_graph__(), frame.__dask_keys__(), frame=frame))
        else:
            optimize = getattr(one, "__dask_optimize__", None)
            members.append(_Member(place, one.__dask_graph__(), one.__dask_keys__(), optimize))
    return members


def _is_frame(collection: Any) -> bool:
    from dask._expr import Expr

    if not isinstance(getattr(collection, "expr", None), Expr):
        return False
    if not type(collection).__module__.startswith("dask.dataframe"):
        kind = type(collection).__name__
        raise CacheError(f"the expression of a {kind} can't be rebuilt: set array.query-planning to False.")
    return True


def _optimized(frames: list[Any], optimize_graph: bool) -> list[Any]:
    """DataFrames optimised as one expression; only that of a single one fuses by itself."""
    if not optimize_graph:
        return [one.lower_once() for one in frames]
    if len(frames) > 1:
        from dask.dataframe.dask_expr import new_collection
        from dask.dataframe.dask_expr._expr import optimize_blockwise_fusion

        best = optimize_blockwise_fusion(collections_to_expr(frames).optimize()).operands
        if len(best) == len(frames):
            return [new_collection(one) for one in best]
    return [one.optimize() for one in frames]


def _merged(number: int, members: list[_Member], optimize_graph: bool) -> Merged:
    kinds = _kinds(members)
    meeting = _meetings(kinds) if optimize_graph and len(kinds) > 1 else set()
    graph: dict[Any, Any] = {}
    home: dict[Any, str] = {}
    notes: dict[str, Mapping[str, Any]] = {}
    for n, kind in enumerate(kinds):
        made = kind.optimized(meeting) if optimize_graph else kind.graph()
        layers = made.layers if isinstance(made, HighLevelGraph) else {"": made}
        tasks = {key: task for layer in layers.values() for key, task in layer.items()}
        # A plain text is a key where the member has such a task, and not where another one has.
        graph |= nodes_of(tasks, set(tasks))
        for name, layer in layers.items():
            title = f"{name}-{n}" if n else name
            home |= dict.fromkeys(layer, title)
            if found := getattr(layer, "annotations", None):
                notes[title] = found
    # Optimising drops what a cluster holds already; who lets go of a future loses its result.
    held = {one.place: one.futures() for one in members}
    for futures in held.values():
        graph |= futures
        home = dict.fromkeys(futures, "held") | home
    parts = {one.place: _part(one, [*held[one.place]], graph, home, notes) for one in members}
    needed = Counter(
        k for kind in kinds for k in set().union(*(parts[m.place].all_keys for m in kind.members))
    )
    met = {key for key, kinds_of_it in needed.items() if kinds_of_it > 1}
    return Merged(number, graph, list(parts.values()), met)


def _kinds(members: list[_Member]) -> list[_Kind]:
    kinds: list[_Kind] = []
    for member in members:
        kind = next((one for one in kinds if one.fits(member)), None)
        if kind is None:
            kinds.append(kind := _Kind(member.optimize))
        kind.add(member)
    return kinds


def _meetings(kinds: list[_Kind]) -> set[Any]:
    """Keys that several kinds have, and that are results, or that something needs which one kind alone has."""
    graphs = [nodes_of(graph, set(graph)) for graph in (dict(kind.graph()) for kind in kinds)]
    number = Counter(key for graph in graphs for key in graph)
    wanted = {key for kind in kinds for one in kind.members for key in flatten([one.keys])}
    for graph in graphs:
        wanted |= {need for key, node in graph.items() if number[key] == 1 for need in _needs(node)}
    return {key for key in wanted if number[key] > 1}


def _part(
    member: _Member, futures: list[Any], graph: dict[Any, Any], home: dict[Any, str], notes: dict[str, Any]
) -> Taken:
    """What of a graph a member needs."""
    outputs = list(dict.fromkeys(flatten([member.keys])))
    layers: dict[str, dict[Any, Any]] = {}
    for key in _reached(graph, [*outputs, *futures]):
        layers.setdefault(home[key], {})[key] = graph[key]
    own_notes = {name: notes[name] for name in layers if name in notes}
    return Taken(member.place, layers, outputs, own_notes, member.frame)


def _reached(graph: dict[Any, Any], keys: list[Any]) -> list[Any]:
    seen: dict[Any, None] = {}
    waiting = keys[::-1]
    while waiting:
        key = waiting.pop()
        if key in graph and key not in seen:
            seen[key] = None
            waiting += _needs(graph[key])
    return list(seen)


def _needs(node: Any) -> Iterable[Any]:
    return () if is_future(node) else node.dependencies


def _is_held(key: Any, *tasks: Any) -> bool:
    """Whether one of these stands for what the cluster holds under this very key."""
    return any(is_future(task) and task.key == key for task in tasks)


def _same(one: Any, other: Any) -> bool:
    """Whether two tasks are the same one. What is the same object isn't hashed: that may take long, or fail."""
    if one is other:
        return True
    if type(one) is not type(other) or is_future(one):
        return False
    if isinstance(one, Task):
        return _same((one.func, one.args, one.kwargs), (other.func, other.args, other.kwargs))
    if isinstance(one, TaskRef | Alias | DataNode):
        names = (
            ("target",) if isinstance(one, Alias) else ("key",) if isinstance(one, TaskRef) else ("value",)
        )
        return all(_same(getattr(one, name), getattr(other, name)) for name in names)
    if type(one) in (list, tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    if type(one) is dict:
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    try:
        return bool(tokenize(one) == tokenize(other))
    except Exception:
        return False
