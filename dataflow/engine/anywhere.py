"""A scheduler plugin: what is placed on a worker may run anywhere once no worker is running.

Dask lets another worker take a loosely restricted task while one is running. With none it files the task under the
address of the worker that has gone, which nobody has ever again: a worker that is started anew has another one.
"""

from __future__ import annotations

from typing import Any

from distributed import SchedulerPlugin

__all__ = ["Anywhere"]


class Anywhere(SchedulerPlugin):
    """Takes the restriction from loosely restricted tasks that no worker can take at the moment."""

    name = "dataflow-anywhere"

    def __init__(self, scheduler: Any) -> None:
        self._scheduler = scheduler

    def transition(self, key: Any, start: str, finish: str, *args: Any, **kwargs: Any) -> None:
        """See each task change its state."""
        if finish == "no-worker":
            task = self._scheduler.tasks.get(key)
            if task is not None and task.loose_restrictions:
                task.worker_restrictions = None
