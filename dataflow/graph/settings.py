"""The precision of decimals that a workload's file sets when it is loaded, for the threads that run its stages.

Python keeps it by thread. In a loop the thread that imports the file is the one that runs it; a worker's aren't.
"""

from __future__ import annotations

import decimal
import functools
from collections.abc import Callable
from contextvars import copy_context
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from dataflow.graph.plan import plan_of
from dataflow.pipeline import Pipeline
from dataflow.sources import context_made

__all__ = ["as_imported", "context_of", "keep_context"]

R = TypeVar("R")

_contexts: WeakKeyDictionary[Pipeline, decimal.Context] = WeakKeyDictionary()


def context_of(pipeline: Pipeline) -> decimal.Context | None:
    """The context that the files of its stages have set here, or another process has said; ``None`` for none."""
    homes = {str(getattr(stage.function, "__module__", None)) for stage in pipeline.stages}
    made = filter(None, map(context_made, sorted(homes)))
    return _contexts.get(pipeline) or next(made, None)


def keep_context(pipeline: Pipeline, context: decimal.Context | None) -> None:
    """Say under which context a pipeline runs here."""
    if context is not None:
        _contexts[pipeline] = context


def as_imported(node: Callable[..., R]) -> Callable[..., R]:
    """Let a node, whose first argument is the run, run under the context of its pipeline, and change no other."""

    @functools.wraps(node)
    def under(run: str, *given: Any) -> R:
        context = _contexts.get(plan_of(run).pipeline) if _contexts else None
        if context is None:
            return node(run, *given)
        return copy_context().run(_set, context, node, run, *given)

    return under


def _set(context: decimal.Context, node: Callable[..., R], *given: Any) -> R:
    decimal.setcontext(context.copy())
    return node(*given)
