"""What pydantic makes of a user's definitions, by pydantic itself: what counts for a key, and what doesn't."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

Of = Callable[..., bytes]

CHECKED = """
import pydantic
OTHER = 1
def other(x):
    return eval(x)
def least(value):
    return max(value, 1)
@pydantic.validate_call
def cut(text: str, size: "pydantic.PositiveInt" = 10) -> list[str]:
    return text.split()[:size]
def f(x):
    return cut(x)
"""
MODEL = """
import pydantic
class Row(pydantic.BaseModel):
    price: float = pydantic.Field(default=1.0, ge=0)
    @pydantic.field_validator("price")
    @classmethod
    def checked(cls, price):
        return round(price, 2)
ROWS = pydantic.TypeAdapter(list[Row])
def f(x):
    return ROWS.validate_json(x)
"""
BELOW = """
import pydantic
class Doc(pydantic.BaseModel):
    lines: list["Line"]
class Line(pydantic.BaseModel):
    text: str
    lang: str = "en"
def f(x):
    return Doc.model_validate_json(x)
"""
TYPED = """
from __future__ import annotations
import pydantic
from typing_extensions import TypedDict
class Line(pydantic.BaseModel):
    text: str
    lang: str = "en"
class Doc(TypedDict):
    lines: list[Line]
def f(x):
    return pydantic.TypeAdapter(Doc).validate_python(x)
"""


def test_a_checked_call_is_its_function(of_files: Of) -> None:
    before = of_files(CHECKED)
    assert of_files(CHECKED) == before
    assert of_files(CHECKED.replace("split()", "split(',')")) != before
    assert of_files(CHECKED.replace("PositiveInt", "NonNegativeInt")) != before
    assert of_files(CHECKED.replace("validate_call\n", "validate_call(validate_return=True)\n")) != before
    assert of_files(CHECKED.replace("validate_call\n", "validate_call(config={'strict': True})\n")) != before


def test_the_rest_of_its_module_counts_as_little_as_for_any_function(of_files: Of) -> None:
    before = of_files(CHECKED)
    assert of_files(CHECKED.replace("OTHER = 1", "OTHER = 2").replace("max(", "min(")) == before


def test_a_checked_call_warns_of_nothing(of_files: Of) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        of_files(CHECKED)


@pytest.mark.parametrize(
    "edit", [("1.0", "2.0"), ("ge=0", "ge=1"), ("price, 2", "price, 3"), ("list[Row]", "set[Row]")]
)
def test_a_model_is_told_by_what_it_checks(of_files: Of, edit: tuple[str, str]) -> None:
    before = of_files(MODEL)
    assert of_files(MODEL) == before
    assert of_files(MODEL.replace(*edit)) != before


def test_a_model_whose_parts_stand_below_it_is_keyed_before_its_first_use(of_files: Of) -> None:
    before = of_files(BELOW)
    assert of_files(BELOW + "Doc(lines=[])\n") == before
    assert of_files(BELOW.replace('"en"', '"de"')) != before


def test_what_a_typed_dict_is_made_of_is_followed_though_it_is_named_by_texts(of_files: Of) -> None:
    before = of_files(TYPED)
    assert of_files(TYPED) == before
    assert of_files(TYPED.replace('"en"', '"de"')) != before


@pytest.mark.parametrize("program", [CHECKED, MODEL, BELOW, TYPED])
def test_other_processes_find_the_same(program: str, tmp_path: Path) -> None:
    (tmp_path / "work.py").write_text(program)
    ask = "import work\nfrom dataflow.memo.fingerprint import fingerprint\nprint(fingerprint(work.f).hex())"
    found = {
        subprocess.run(
            [sys.executable, "-c", ask],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": f"{tmp_path}:{Path.cwd()}"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert len(found) == 1
