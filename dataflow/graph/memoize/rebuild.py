"""Another graph put in the place of a collection's own: same type, new names.

New names, and not the old ones: the plain and the memoized collection may meet in one computation, and a
cluster holds results by key.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from dask.highlevelgraph import HighLevelGraph, MaterializedLayer
from dask.utils import key_split

from dataflow.errors import CacheError
from dataflow.graph.memoize.taking import Taken
from dataflow.graph.taskspec import Alias, is_future

__all__ = ["new_key", "put_back"]


def put_back(collection: Any, parts: Taken, renamed: Callable[[Any], Any], graph: dict[Any, Any]) -> Any:
    """The collection over another graph, whose keys are the old ones renamed."""
    outputs = [renamed(key) for key in parts.outputs]
    if parts.frame is not None:
        return _frame(parts.frame, graph, outputs)
    # Where its results have to keep their names, these lead to the new ones.
    old = {key: Alias(key, renamed(key)) for key in parts.outputs if key != renamed(key)}
    if not hasattr(collection, "__dask_postpersist__"):
        return _over(collection, {**graph, **old})
    build, arguments = collection.__dask_postpersist__()
    if not (_renames(build) and all(_can_rename(key) for key in parts.outputs)):
        return build({**graph, **old}, *arguments)
    names = {_head(key): _head(renamed(key)) for key in parts.all_keys if _can_rename(key)}
    # A Delayed or an Item looks for its layer by its key, whatever it was called before.
    single = hasattr(type(collection), "key")
    ends = {renamed(key) if single else _head(renamed(key)) for key in parts.outputs}
    return build(_layered(parts, renamed, graph, ends), *arguments, rename=names)


def new_key(key: Any, token: str) -> Any:
    """The renamed key: ``("sum-1f", 0)`` becomes ``("memo-sum-1f-<token>", 0)``."""
    if isinstance(key, str):
        return f"memo-{key}-{token}"
    if isinstance(key, tuple) and key and isinstance(key[0], str):
        return (f"memo-{key[0]}-{token}", *key[1:])
    return (f"memo-{token}", key)


def _over(collection: Any, graph: dict[Any, Any]) -> Any:
    """A copy whose graph is another one, of a collection that has no way to be made of one."""
    kind = type(collection)
    members = {"__slots__": (), "__module__": kind.__module__, "__dask_graph__": lambda self: graph}
    try:
        made = copy.copy(collection)
        made.__class__ = type(kind.__name__, (kind,), members)
    except TypeError:
        raise CacheError(f"a {kind.__name__} can't be rebuilt: give it __dask_postpersist__.") from None
    return made


def _can_rename(key: Any) -> bool:
    return isinstance(_head(key), str)


def _head(key: Any) -> Any:
    return key[0] if isinstance(key, tuple) and key else key


def _renames(build: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(build).parameters
    except (TypeError, ValueError):
        return False
    return "rename" in parameters


def _layered(parts: Taken, renamed: Callable[[Any], Any], graph: dict[Any, Any], ends: set[Any]) -> Any:
    """The new graph in the old one's layers, so that annotations stay with their tasks.

    The layer of the results is called as they are: collections look for it by their name, one of ``ends``.
    """
    homes = {name for name, layer in parts.layers.items() if not layer.keys().isdisjoint(parts.outputs)}
    if len(ends) != 1 or len(homes) != 1 or (len(parts.layers) == 1 and not parts.annotations):
        return graph
    (end,), (home,) = ends, homes
    layers, place = {}, {}
    for name, layer in parts.layers.items():
        title = end if name == home else f"memo-{name}-of-{end}"
        keys = {key: renamed(key) for key in layer if renamed(key) in graph}
        notes = _notes(parts.annotations.get(name), keys)
        layers[title] = MaterializedLayer({new: graph[new] for new in keys.values()}, annotations=notes)
        place.update(dict.fromkeys(keys.values(), title))
    needs = {
        title: {place[k] for node in layer.mapping.values() for k in _needs(node) if k in place} - {title}
        for title, layer in layers.items()
    }
    return HighLevelGraph(layers, needs)


def _needs(node: Any) -> Any:
    return () if is_future(node) else node.dependencies


def _notes(notes: Mapping[str, Any] | None, keys: dict[Any, Any]) -> dict[str, Any] | None:
    """Annotations; one that is a function of the key is told for the old key."""
    if not notes:
        return None
    return {
        name: {new: note(old) for old, new in keys.items()}.get if callable(note) else note
        for name, note in notes.items()
    }


def _frame(best: Any, graph: dict[Any, Any], outputs: list[Any]) -> Any:
    from dask.dataframe.dask_expr._collection import from_graph

    # Divisions are the optimised expression's: it may have other partitions than the one that was given.
    return from_graph(graph, best._meta, best.divisions, outputs, f"memo-{key_split(best._name)}")
