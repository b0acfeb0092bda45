"""The one builder of Dask tasks, and the one module that imports ``dask._task_spec``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dask._task_spec import Task, TaskRef

from dataflow.graph import nodes, sandbox
from dataflow.graph.plan import Batch, Plan

__all__ = ["GraphKey", "build", "node_names"]

GraphKey = tuple[str, int]


def build(plan: Plan, batch: Batch) -> tuple[GraphKey, dict[GraphKey, Any]]:
    """The graph of one batch, and the key of its result.

    Keys are ``(node-<run>, batch)``, so that the dashboard groups a run's nodes by name. With
    ``strategy.fuse`` the nodes become one task that keeps them inside; an isolated batch is always one.
    """
    if batch.isolated:
        key = (f"isolate-{plan.run}", batch.number)
        return key, {key: Task(key, sandbox.isolate, plan.run, batch)}
    tasks = _chain(plan, batch)
    if not plan.strategy.fuse:
        return tasks[-1].key, {t.key: t for t in tasks}
    key = (f"batch-{plan.run}", batch.number)
    return key, {key: Task.fuse(*tasks, key=key)}


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
        before = TaskRef(tasks[-1].key) if tasks else batch
        if name in stages:
            tasks.append(Task(key, nodes.compute, run, stages[name], before))
        else:
            tasks.append(Task(key, _FUNCTIONS[name], run, before))
    return tasks
