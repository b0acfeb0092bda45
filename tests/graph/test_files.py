"""Open documents: read in spite of hiccups, and closed whatever a stage does to them."""

import errno
import io
from collections.abc import Iterator
from typing import BinaryIO

import pytest

from dataflow import Document, DocumentError, Pipeline, Strategy, stage
from dataflow.graph import files, nodes
from dataflow.graph.files import OpenDocument
from dataflow.graph.plan import Batch, Plan, forget_plan, register_plan
from dataflow.memo.keys import digest, digest_file
from dataflow.memo.spec import MemoSpec

DATA = bytes(range(256)) * 1_000


class Flaky(io.BytesIO):
    """Fails at chosen reads, as a network does."""

    opened = 0
    failures = ()
    reads = 0
    error = OSError(errno.EIO, "hiccup")

    def __init__(self, url):
        super().__init__(DATA)
        Flaky.opened += 1

    def read(self, *size):
        Flaky.reads += 1
        if Flaky.reads in Flaky.failures:
            raise Flaky.error
        return super().read(*size)


@pytest.fixture
def flaky(monkeypatch):
    monkeypatch.setattr(files, "open_document", Flaky)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    Flaky.opened = Flaky.reads = 0
    Flaky.error = OSError(errno.EIO, "hiccup")
    yield Flaky
    Flaky.failures = ()


def test_a_read_that_fails_for_a_moment_goes_on_where_it_was(flaky):
    flaky.failures = (2, 3)
    document = OpenDocument("x")
    assert document.file.read() == DATA
    assert document.error is None
    assert flaky.opened == 3
    document.close()


def test_a_read_that_fails_for_good_is_remembered(flaky):
    flaky.failures = range(2, 99)
    document = OpenDocument("x")
    with pytest.raises(OSError, match="hiccup"):
        document.file.read()
    assert document.error is flaky.error
    document.close()


def test_places_are_those_of_the_file(tmp_path):
    (tmp_path / "x").write_bytes(DATA)
    for document in (OpenDocument(str(tmp_path / "x")), OpenDocument("x", DATA)):
        file = document.file
        assert document.size_bytes == len(DATA)
        assert (file.seek(-6, io.SEEK_END), file.read(2), file.seek(1, io.SEEK_CUR)) == (
            255_994,
            b"\xfa\xfb",
            255_997,
        )
        buffer = bytearray(10)
        assert file.readinto(buffer) == 3
        with pytest.raises(ValueError, match=r"negative|no place"):
            file.seek(-1)
        document.close()
        assert file.closed


def test_the_digest_of_a_file_is_that_of_its_bytes(tmp_path):
    for data in (b"", b"x", DATA * 5):
        (tmp_path / "x").write_bytes(data)
        document = OpenDocument(str(tmp_path / "x"))
        assert digest_file(document.file) == digest(data)
        document.close()


def outcome_of(*stages, payload=None):
    register_plan(Plan("cafe", Pipeline(*stages), Strategy(), MemoSpec("none")))
    try:
        packed = Batch(1, (Document("x", None, ""),), (0,), (0,), payload and (payload,)).pack()
        work = nodes.probe("cafe", packed)
        for index in range(len(stages)):
            work = nodes.compute("cafe", index, work)
        return nodes.write("cafe", work).take()[0]
    finally:
        forget_plan("cafe")


@pytest.mark.parametrize("hides", ["as damage", "as the end"])
def test_a_parser_may_not_hide_that_a_read_failed(flaky, hides):
    @stage(cache_errors=(Exception,))
    def parse(file: BinaryIO) -> int:
        try:
            return len(file.read())
        except OSError:
            if hides == "as the end":
                return 0
            raise DocumentError("the document is damaged") from None

    flaky.failures = range(2, 99)
    outcome = outcome_of(parse)
    assert (outcome.status, outcome.error_type) == ("failed", "OSError")
    assert "hiccup" in outcome.error


def test_a_stage_that_closes_or_detaches_its_file_does_no_harm(tmp_path):
    @stage
    def greedy(file: BinaryIO) -> Iterator[bytes]:
        yield file.read()
        file.close()

    assert outcome_of(greedy, payload=b"abc").value == [b"abc"]


def test_no_file_stays_open(tmp_path):
    import psutil

    (tmp_path / "x").write_bytes(DATA)

    @stage
    def detach(file: io.BufferedReader) -> int:
        return len(file.detach().read(10))

    register_plan(Plan("cafe", Pipeline(detach), Strategy(), MemoSpec("none")))
    documents = (Document(str(tmp_path / "x"), None, ""),)
    work = nodes.compute("cafe", 0, nodes.probe("cafe", Batch(1, documents, (0,), (0,)).pack()))
    forget_plan("cafe")
    assert work.items[0].value == 10
    assert str(tmp_path / "x") not in [f.path for f in psutil.Process().open_files()]


def test_a_document_that_fails_leaves_no_circle_behind(tmp_path):
    import gc
    import weakref

    class Text(str):
        __slots__ = ("__weakref__",)

    seen = []

    @stage
    def parse(file: BinaryIO) -> Iterator[str]:
        text = Text(file.read())
        seen.append(weakref.ref(text))
        yield text
        raise ValueError("no more")

    @stage
    def count(found: Iterator[str]) -> int:
        return sum(map(len, found))

    gc.disable()
    try:
        assert outcome_of(parse, count, payload=b"abc").status == "failed"
        assert seen[0]() is None
    finally:
        gc.enable()
