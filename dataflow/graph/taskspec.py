"""The one module that imports ``dask._task_spec``: documented by Dask, yet underscored, so it may move."""

from __future__ import annotations

from typing import Any

from dask._task_spec import (
    Alias,
    DataNode,
    GraphNode,
    NestedContainer,
    Task,
    TaskRef,
    _execute_subgraph,
    _is_dask_future,
    convert_legacy_graph,
)

__all__ = [
    "Alias",
    "DataNode",
    "GraphNode",
    "NestedContainer",
    "Task",
    "TaskRef",
    "is_future",
    "is_subgraph",
    "nodes_of",
    "unfused",
    "with_token",
]


class _Unfused(Task):
    __slots__ = ()

    @property
    def block_fusion(self) -> bool:
        return True


def unfused(task: Any) -> Any:
    """The task as one that no optimiser makes one with others; what isn't a plain task is given back as it is."""
    if type(task) is not Task:
        return task
    return _Unfused(task.key, task.func, *task.args, _data_producer=task.data_producer, **task.kwargs)


def with_token(task: Any, token: str) -> Any:
    """Give a task its token, and return it.

    Dask names a graph by a hash of all that is in it, which costs more than to send it. Where keys are never
    used again, the key says as much.
    """
    task._token = token
    return task


def is_future(value: object) -> bool:
    """Whether a graph holds a scheduler's future here instead of work."""
    # A bare reference is an alias; a scheduler's future may derive from it.
    return type(value) is not TaskRef and not isinstance(value, GraphNode) and bool(_is_dask_future(value))


def is_subgraph(task: Any) -> bool:
    """Whether a task is a fused one: its arguments are inner tasks, their output, the inner names of inputs,
    and the inputs."""
    return isinstance(task, Task) and task.func is _execute_subgraph


def nodes_of(graph: dict[Any, Any], all_keys: set[Any]) -> dict[Any, Any]:
    """A graph of any age as graph nodes; futures stay as they are.

    Args:
        graph: keys to tasks, legacy tuples or plain data.
        all_keys: every key that the tasks may refer to.
    """
    futures = {key: value for key, value in graph.items() if is_future(value)}
    work = {key: value for key, value in graph.items() if key not in futures}
    return {**convert_legacy_graph(work, all_keys), **futures}
