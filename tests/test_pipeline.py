import pickle

import cloudpickle
import pytest

from dataflow import Document, Pipeline, stage
from dataflow.errors import WorkloadError


@stage
def upper(data: bytes) -> str:
    return data.decode().upper()


@stage(pure=False, thread_safe=False, timeout=3, version="2")
def count(text: str) -> int:
    return len(text)


def test_a_pipeline_runs_its_stages_in_order():
    assert Pipeline(upper, count)(b"abc") == 3


def test_a_plain_function_becomes_a_stage():
    assert Pipeline(len).stages[0].name == "len"


def test_a_stage_is_called_as_its_function():
    assert upper(b"a") == "A"
    assert upper.__name__ == "upper"


def test_the_first_stage_may_ask_for_the_document():
    def name_of(data: bytes, document: Document) -> str:
        return document.url

    assert Pipeline(name_of)(b"", Document("x.txt", 0, "text/plain")) == "x.txt"


def test_a_stage_keeps_what_it_declares_when_it_travels():
    there = pickle.loads(cloudpickle.dumps(count))
    assert (there.name, there.pure, there.thread_safe, there.timeout_seconds, there.version) == (
        "count",
        False,
        False,
        3,
        "2",
    )


def test_a_stage_of_no_module_travels_by_value():
    @stage
    def local(data: bytes) -> int:
        return len(data) + 1

    assert pickle.loads(cloudpickle.dumps(local))(b"ab") == 3


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda: Pipeline(), "at least one stage"),
        (lambda: Pipeline(upper, upper), "two stages are called 'upper'"),
        (lambda: Pipeline(upper, lambda a, b: a), "only the first stage"),
        (lambda: stage(timeout=0)(upper.function), "above 0"),
        (lambda: stage(lambda: 1), "must take one value"),
        (lambda: stage(lambda a, b, c: 1), "must take one value"),
        (lambda: stage(3), "must be a plain function"),
    ],
)
def test_what_is_no_pipeline_says_why(build, says):
    with pytest.raises(WorkloadError, match=says):
        build()


def test_a_stage_with_one_choice_changed_keeps_the_others():
    plain = stage(thread_safe=False, version="1", timeout=3)(upper.function)
    other = plain.replace(version="2")
    assert (other.version, other.thread_safe, other.timeout_seconds) == ("2", False, 3)
    assert other.name == plain.name
    assert plain.version == "1"


def test_a_coroutine_is_refused_by_name():
    async def fetch(data: bytes) -> bytes:
        return data

    with pytest.raises(WorkloadError, match="coroutine function"):
        stage(fetch)
