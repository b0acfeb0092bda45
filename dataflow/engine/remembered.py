"""What this process's runs saw documents cost, so that the next run of the same stages begins with it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping

from dataflow.pipeline import Pipeline
from dataflow.profile import Cost
from dataflow.sources import home_of

__all__ = ["forget", "remember", "remembered"]

_MOST = 32  # pipelines

_lock = threading.Lock()
_costs: OrderedDict[tuple[str, ...], dict[str, Cost]] = OrderedDict()


def remembered(pipeline: Pipeline) -> Mapping[str, Cost]:
    """Costs by media type; none where no run of these stages has ended yet."""
    with _lock:
        return dict(_costs.get(_name(pipeline), {}))


def remember(pipeline: Pipeline, costs: Mapping[str, Cost]) -> None:
    """Keep what a run has learned, over what was known of the same media types."""
    with _lock:
        _costs.setdefault(_name(pipeline), {}).update(costs)
        _costs.move_to_end(_name(pipeline))
        while len(_costs) > _MOST:
            _costs.popitem(last=False)


def forget() -> None:
    """Know nothing of any pipeline again."""
    with _lock:
        _costs.clear()


def _name(pipeline: Pipeline) -> tuple[str, ...]:
    # By name: a stage that was edited costs about what it cost before, and a wrong guess is soon put right.
    functions = [stage.function for stage in pipeline.stages]
    return tuple(f"{home_of(f)}.{getattr(f, '__qualname__', type(f))}" for f in functions)
