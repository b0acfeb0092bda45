"""The house: what `make check` can't see of the one-way flow, and what keeps it readable."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEAVY = ("bokeh", "dask", "distributed", "numpy", "pandas", "pyarrow", "redis")


def imports(path: Path) -> Iterator[str]:
    """Yield the full name of each module that a file imports, wherever it does."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def importers(package: str, *rooms: str) -> set[str]:
    """Return the files in the rooms that import the package or anything in it."""
    return {
        str(path.relative_to(ROOT))
        for room in rooms
        for path in (ROOT / room).rglob("*.py")
        if any(f"{name}.".startswith(f"{package}.") for name in imports(path))
    }


def test_one_module_imports_the_underscored_task_spec_of_dask() -> None:
    assert importers("dask._task_spec", "dataflow", "workloads") == {"dataflow/graph/taskspec.py"}


def test_workloads_use_the_library_and_no_dask_of_their_own() -> None:
    assert importers("dask", "workloads") | importers("distributed", "workloads") == set()


def test_importing_the_library_loads_nothing_heavy() -> None:
    script = f"import dataflow, sys; print(*sorted(set({HEAVY}) & set(sys.modules)))"

    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert done.stdout.split() == []
