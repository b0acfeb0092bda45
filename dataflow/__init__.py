"""Pipelines over documents on Dask: memoized, batched, streamed, measured.

::

    from dataflow import Pipeline, run, stage
"""

from __future__ import annotations

TYPE_CHECKING = False  # which type checkers know: the command line answers Ctrl-C once this is imported

if TYPE_CHECKING:
    from typing import Any

    from dataflow.document import Document
    from dataflow.engine.run import run
    from dataflow.engine.running import Run
    from dataflow.errors import DataflowError, DocumentError
    from dataflow.graph.memoize import memoize
    from dataflow.outcome import Outcome
    from dataflow.pipeline import Pipeline, Stage, stage
    from dataflow.strategy import Strategy

__all__ = [
    "DataflowError",
    "Document",
    "DocumentError",
    "Outcome",
    "Pipeline",
    "Run",
    "Stage",
    "Strategy",
    "memoize",
    "run",
    "stage",
]

__version__ = "0.1.0.dev0"

_HOMES = {
    "DataflowError": "dataflow.errors",
    "Document": "dataflow.document",
    "DocumentError": "dataflow.errors",
    "Outcome": "dataflow.outcome",
    "Pipeline": "dataflow.pipeline",
    "Run": "dataflow.engine.running",
    "Stage": "dataflow.pipeline",
    "Strategy": "dataflow.strategy",
    "memoize": "dataflow.graph.memoize",
    "run": "dataflow.engine.run",
    "stage": "dataflow.pipeline",
}


def __getattr__(name: str) -> Any:
    # Importing the engine imports Dask; whoever only defines stages needn't wait for it.
    if name in _HOMES:
        import importlib

        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
