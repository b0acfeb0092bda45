"""Settings that a workload's file makes when it is imported, for the threads that run its stages.

Python keeps some by thread: the precision of decimals, what NumPy does about a division by zero. In a loop the thread
that imports the file is the one that runs it; a worker's aren't.
"""

from __future__ import annotations

import decimal
import functools
from collections.abc import Callable, Mapping
from contextvars import ContextVar, copy_context
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from dataflow.graph.plan import plan_of
from dataflow.pipeline import Pipeline

__all__ = ["as_imported", "keep_settings"]

R = TypeVar("R")

_settings: WeakKeyDictionary[Pipeline, Mapping[ContextVar[Any], Any]] = WeakKeyDictionary()


def keep_settings(pipeline: Pipeline, settings: Mapping[ContextVar[Any], Any]) -> None:
    """Say under which settings a pipeline runs here."""
    if settings:
        _settings[pipeline] = settings


def as_imported(node: Callable[..., R]) -> Callable[..., R]:
    """Let a node, whose first argument is the run, run under the settings of its pipeline, and change none of them."""

    @functools.wraps(node)
    def under(run: str, *given: Any) -> R:
        settings = _settings.get(plan_of(run).pipeline) if _settings else None
        if not settings:
            return node(run, *given)
        return copy_context().run(_set, settings, node, run, *given)

    return under


def _set(settings: Mapping[ContextVar[Any], Any], node: Callable[..., R], *given: Any) -> R:
    for name, value in settings.items():
        name.set(value.copy() if isinstance(value, decimal.Context) else value)
    return node(*given)
