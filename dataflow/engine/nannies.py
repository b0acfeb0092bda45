"""The nannies of a cluster that we started: which workers they have lost for good, and when each was last heard of."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from dataflow.graph.groups import end_left_by

__all__ = ["Nannies"]

_CLOSE_SECONDS = 2


class Nannies:
    """Those of one cluster.

    Args:
        cluster: what Dask starts workers with; where its workers are none of our processes, there is nothing to do.
    """

    def __init__(self, cluster: Any) -> None:
        self._cluster = cluster

    def revive(self, long: bool) -> None:
        """Replace those that were killed or gave up: one whose worker is killed while it starts doesn't try again; and
        one whose worker has taken its leave and stays, as a document has left it unable to end, would wait for ever.

        Args:
            long: for long enough that one whose worker isn't there doesn't just start it, or end it.
        """
        nannies = getattr(self._cluster, "workers", {})
        lost = {n: one for n, one in nannies.items() if _gave_up(one) or (long and self._has_lost(one))}
        for name, nanny in lost.items():
            del nannies[name]
            number = getattr(nanny, "pid", None)
            with contextlib.suppress(Exception):
                self._cluster.sync(nanny.close, timeout=_CLOSE_SECONDS)
            if number is not None:
                end_left_by(number)
        if lost:
            self._cluster.scale(len(self._cluster.worker_spec))  # which starts what is missing

    def heard(self, run: str) -> dict[int, float]:
        """When the scheduler last heard of each worker, by the number of its process, as its clock says.

        Only of those that have something to do, and all of it for one run: another may be what keeps a worker from
        speaking. Whoever compares it with a clock has to reckon with this one being set.

        Args:
            run: the run's id, which the names of its tasks end in.
        """
        known = self._known()
        if known is None:
            return {}
        nannies = list(getattr(self._cluster, "workers", {}).values())
        found = ((one.pid, known.get(one.worker_address)) for one in nannies if hasattr(one, "pid"))
        return {n: worker.last_seen for n, worker in found if n and worker and _works_for(worker, run)}

    def _has_lost(self, nanny: Any) -> bool:
        """Whether it has no process; or one that has been a worker of the scheduler's, and those don't come back."""
        if not hasattr(nanny, "is_alive"):
            return False
        been = nanny.status.name in ("running", "closing_gracefully") and nanny.worker_address is not None
        known = self._known()
        return not nanny.is_alive() or (been and known is not None and nanny.worker_address not in known)

    def _known(self) -> Mapping[str, Any] | None:
        """The scheduler's workers by address, where it is in this process."""
        found: Mapping[str, Any] | None = getattr(getattr(self._cluster, "scheduler", None), "workers", None)
        return found


def _works_for(worker: Any, run: str) -> bool:
    keys = [task.key for task in list(worker.processing)]
    return bool(keys) and all(isinstance(key, tuple) and str(key[0]).endswith(f"-{run}") for key in keys)


def _gave_up(nanny: Any) -> bool:
    if hasattr(nanny, "is_alive"):
        return nanny.status.name in ("closed", "failed")
    # One in a process of its own, which was killed.
    return getattr(getattr(nanny, "process", None), "returncode", None) is not None
