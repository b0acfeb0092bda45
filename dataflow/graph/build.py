"""The one builder of the engine's Dask tasks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dataflow.graph import child, nodes, sandbox
from dataflow.graph.plan import Batch, Plan
from dataflow.graph.taskspec import Task, TaskRef, with_token

__all__ = ["GraphKey", "build", "node_names"]

GraphKey = tuple[str, int]


def build(plan: Plan, batch: Batch) -> tuple[GraphKey, dict[GraphKey, Any]]:
    """The graph of one batch, and the key of its result.

    Keys are ``(node-<run>, batch)``, so that the dashboard groups a run's nodes by name. With
    ``strategy.fuse`` the nodes become one task that keeps them inside; a batch that runs in a sandbox or in a child
    process is always one.
    """
    if batch.isolated:
        key = (f"isolate-{plan.run}", batch.number)
        return key, _graph(Task(key, sandbox.isolate, plan.run, batch.pack()))
    if plan.in_child:
        key = (f"child-{plan.run}", batch.number)
        return key, _graph(Task(key, child.run_in_child, plan.run, batch.pack()))
    tasks = _chain(plan, batch)
    if not plan.strategy.fuse:
        return tasks[-1].key, _graph(*tasks)
    key = (f"batch-{plan.run}", batch.number)
    return key, _graph(Task.fuse(*tasks, key=key))


def _graph(*tasks: Any) -> dict[GraphKey, Any]:
    return {task.key: with_token(task, repr(task.key)) for task in tasks}


def node_names(plan: Plan) -> list[str]:
    """The nodes of this plan's graphs, in order."""
    stages = [s.name for s in plan.pipeline.stages]
    memo = plan.memo_stages
    if not memo:
        return ["probe", *stages, "write"]
    return ["probe", "lookup", *stages[:memo], "store", *stages[memo:], "write"]


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "probe": nodes.probe,
    "lookup": nodes.lookup,
    "store": nodes.store,
    "write": nodes.write,
}


def _chain(plan: Plan, batch: Batch) -> list[Any]:
    run, number = plan.run, batch.number
    stages = {s.name: i for i, s in enumerate(plan.pipeline.stages)}
    tasks: list[Any] = []
    for name in node_names(plan):
        key = (f"{name}-{run}", number)
        before = TaskRef(tasks[-1].key) if tasks else batch.pack()
        if name in stages:
            tasks.append(Task(key, nodes.compute, run, stages[name], before))
        else:
            tasks.append(Task(key, _FUNCTIONS[name], run, before))
    return tasks
