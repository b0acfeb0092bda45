"""The one builder of the engine's Dask tasks."""

from __future__ import annotations

from typing import Any

from dataflow.graph import child, nodes, sandbox
from dataflow.graph.plan import Batch, Plan
from dataflow.graph.work import BatchResult

__all__ = ["GraphKey", "build", "run_batch"]

GraphKey = tuple[str, int]


def build(plan: Plan, batch: Batch) -> tuple[GraphKey, dict[GraphKey, Any]]:
    """The graph of one batch, and the key of its result.

    Keys are ``(node-<run>, batch)``, so that the dashboard groups a run's nodes by name. With
    ``strategy.fuse`` one task runs all of the nodes; a batch that runs in a sandbox or in a child
    process is always one.
    """
    from dataflow.graph.taskspec import Task  # here, since neither preparing a run nor a small one needs Dask

    if batch.isolated:
        key = (f"isolate-{plan.run}", batch.number)
        return key, _graph(Task(key, sandbox.isolate, plan.run, batch.pack()))
    if plan.in_child:
        key = (f"child-{plan.run}", batch.number)
        return key, _graph(Task(key, child.run_in_child, plan.run, batch.pack()))
    if plan.strategy.fuse:
        key = (f"batch-{plan.run}", batch.number)
        return key, _graph(Task(key, nodes.run_nodes, plan.run, batch.pack()))
    tasks = _chain(plan, batch)
    return tasks[-1].key, _graph(*tasks)


def run_batch(plan: Plan, batch: Batch) -> BatchResult:
    """What the graph of a batch comes to, in this thread and without Dask.

    Raises:
        ChildDied: it ran in a child process, which ended.
        OSError: the output can't be written.
    """
    if batch.isolated:
        return sandbox.isolate(plan.run, batch.pack())
    if plan.in_child:
        return child.run_in_child(plan.run, batch.pack())
    return nodes.run_nodes(plan.run, batch.pack())


def _graph(*tasks: Any) -> dict[GraphKey, Any]:
    from dataflow.graph.taskspec import with_token

    return {task.key: with_token(task, repr(task.key)) for task in tasks}


def _chain(plan: Plan, batch: Batch) -> list[Any]:
    from dataflow.graph.taskspec import Task, TaskRef

    tasks: list[Any] = []
    for name, function, given in nodes.in_order(plan):
        key = (f"{name}-{plan.run}", batch.number)
        before = TaskRef(tasks[-1].key) if tasks else batch.pack()
        tasks.append(Task(key, function, *given, before))
    return tasks
