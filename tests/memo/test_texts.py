"""What a module is said to be is what was loaded, whatever has become of its file."""

from __future__ import annotations

import importlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from dataflow.memo.fingerprint import fingerprint
from dataflow.memo.keys import Uncacheable

TEXT = """
import csv
csv.register_dialect("mine", delimiter=";")
def f(x):
    return list(csv.reader(x, "mine"))
"""
EDITED = TEXT.replace('";"', '"|"')
NAME = "edited_while_it_is_loaded"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.setattr(sys, "pycache_prefix", None)
    yield tmp_path / f"{NAME}.py"
    sys.modules.pop(NAME, None)


def save(file: Path, text: str, seconds: float) -> None:
    """Save a file, at a time so many seconds from now."""
    file.write_text(text)
    os.utime(file, (time.time() + seconds,) * 2)


def loaded(file: Path, text: str, seconds: float = 0.0) -> ModuleType:
    sys.modules.pop(NAME, None)
    importlib.invalidate_caches()
    save(file, text, seconds)
    return importlib.import_module(NAME)


def test_an_edit_after_a_run_is_another_program_only_once_it_is_loaded(file: Path) -> None:
    module = loaded(file, TEXT)
    before = fingerprint(module.f)
    save(file, EDITED, 60)
    assert fingerprint(module.f) == before
    importlib.reload(module)
    after = fingerprint(module.f)
    assert after != before
    assert fingerprint(loaded(file, EDITED, 120).f) == after
    assert fingerprint(loaded(file, TEXT, 180).f) == before


def test_an_edit_before_the_first_run_is_told(file: Path) -> None:
    module = loaded(file, TEXT)
    save(file, EDITED, 60)
    with pytest.raises(Uncacheable, match="was edited after it was loaded: load it again"):
        fingerprint(module.f)
    importlib.reload(module)
    assert fingerprint(module.f) == fingerprint(loaded(file, EDITED, 120).f)


def test_a_file_that_is_newer_than_the_process_is_no_edited_one(file: Path) -> None:
    assert fingerprint(loaded(file, TEXT, 60).f) == fingerprint(loaded(file, TEXT, 120).f)


Of = Callable[..., bytes]


@pytest.mark.parametrize(
    ("told", "old", "new", "reads"),
    [
        ("'Ask.'\n", "Ask", "Question", "[m.__doc__ for m in MODULES.values()]"),
        ("__version__ = '1'\n", "1", "2", "[m.__version__ for m in MODULES.values()]"),
        ("__all__ = ['low']\n", "low", "cut", "[getattr(m, n) for m in MODULES.values() for n in m.__all__]"),
    ],
)
def test_what_a_module_says_of_itself_counts_where_it_is_a_value(
    of_files: Of, told: str, old: str, new: str, reads: str
) -> None:
    files = {
        "ask.py": f"{told}def low(x):\n    return x\ndef cut(x):\n    return x\n",
        "work.py": f"import ask\nMODULES = {{'a': ask}}\ndef f(x):\n    return {reads}\n",
    }
    assert of_files(files) == of_files(files)
    assert of_files(files) != of_files({**files, "ask.py": files["ask.py"].replace(old, new, 1)})
