"""Stages that pull at each other, through the real nodes: on their own clocks, closed in every case, kept whole."""

import os
import time
from collections.abc import Iterator
from typing import BinaryIO

import pytest

from dataflow import Document, DocumentError, Pipeline, Strategy, stage
from dataflow.corpus import list_corpus
from dataflow.graph import nodes, turns
from dataflow.graph.guard import drop_guard, guard_of, read_running, unsafe_lock
from dataflow.graph.plan import Batch, Plan, forget_plan, register_plan
from dataflow.memo.chain import chain_of
from dataflow.memo.keys import digest
from dataflow.memo.spec import MemoSpec, close_memos, open_memo

EVENTS = []


@stage(cache_errors=(DocumentError,))
def lines(file: BinaryIO) -> Iterator[str]:
    """A line a piece; one may say that it is bad."""
    EVENTS.append("open")
    try:
        for line in file:
            EVENTS.append(line.strip().decode())
            if line == b"bad\n":
                raise DocumentError("a bad line")
            yield line.decode().strip()
    finally:
        EVENTS.append("closed file" if file.closed else "closed")


@stage
def longest(found: Iterator[str]) -> str:
    """The longest line."""
    best = ""
    for line in found:
        EVENTS.append(f"got {line}")
        if line == "enough":
            break
        if line == "wrong":
            raise ValueError("wrong line")
        best = max(best, line, key=len)
    return best


@stage
def shout(text: str) -> str:
    return text.upper()


@stage(pure=False)
def send(found: Iterator[str]) -> int:
    return len([*found])


@pytest.fixture(autouse=True)
def _fresh():
    EVENTS.clear()
    yield
    forget_plan("cafe")
    close_memos()


@pytest.fixture
def folder(tmp_path):
    def write(age=100.0, **texts):
        for name, text in texts.items():
            path = tmp_path / "corpus" / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
            os.utime(path, (time.time() - age,) * 2)
        return str(tmp_path / "corpus")

    return write


def go(folder, *stages, memo=None, freshness="content", payloads=False, ledger=None, **strategy):
    """One batch of all documents of a folder; returns its outcomes, and the work as it came to its end."""
    EVENTS.clear()
    pipeline = Pipeline(*(stages or (lines, longest)))
    spec = MemoSpec(memo or "none", secret=b"s" * 32, admission=False)
    chain, _ = chain_of(pipeline)
    many = len(chain) if memo else 0
    strategy = Strategy(cache="none", freshness=freshness, **strategy)
    register_plan(Plan("cafe", pipeline, strategy, spec, many, chain.ids[:many], ledger=ledger))
    documents = tuple(list_corpus(folder))
    data = tuple(open(d.url, "rb").read() for d in documents) if payloads else None  # noqa: SIM115
    batch = Batch(1, documents, tuple(range(len(documents))), (0,) * len(documents), data)
    work = nodes.probe("cafe", batch.pack())
    if memo:
        work = nodes.lookup("cafe", work)
    for index in range(len(pipeline.stages)):
        if index == many and memo:
            work = nodes.store("cafe", work)
        work = nodes.compute("cafe", index, work)
    if memo and many == len(pipeline.stages):
        work = nodes.store("cafe", work)
    result = nodes.write("cafe", work)
    return result.take(), work


@pytest.mark.parametrize("payloads", [False, True])
def test_a_piece_is_read_when_the_next_stage_asks_for_it(folder, payloads):
    (outcome,), work = go(folder(a="a\nbcd\n"), payloads=payloads)
    assert (outcome.value, outcome.size_bytes, outcome.status) == ("bcd", 6, "ok")
    assert EVENTS == ["open", "a", "got a", "bcd", "got bcd", "closed"]
    assert set(outcome.stage_seconds) == {"read", "lines", "longest"}
    assert outcome.seconds == pytest.approx(sum(outcome.stage_seconds.values()))
    assert min(work.node_seconds[n] for n in ("lines", "longest")) >= 0


def test_the_documents_of_a_batch_are_opened_one_after_the_other(folder):
    go(folder(a="a\n", b="b\n"))
    assert EVENTS == ["open", "a", "got a", "closed", "open", "b", "got b", "closed"]


def test_a_file_is_closed_early_where_the_next_stage_has_enough(folder):
    (outcome,), _ = go(folder(a="a\nenough\nmore\n"))
    assert outcome.value == "a"
    assert EVENTS[-2:] == ["got enough", "closed"]


def test_what_a_stage_raises_while_another_pulls_at_it_is_its_own_failure(folder):
    outcomes, work = go(folder(a="a\nbad\n", b="b\n", c="wrong\n"))
    assert [(o.status, o.error_type, o.error) for o in outcomes] == [
        ("failed", "DocumentError", "a bad line"),
        ("ok", None, None),
        ("failed", "ValueError", "wrong line"),
    ]
    assert [i.stage for i in work.items] == [0, 2, 1]
    assert [i.lasting for i in work.items] == [True, False, False]
    assert EVENTS.count("closed") == 3


def test_a_generator_that_fails_to_close_is_a_failed_document(folder):
    @stage
    def sticky(file: BinaryIO) -> Iterator[bytes]:
        try:
            yield file.read()
        finally:
            raise RuntimeError("stuck")

    outcomes, _ = go(folder(a="a"), sticky, stage(lambda found: next(found)))
    assert [(o.status, o.error) for o in outcomes] == [("failed", "stuck")]


def test_a_file_that_cannot_be_opened_is_a_failed_document(folder):
    path = folder(a="a\n", b="b\n")
    os.symlink("nowhere", os.path.join(path, "broken"))
    outcomes, work = go(path)
    assert [(o.status, o.error_type) for o in outcomes][2] == ("failed", "FileNotFoundError")
    assert [o.status for o in outcomes] == ["ok", "ok", "failed"]
    assert not work.items[2].lasting


def test_a_last_stages_iterator_becomes_a_list(folder):
    (outcome,), _ = go(folder(a="a\nb\n"), lines)
    assert outcome.value == ["a", "b"]


def test_each_stage_has_its_own_clock_and_the_ledger_says_whose_turn_it_is(folder, tmp_path):
    ledger = tmp_path / "ledger"
    ledger.mkdir()
    seen = []

    def look():
        (note,) = read_running(str(ledger))
        seen.append((note.stage, note.limit_seconds, note.seconds < 0.05))

    @stage(timeout=7)
    def slow(file: BinaryIO) -> Iterator[str]:
        for line in file:
            look()
            yield line.decode()

    @stage(timeout=9)
    def slower(found: Iterator[str]) -> int:
        for _ in found:
            look()
            time.sleep(0.06)  # of its own time, which the other's limit must not be charged with
        return 1

    try:
        (outcome,), _ = go(folder(a="a\nb\n"), slow, slower, ledger=str(ledger))
        assert [s[:2] for s in seen] == [(0, 7.0), (1, 9.0), (0, 7.0), (1, 9.0)]
        assert [s[2] for s in seen] == [True, True, True, False]
        assert outcome.stage_seconds["slower"] >= 0.12 > outcome.stage_seconds["slow"]
        assert read_running(str(ledger)) == []
    finally:
        drop_guard(str(ledger))


def test_a_stage_that_is_not_thread_safe_holds_the_lock_in_its_turns_alone(folder):
    def free():
        from concurrent.futures import ThreadPoolExecutor

        def attempt():
            taken = unsafe_lock.acquire(blocking=False)
            if taken:
                unsafe_lock.release()
            return taken

        with ThreadPoolExecutor(1) as pool:
            return pool.submit(attempt).result()

    @stage(thread_safe=False)
    def unsafe(file: BinaryIO) -> Iterator[bool]:
        try:
            yield free()
            yield free()
        finally:
            EVENTS.append(free())

    @stage
    def safe(found: Iterator[bool]) -> list[bool]:
        return [next(found), free()]

    (outcome,), _ = go(folder(a="a"), unsafe, safe)
    assert outcome.value == [False, True]
    assert EVENTS == [False]
    assert free()


def test_a_document_that_waits_for_the_lock_is_not_noted_as_running(tmp_path):
    guard = guard_of(str(tmp_path))
    plan = Plan(
        "cafe", Pipeline(stage(thread_safe=False)(len)), Strategy(), MemoSpec("none"), ledger=str(tmp_path)
    )
    taking = turns.Turns(plan, 1)
    taking.begin(nodes.Item(Document("a", 1, "text/plain"), 0, 1))
    try:
        with unsafe_lock, taking:
            assert taking.take(0, lambda: len(read_running(str(tmp_path)))) == 1
        assert read_running(str(tmp_path)) == []
    finally:
        guard.close()
        drop_guard(str(tmp_path))


# With a memo


def test_the_final_value_is_kept_and_no_iterator(folder):
    path = folder(a="a\nbcd\n")
    _, work = go(path, memo="dict")
    assert [entry for item in work.items for entry in item.steps] == []
    assert work.counters.get("not_stored", 0) == 0
    (outcome,), work = go(path, memo="dict")
    assert (outcome.value, outcome.cache, outcome.size_bytes) == ("bcd", "dict", 6)
    assert outcome.digest == digest(b"a\nbcd\n").hex()
    assert EVENTS == []


def test_a_failure_that_lasts_is_kept_as_the_stages_that_raised_it(folder):
    path = folder(a="a\nbad\n")
    go(path, memo="dict")
    (outcome,), _ = go(path, memo="dict")
    assert (outcome.status, outcome.error, outcome.cache) == ("failed", "a bad line", "dict")
    assert EVENTS == []


def test_by_stat_a_warm_run_opens_no_document(folder, monkeypatch):
    path = folder(a="a\nbcd\n")
    go(path, memo="dict", freshness="stat")
    monkeypatch.setattr("dataflow.graph.files.open_document", None)
    (outcome,), _ = go(path, memo="dict", freshness="stat")
    assert (outcome.value, outcome.cache) == ("bcd", "dict")


def test_equal_documents_of_a_batch_are_computed_once(folder):
    outcomes, _ = go(folder(a="a\nbcd\n", b="a\nbcd\n"), memo="dict")
    assert [(o.value, o.cache) for o in outcomes] == [("bcd", None), ("bcd", "batch")]
    assert EVENTS.count("open") == 1


def test_an_edit_after_the_pieces_takes_up_what_was_made_of_them_only_where_it_is_a_value(folder):
    path = folder(a="a\nbcd\n")
    (outcome,), _ = go(path, lines, longest, shout, memo="dict")
    assert outcome.value == "BCD"
    (outcome,), _ = go(path, lines, longest, stage(version="2")(shout.function), memo="dict")
    assert outcome.value == "BCD"
    assert EVENTS.count("open") == 1


def test_the_result_before_a_run_of_stages_keys_none_of_its_results(folder):
    @stage
    def text(data: bytes) -> str:
        return data.decode()

    @stage
    def letters(found: str) -> Iterator[str]:
        yield from found

    @stage
    def count(found: Iterator[str]) -> int:
        return len([*found])

    path = folder(a="abc")
    (outcome,), _ = go(path, text, letters, count, memo="dict")
    assert outcome.value == 3
    # Now the last one sees the text itself, whose digest is that of what went into the run before.
    (outcome,), _ = go(path, text, count, memo="dict")
    assert outcome.value == 3
    assert outcome.cache is None
    assert "count" in outcome.stage_seconds


@pytest.mark.parametrize("memo", [None, "dict"])
def test_where_what_is_kept_ends_with_pieces_the_next_stage_gets_an_iterator_all_the_same(folder, memo):
    path = folder(a="a\nb\n")
    for _ in range(2):
        (outcome,), _ = go(path, lines, send, memo=memo)
        assert outcome.value == 2
    assert outcome.cache == memo


def test_a_document_that_changes_between_digest_and_reading_is_not_kept(folder, monkeypatch):
    path = folder(a="a\nbcd\n", b="a\nbcd\n")
    real = nodes.run_stage

    def changing(taking, item, index):
        if item.position == 0:
            with open(item.document.url, "w") as file:
                file.write("else\n")
        return real(taking, item, index)

    monkeypatch.setattr(nodes, "run_stage", changing)
    outcomes, _ = go(path, memo="dict")
    assert [o.value for o in outcomes] == ["else", "bcd"]  # and its twin is none any more
    monkeypatch.undo()
    folder(a="a\nbcd\n")
    outcomes, _ = go(path, memo="dict")
    assert [(o.value, o.cache) for o in outcomes] == [("bcd", None), ("bcd", "batch")]


def test_a_young_document_is_read_once_more_before_it_is_kept(folder, monkeypatch):
    path = folder(a="a\nbcd\n", age=0.0)
    go(path, memo="dict")
    (outcome,), _ = go(path, memo="dict")
    assert outcome.cache == "dict"
    assert open_memo(MemoSpec("dict", secret=b"s" * 32, admission=False))
