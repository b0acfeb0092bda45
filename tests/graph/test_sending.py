"""Code that the other process doesn't have travels with what functools puts around it."""

import enum
import functools
import pickle
import subprocess
import sys
import threading
import types
from weakref import WeakValueDictionary

import pandas as pd
import pytest

from dataflow import Pipeline, run, stage
from dataflow.errors import WorkloadError
from dataflow.graph.sending import packed
from dataflow.graph.shipping import packed_pipeline
from dataflow.workload import load_workload

WORKLOAD = '''"""All in one file, as a user begins."""
from __future__ import annotations
import contextlib
import functools
from typing import Callable, Generic, NewType, ParamSpec, TypeVar, TypeVarTuple
import jinja2
from pydantic import BaseModel
from dataflow import Pipeline, stage

class Outer(BaseModel):
    inner: Inner

class Inner(BaseModel):
    x: int = 1

Name = NewType("Name", str)
P, R, Ts = ParamSpec("P"), TypeVar("R"), TypeVarTuple("Ts")

class Several(Generic[*Ts]):
    pass

def typed(function: Callable[P, R]) -> Callable[P, R]:
    def inner(*given: P.args, **named: P.kwargs) -> R:
        return function(*given, **named)
    return inner

@contextlib.contextmanager
def timing():
    yield

@typed
@timing()
def named(text: Name) -> Name:
    return Name(text)

ENVIRONMENT = jinja2.Environment(loader=jinja2.DictLoader({"a": "{{ x }}"}))
ENVIRONMENT.get_template("a").render(x=1)

@functools.cache
def fibonacci(n):
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

@functools.singledispatch
def kind(value):
    return "some"

@kind.register
def _(value: int):
    return "number"

class Rules:
    @functools.cached_property
    def limit(self):
        return 3

    @staticmethod
    @functools.lru_cache(maxsize=7)
    def double(n):
        return 2 * n

TABLE = {"double": Rules.double}

@stage
def extract(data: bytes) -> str:
    kept = Rules.double.cache_parameters()["maxsize"]
    functools_own = fibonacci(30), kind(1), kind("a"), Rules().limit, TABLE["double"](4), kept
    others = named("n"), Outer(inner=Inner()).inner.x, ENVIRONMENT.get_template("a").render(x="y"), Several.__name__
    return BETWEEN.join(map(str, functools_own + others))

BETWEEN = " "
pipeline = Pipeline(extract)

if __name__ == "__main__":
    from dataflow import run
    BETWEEN = "-"  # so that what workers import isn't what this is
    for cluster in ("auto", "processes"):
        print([outcome.value for outcome in run(pipeline, __import__("sys").argv[1], cluster=cluster)])
'''
RESULT = "832040 number some 3 8 7 n 1 y Several"


def fetch(*command):
    done = subprocess.run(
        [sys.executable, *command], stdout=subprocess.PIPE, text=True, check=True, timeout=120
    )
    return done.stdout


def test_a_script_of_ones_own_may_hold_what_python_and_libraries_know_by_its_name(tmp_path, write_corpus):
    script = tmp_path / "own_script.py"
    script.write_text(WORKLOAD)
    said = fetch(str(script), str(write_corpus("one")))
    assert said.splitlines() == ["['{}']".format(RESULT.replace(" ", "-"))] * 2


def test_so_may_a_workloads_own_file_where_nobody_finds_it(tmp_path):
    workload = tmp_path / "own_workload.py"
    workload.write_text(WORKLOAD)
    sent = packed(load_workload(str(workload)).pipeline)
    code = "import pickle, sys; print(pickle.loads(sys.stdin.buffer.read())(b''))"
    done = subprocess.run(
        [sys.executable, "-c", code], input=sent, stdout=subprocess.PIPE, check=True, timeout=60
    )
    assert done.stdout.decode().strip() == RESULT


@pytest.mark.parametrize("cluster", ["auto", "processes"])
def test_so_may_one_that_they_import(tmp_path, write_corpus, cluster):
    workload = tmp_path / "own_workload.py"
    workload.write_text(WORKLOAD)
    out = tmp_path / "out"
    command = ["-m", "dataflow", "run", "--workload", str(workload), "--cluster", cluster]
    fetch(*command, "--corpus", str(write_corpus("one")), "--output", str(out))
    assert pd.read_parquet(out).text.tolist() == [RESULT]


class Color(enum.Enum):
    RED = 1


@functools.lru_cache(maxsize=3)
def known_there(value):
    return value


def test_what_the_other_process_can_import_travels_by_its_name():
    assert pickle.loads(packed(known_there)) is known_there


def test_a_cache_of_a_function_that_has_no_name_there_arrives_empty_and_as_large():
    cached = functools.lru_cache(maxsize=5, typed=True)(lambda value: value + 1)
    assert cached(1) == 2
    again = pickle.loads(packed(cached))
    assert again.cache_parameters() == {"maxsize": 5, "typed": True}
    assert again.cache_info().currsize == 0
    assert again(1) == 2


def test_proxies_and_weak_dictionaries_travel_with_what_they_hold():
    held = WeakValueDictionary(red=Color.RED)
    proxy, weak = pickle.loads(packed([types.MappingProxyType({"a": 1}), held]))
    assert proxy == {"a": 1}
    assert weak["red"] is Color.RED


def test_what_can_not_be_sent_is_the_users_to_mend():
    with pytest.raises(WorkloadError, match=r"can't be sent .*lock.* keep open files and locks out of them"):
        packed_pipeline(Pipeline(functools.partial(known_there, lock=threading.Lock())))


class Unwelcome:
    """Says where it is made again that it can't be."""

    def __reduce__(self):
        return eval, ("1 / 0",)


@pytest.mark.parametrize("cluster", ["auto", "processes"])
def test_a_pipeline_that_no_process_can_load_is_no_documents_fault(write_corpus, tmp_path, cluster):
    def use(data: bytes, unwelcome=Unwelcome()) -> str:  # noqa: B008
        return str(unwelcome)

    with pytest.raises(Exception, match=r"can't load the pipeline: ZeroDivisionError"):
        list(run(Pipeline(stage(use)), write_corpus("one", "two"), cluster=cluster, output=tmp_path / "out"))
