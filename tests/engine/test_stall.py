import functools

import pytest

from dataflow import Document, Pipeline, Strategy, run
from dataflow.engine.stall import StallWatch
from dataflow.graph.guard import Guard
from dataflow.graph.plan import Batch, Plan
from dataflow.memo.spec import MemoSpec


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def extract(data: bytes) -> str: ...


def watch(ledger):
    told, clock = [], Clock()
    plan = Plan(
        "beef", Pipeline(extract), Strategy(), MemoSpec("none"), ledger=str(ledger) if ledger else None
    )
    return StallWatch(plan, told.append, after_seconds=30, clock=clock), told, clock


LIVE = [Batch(7, (Document("a.txt", 1, "text/plain"), Document("b.txt", 1, "text/plain")), (40, 41), (0, 0))]


def test_a_standstill_names_document_stage_and_worker_once(tmp_path):
    stall, told, clock = watch(tmp_path)
    guard = Guard(str(tmp_path))
    with guard.at(7, 41, 0, 60.0):
        for _ in range(5):
            clock.now += 20
            stall.idle(LIVE)
    (one,) = told
    assert (one.document, one.stage, one.limit_seconds) == ("b.txt", "extract", 60.0)
    assert "b.txt is in stage extract on " in str(one)
    assert "\n" not in str(one)


def test_what_moves_is_no_standstill(tmp_path):
    stall, told, clock = watch(tmp_path)
    guard = Guard(str(tmp_path))
    with guard.at(7, 41, -1, 60.0):
        for _ in range(20):
            clock.now += 20
            stall.idle(LIVE)
            stall.moved()
    assert told == []


def test_a_new_standstill_is_told_again_and_reading_has_a_name(tmp_path):
    stall, told, clock = watch(tmp_path)
    guard = Guard(str(tmp_path))
    with guard.at(7, 41, -1, 60.0):
        for _ in range(2):
            for _ in range(3):
                clock.now += 20
                stall.idle(LIVE)
            stall.moved()
    assert [one.stage for one in told] == ["read", "read"]


def test_a_standstill_in_which_no_worker_is_at_anything_is_told_too(tmp_path):
    stall, told, clock = watch(tmp_path)
    for _ in range(5):
        clock.now += 20
        stall.idle(LIVE)
    (one,) = told
    assert (one.document, one.waiting) == ("", 2)
    assert "no worker is at a document: 2 documents wait" in str(one)


def test_without_a_ledger_nothing_is_told():
    stall, told, clock = watch(None)
    clock.now += 1000
    stall.idle(LIVE)
    stall.idle(LIVE)
    assert told == []


@pytest.mark.parametrize("place", ["processes", "auto"])
def test_a_real_run_that_stands_still_says_at_which_line_of_which_document(
    place, processes, words, write_corpus, monkeypatch
):
    monkeypatch.setattr("dataflow.engine.stream.StallWatch", functools.partial(StallWatch, after_seconds=0.5))
    where = processes.client if place == "processes" else place
    told = []
    folder = write_corpus("one", "HANG x", "two")
    outcomes = list(
        run(
            words.pipeline,
            folder,
            cluster=where,
            timeout_seconds=8.0,
            on_stall=told.append,
            batching="fixed:1",
        )
    )
    assert sorted(o.status for o in outcomes) == ["ok", "ok", "quarantined"]
    hanging = next(one for one in told if one.document.endswith("0001.txt"))
    assert hanging.stage == "extract"
    assert hanging.line.startswith("words.py:")
    assert "in misfortune" in hanging.line
