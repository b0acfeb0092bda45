"""Which of a suite's arms can differ here: on this cluster, with this workload."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dataflow.bench.equipment import same_cluster, sizes_of
from dataflow.bench.suites import ENGINE, GIVEN, INLINE, Arm, Suite, suite_arms
from dataflow.engine.specs import usable_cores
from dataflow.workload import Workload

__all__ = ["chosen_arms"]


def chosen_arms(
    name: str,
    overrides: Mapping[str, Any],
    workload: Workload,
    cluster: Any,
    workers: int | None,
    say: Callable[[str], None],
) -> tuple[Suite, tuple[Arm, ...]]:
    """A suite and those of its arms that can be told from each other, or run at all.

    Args:
        name: the suite's.
        overrides: choices of the base's strategy that differ from the default.
        workload: whose variants there are.
        cluster: the one that the user asked for.
        workers: how many the user asked for.
        say: told what is left out, and why.

    Raises:
        StrategyError: no such suite, factor or level.
        ClusterError: no such cluster.
    """
    size = sizes_of(cluster, workers)
    suite, arms = suite_arms(name, overrides, workers=size or usable_cores())
    why = {arm.name: reason for arm in arms if (reason := _left_out(suite, arm, workload, cluster, size))}
    for reason in dict.fromkeys(filter(None, why.values())):
        say(reason)
    # An arm on the very cluster that was asked for is the base, of which nothing need be said.
    kept = (
        arm for arm in arms if arm.name not in why and not (arm.kind == ENGINE and arm.cluster == cluster)
    )
    return suite, tuple(kept)


def _left_out(suite: Suite, arm: Arm, workload: Workload, cluster: Any, size: int | None) -> str:
    """Why an arm is left out; empty where it isn't."""
    if arm.variant and arm.variant not in workload.variants:
        return f"no arm loading={arm.variant}: workload {workload.name} has no such variant"
    if arm.kind != ENGINE or arm.cluster == INLINE:
        return ""
    if arm.cluster == GIVEN:
        if arm.workers is not None and size is None:
            return f"no other number of workers: cluster {cluster} can't be opened at another size"
        return ""
    # In quick, where it is one arm, a cluster under another name is run on the given one.
    if "workers" in suite.levels and arm.cluster != cluster and same_cluster(arm.cluster, cluster):
        return f"no arm cluster={arm.cluster}: it is what {cluster} is on this machine"
    return ""
