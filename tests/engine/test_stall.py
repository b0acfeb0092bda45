import functools

import dask
import pytest
from distributed import Client

from dataflow import Document, Pipeline, Strategy, run, stage
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


def test_without_a_ledger_only_paused_workers_are_told():
    for paused in ((), ("tcp://far:1",)):
        stall, told, clock = watch(None)
        clock.now += 1000
        for _ in range(3):
            clock.now += 1
            stall.idle(LIVE, lambda: paused)  # noqa: B023 - it is called here
        assert [one.paused for one in told] == [paused] * len(paused)


def test_workers_that_dask_has_paused_are_named_with_the_mend(tmp_path):
    stall, told, clock = watch(tmp_path)
    clock.now += 30
    for _ in range(3):
        clock.now += 1
        stall.idle(LIVE, lambda: ["tcp://127.0.0.1:1"])
    assert str(told[0]) == (
        "nothing has moved for 32 s: 2 documents wait, and Dask has paused 1 worker for the memory they hold: "
        "restart tcp://127.0.0.1:1, and the run goes on; or start workers with more memory"
    )


def test_a_run_on_a_cluster_whose_workers_are_paused_names_them_and_goes_on_when_they_are_restarted(
    write_corpus, monkeypatch
):
    monkeypatch.setattr("dataflow.engine.stream.StallWatch", functools.partial(StallWatch, after_seconds=0.5))
    told = []

    def restart(stall):
        if stall.paused:
            told.append(stall)
            client.restart_workers(list(stall.paused))

    dasks_own = {
        "distributed.worker.memory.pause": 0.8,
        "distributed.worker.memory.spill": 0.7,
    }  # ours may be open
    limited = {"n_workers": 1, "threads_per_worker": 1, "memory_limit": "400MiB", "dashboard_address": ":0"}
    with dask.config.set(dasks_own), Client(**limited) as client:
        folder = write_corpus(*(f"document {n}" for n in range(60)))
        options = {"cluster": client, "on_stall": restart, "batching": "fixed:2"}
        with run([leaking], folder, **options) as running:
            assert all(outcome.status == "ok" for outcome in running)
        assert running.summary.documents == {"ok": 60}
    assert "Dask has paused 1 worker for the memory they hold" in str(told[0])


@stage
def leaking(data: bytes) -> str:
    import sys
    import time

    import psutil

    if psutil.Process().memory_info().rss < 0.85 * 400 * 2**20:  # paused at 0.8, and ended at 0.95
        sys.__dict__.setdefault("leaked", []).append(b"x" * 10_000_000)
    time.sleep(0.05)  # Dask looks ten times a second
    return data.decode()


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


def test_a_woken_driver_gives_workers_the_time_to_write_their_stacks(tmp_path):
    stall, told, clock = watch(tmp_path)
    clock.now += 31
    for _ in range(5):  # at once, as when documents come one by one
        stall.idle(LIVE, lambda: ["tcp://127.0.0.1:1"])
    assert not told
    clock.now += 1
    stall.idle(LIVE, lambda: ["tcp://127.0.0.1:1"])
    assert told
