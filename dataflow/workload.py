"""A workload: a pipeline with a default corpus, in one file.

The file is a Python module with a docstring, a ``pipeline``, and perhaps a ``corpus``: a URL pattern, or a
function ``corpus(folder, *, documents=None, seed=0)`` that writes files into an empty folder. It may have
``variants`` too: other pipelines with the same results, by name, such as ``{"pages": Pipeline(...)}``.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from dataflow.errors import DataflowError, WorkloadError, one_line
from dataflow.pipeline import Pipeline
from dataflow.places import known_files, resource_file
from dataflow.sources import WORKLOAD, free_name, import_source

__all__ = ["Workload", "load_workload", "workload_names"]

_PIPELINE = re.compile(r"^pipeline\b", re.MULTILINE)  # a helper module of the folder has none


@dataclass(frozen=True)
class Workload:
    """A workload, loaded.

    Attributes:
        name: the file's name without its suffix.
        pipeline: what is done.
        corpus: a URL pattern, a function that writes a corpus into a folder, or ``None``.
        description: the docstring's first line.
        search_path: folders that workers need on ``sys.path`` to import what the file imports.
        variants: other pipelines with the same results, by name.
    """

    name: str
    pipeline: Pipeline
    corpus: str | Callable[..., None] | None
    description: str
    search_path: tuple[str, ...]
    variants: Mapping[str, Pipeline] = field(default_factory=dict)

    def generate(self, folder: str | Path, *, documents: int | None = None, seed: int = 0) -> None:
        """Write the workload's own corpus into an empty folder.

        Raises:
            WorkloadError: it generates none, or the function fails.
        """
        if not callable(self.corpus):
            raise WorkloadError(
                f"workload {self.name} generates no corpus: give it a function `corpus(folder, ...)`."
            )
        try:
            self.corpus(Path(folder), documents=documents, seed=seed)
        except (OSError, DataflowError):
            raise
        except Exception as error:
            raise WorkloadError(
                f"workload {self.name}: its corpus fails: {type(error).__name__}: {one_line(error)}"
            ) from error
        if not any(Path(folder).iterdir()):
            raise WorkloadError(f"workload {self.name}: its corpus function wrote no file into the folder.")


def workload_names() -> list[str]:
    """The names that ``--workload`` knows."""
    return sorted(p.stem for p in known_files("workloads", ".py") if _PIPELINE.search(p.read_text("utf-8")))


def load_workload(name: str) -> Workload:
    """Load a workload by name or path.

    Raises:
        WorkloadError: there is none, it has an error, or it isn't one; the message names file and line.
    """
    path = resource_file("workloads", name, ".py")
    if path is None:
        known = ", ".join(workload_names())
        raise WorkloadError(
            f"no workload is called {name!r}: take one of {known}, or the path of a .py file."
        )
    try:
        module, search_path = _import(path)
    except (Exception, SystemExit) as error:
        raise WorkloadError(
            f"workload {_where(error, path)}: {type(error).__name__}: {_message(error)}"
        ) from error
    pipeline = getattr(module, "pipeline", None)
    if not isinstance(pipeline, Pipeline):
        raise WorkloadError(f"workload {path} has no pipeline: add `pipeline = Pipeline(extract, chunk)`.")
    corpus = getattr(module, "corpus", None)
    if corpus is not None and not isinstance(corpus, str) and not callable(corpus):
        raise WorkloadError(f"workload {path}: corpus must be a URL pattern or a function that writes files.")
    return Workload(path.stem, pipeline, corpus, _first_line(module), search_path, _variants(module, path))


def _variants(module: ModuleType, path: Path) -> Mapping[str, Pipeline]:
    found = getattr(module, "variants", {})
    if not isinstance(found, Mapping) or not all(
        isinstance(name, str) and isinstance(pipeline, Pipeline) for name, pipeline in found.items()
    ):
        raise WorkloadError(
            f'workload {path}: variants must be pipelines by name: variants = {{"pages": Pipeline(...)}}.'
        )
    return dict(found)


def _import(path: Path) -> tuple[ModuleType, tuple[str, ...]]:
    """Import a workload's file: as a member of its package where it has one, else by itself."""
    package = _package_of(path)
    if package is not None:
        root, dotted = package
        if root not in sys.path:
            sys.path.insert(0, root)
        return importlib.import_module(dotted), (root,)
    return _import_alone(path), (str(path.parent),)


def _package_of(path: Path) -> tuple[str, str] | None:
    """The folder to import from and the dotted name of a file that lies in a package."""
    names, folder = [path.stem], path.parent
    while (folder / "__init__.py").is_file():
        names.insert(0, folder.name)
        folder = folder.parent
    return (str(folder), ".".join(names)) if len(names) > 1 else None


def _import_alone(path: Path) -> ModuleType:
    """Import one file under a name of its own, so that it can be sent to workers that don't have it."""
    import cloudpickle

    folder = str(path.parent)
    if folder not in sys.path:
        sys.path.append(folder)
    module = import_source(free_name(WORKLOAD + re.sub(r"\W", "_", path.stem)), path)
    cloudpickle.register_pickle_by_value(module)
    return module


def _where(error: BaseException, path: Path) -> str:
    """File and line of what went wrong: the workload's own last line in the traceback."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
    return f"{path}:{lines[-1]}" if lines else str(path)


def _message(error: BaseException) -> str:
    return str(error.msg) if isinstance(error, SyntaxError) else one_line(error)


def _first_line(module: Any) -> str:
    return (inspect.getdoc(module) or "").partition("\n")[0]
