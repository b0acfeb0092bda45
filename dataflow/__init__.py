"""Pipelines over documents on Dask: memoized, batched, streamed, measured.

::

    from dataflow import Pipeline, run, stage
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from dataflow.document import Document
from dataflow.errors import DataflowError, DocumentError
from dataflow.outcome import Outcome
from dataflow.pipeline import Pipeline, Stage, stage
from dataflow.strategy import Strategy

if TYPE_CHECKING:
    from dataflow.engine.run import run
    from dataflow.engine.running import Run
    from dataflow.graph.memoize import memoize

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

_LAZY = {
    "Run": "dataflow.engine.running",
    "memoize": "dataflow.graph.memoize",
    "run": "dataflow.engine.run",
}


def __getattr__(name: str) -> Any:
    # Importing the engine imports Dask; whoever only defines stages needn't wait for it.
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
