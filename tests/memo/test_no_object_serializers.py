"""Nothing that comes from a cache may run code: no serializer of arbitrary objects is near the memo."""

from __future__ import annotations

import ast
from pathlib import Path

import dataflow.memo

FORBIDDEN = {
    "pickle",
    "cloudpickle",
    "dill",
    "marshal",
    "shelve",
    "joblib",
    "jsonpickle",
    "copyreg",
    "eval",
    "exec",
}
# It runs statements of the program's own source again, and sees nothing of what a cache holds.
# And it asks how an object of the program says its state, where its class is registered for that.
ALLOWED = {"order.py": {"exec"}, "objects.py": {"copyreg"}}
SOURCES = sorted(Path(dataflow.memo.__file__).parent.glob("**/*.py"))


def test_no_module_of_the_memo_imports_or_calls_one() -> None:
    assert len(SOURCES) > 15
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            names: set[str] = set()
            if isinstance(node, ast.Import):
                names = {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names = {str(node.module).partition(".")[0], *(alias.name for alias in node.names)}
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                names = {node.func.id}
            assert not names & FORBIDDEN - ALLOWED.get(path.name, set()), (path.name, names)


def test_the_word_is_nowhere() -> None:
    assert [path.name for path in SOURCES if "pickle" in path.read_text().lower()] == []
