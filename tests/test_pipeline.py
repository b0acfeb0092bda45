import functools
import io
import pickle
import typing
from collections.abc import Generator, Iterable, Iterator
from typing import BinaryIO

import cloudpickle
import pytest

from dataflow import Document, Pipeline, stage
from dataflow.errors import WorkloadError
from dataflow.pipeline import pipeline_of


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


@pytest.mark.parametrize(
    "kind",
    [typing.BinaryIO, typing.IO[bytes], io.BufferedIOBase, io.BufferedReader, io.RawIOBase, io.IOBase, io.BytesIO,
     "BinaryIO", "typing.BinaryIO", "IO[bytes]", "io.BufferedIOBase"],
)  # fmt: skip
def test_a_first_stage_says_by_its_annotation_that_it_takes_an_open_file(kind):
    def first(file):
        return file.read()

    first.__annotations__["file"] = kind
    assert stage(first).takes_file
    assert Pipeline(first)(b"abc") == b"abc"


@pytest.mark.parametrize(
    "kind", [bytes, str, io.TextIOBase, typing.TextIO, typing.Any, "bytes", "nonsense", None]
)
def test_other_annotations_mean_bytes(kind):
    def first(data):
        return data

    first.__annotations__["data"] = kind
    assert not stage(first).takes_file
    assert not stage(len).takes_file


def test_a_file_may_come_with_its_document_and_travels_so():
    @stage
    def first(file: typing.BinaryIO, document: Document) -> str:
        return document.url + file.read().decode()

    there = pickle.loads(cloudpickle.dumps(first))
    assert there.takes_file
    assert Pipeline(there)(io.BytesIO(b"b"), Document("a", 1, "text/plain")) == "ab"


def test_only_the_first_stage_may_take_a_file():
    def second(file: typing.BinaryIO) -> bytes:
        return file.read()

    with pytest.raises(WorkloadError, match="only the first stage may take an open file"):
        Pipeline(upper, second)


def test_a_stage_streams_if_it_is_a_generator_or_returns_an_iterator():
    def generator(data):
        yield data

    def iterator(data: bytes) -> Iterator[int]:
        return iter(data)

    def long(data: bytes) -> Generator[int, None, None]:
        return (byte for byte in data)

    def iterable(data: bytes) -> Iterable[int]:
        return list(data)

    assert [stage(f).streams for f in (generator, iterator, long, iterable, len)] == [True] * 3 + [False] * 2


def test_pieces_are_pulled_one_by_one_and_the_last_stages_become_a_list():
    seen = []

    def first(data: bytes) -> Iterator[int]:
        for byte in data:
            seen.append(byte)
            yield byte

    def double(numbers: Iterator[int]) -> Iterator[int]:
        return (2 * n for n in numbers if not seen[1:] or n == seen[-1])

    assert Pipeline(first, double)(bytes([1, 2, 3])) == [2, 4, 6]


@pytest.mark.parametrize("ends", ["early", "in failure", "in order"])
def test_generators_are_closed_before_the_file_and_a_file_of_the_callers_stays_open(ends):
    closed = []

    def first(file: typing.BinaryIO) -> Iterator[bytes]:
        try:
            yield file.readline()  # "yield from file" would close the file itself
            yield file.readline()
        finally:
            closed.append(file.closed)

    def second(lines: Iterator[bytes]) -> list[bytes]:
        if ends == "in failure":
            raise ValueError(next(lines))
        return [next(lines)] if ends == "early" else list(lines)

    file = io.BytesIO(b"a\nb\n")
    for data in (b"a\nb\n", file):
        if ends == "in failure":
            with pytest.raises(ValueError, match="a"):
                Pipeline(first, second)(data)
        else:
            assert Pipeline(first, second)(data)[0] == b"a\n"
    assert closed == [False, False]
    assert not file.closed


def test_a_pipeline_may_be_said_as_one_stage_or_as_a_list():
    whole = Pipeline(str, len)
    assert pipeline_of(whole) is whole
    assert [one.function for one in pipeline_of([str, len]).stages] == [str, len]
    assert [one.function for one in pipeline_of(str).stages] == [str]


@pytest.mark.parametrize("said", ["extract", 3, None, [], [str, 3]])
def test_what_is_no_pipeline_is_refused_in_one_line(said):
    with pytest.raises(WorkloadError, match=r"Pipeline\(extract, chunk\)"):
        pipeline_of(said)


def test_a_partial_is_a_stage_by_the_name_and_the_annotations_of_its_function():
    def marked(mark: str, data: bytes) -> Iterator[str]:
        yield mark + data.decode()

    made = stage(functools.partial(functools.partial(marked, "x")))
    assert (made.name, made.returns, made.streams) == ("marked", Iterator[str], True)
    assert not made.importable
    assert Pipeline(made)(b"y") == ["xy"]


def test_an_object_with_a_call_is_a_stage_by_the_annotations_of_that():
    class Reader:
        def __call__(self, file: BinaryIO) -> int:
            return len(file.read())

    made = stage(Reader())
    assert (made.name, made.returns, made.takes_file) == ("Reader", int, True)
    assert Pipeline(made)(b"abc") == 3
