"""The plugin that brings a run's plan to every worker, those that join later included."""

from __future__ import annotations

import os
import sys
from typing import Any

from distributed import WorkerPlugin

from dataflow.engine import frames
from dataflow.graph.child import close_children, limit_children
from dataflow.graph.guard import OUT_OF_FILES, drop_guard, guard_of, has_no_files
from dataflow.graph.plan import Plan, forget_plan, register_plan
from dataflow.graph.samecode import held_against_code
from dataflow.graph.shipping import packed_plan, unpacked_plan
from dataflow.graph.table import load_writer
from dataflow.memo.spec import load_stores

__all__ = ["PlanPlugin"]


class PlanPlugin(WorkerPlugin):
    """Makes a plan known on a worker, and takes it away with the run.

    The plan travels once a worker and not with each task, as bytes: the scheduler need not have the
    pipeline's code, and a pipeline that can't be pickled is found out before work starts.

    Raises:
        WorkloadError: the pipeline can't be sent to other processes.
    """

    def __init__(self, plan: Plan) -> None:
        self.name = f"dataflow-{plan.run}"
        self._run = plan.run
        self._path = plan.search_path
        self._ledger = plan.ledger
        self._plan = packed_plan(plan)

    def setup(self, worker: Any) -> None:
        """Register the plan, and watch the process if it may be ended.

        One that an earlier run's stages have left no file descriptor is ended: the next one can do it.
        """
        frames.register()
        try:
            self._load(worker)
        except Exception:
            if worker.nanny and has_no_files():
                os._exit(OUT_OF_FILES)
            raise

    def _load(self, worker: Any) -> None:
        for folder in self._path:
            if folder not in sys.path:
                sys.path.append(folder)
        plan = unpacked_plan(self._plan)
        if plan.sink is not None:
            load_writer()  # now, while the driver is busy too, and not when the first batch waits for it
        if plan.memo.kind != "none":
            load_stores()
        register_plan(plan if plan.in_child else held_against_code(plan))
        if plan.in_child:
            limit = worker.memory_manager.memory_limit
            limit_children(plan.run, limit / worker.state.nthreads if limit else None)
            return
        # Only a worker in a process of its own, with a nanny that starts another, may be ended.
        guard_of(self._ledger, limit_seconds=plan.longest_seconds if worker.nanny else None)

    def teardown(self, worker: Any) -> None:
        """Forget the run."""
        forget_plan(self._run)  # first, or a thread that only now begins a batch had a child started for it
        close_children(self._run)
        drop_guard(self._ledger)
