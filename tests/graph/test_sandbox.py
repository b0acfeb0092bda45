"""Real poison in a real sandbox process."""

import os
import threading
from collections.abc import Iterator
from typing import BinaryIO

import pandas as pd
import psutil
import pytest

from dataflow import Document, Pipeline, Strategy, stage
from dataflow.errors import ClusterError
from dataflow.graph.plan import Batch, Plan, forget_plan, register_plan
from dataflow.graph.sandbox import isolate
from dataflow.graph.table import sink_for
from dataflow.memo.spec import MemoSpec


@pytest.fixture
def sandboxed(words):
    def run(text: str, *, sink=None, pipeline=words.pipeline, **limits):
        strategy = Strategy(timeout_seconds=limits.pop("timeout", 30.0))
        plan = Plan("f00d", pipeline, strategy, MemoSpec("none"), sink=sink, **limits)
        register_plan(plan)
        batch = Batch(
            1, (Document("x.txt", None, "text/plain"),), (9,), (1,), (text.encode(),), isolated=True
        )
        return isolate("f00d", batch.pack())

    yield run
    forget_plan("f00d")


def test_an_innocent_document_comes_out_as_it_would_anywhere(sandboxed):
    (outcome,) = sandboxed("hello there").take()
    assert (outcome.status, outcome.value, outcome.attempts, outcome.position) == (
        "ok",
        ["hello", "there"],
        2,
        9,
    )


def test_a_document_that_merely_fails_has_failed(sandboxed):
    (outcome,) = sandboxed("BAD x").take()
    assert (outcome.status, outcome.error_type, outcome.error) == (
        "failed",
        "DocumentError",
        "this one is bad",
    )


@pytest.mark.parametrize(
    ("word", "error_type"),
    [
        ("INTERRUPT", "KeyboardInterrupt"),
        ("EXIT", "SystemExit"),
        ("LEAVE", "GeneratorExit"),
        ("CANCEL", "CancelledError"),
    ],
)
def test_what_means_the_end_elsewhere_is_a_failure_too(sandboxed, word, error_type):
    (outcome,) = sandboxed(f"{word} x").take()
    assert (outcome.status, outcome.error_type) == ("failed", error_type)


@pytest.mark.parametrize(
    ("word", "error_type", "says"),
    [
        ("SEGFAULT", "WorkerDied", r"in stage extract: signal 11 \(SIGSEGV\)"),
        ("DIE", "WorkerDied", "in stage extract: exit status 3"),
    ],
)
def test_a_document_that_ends_its_process_is_quarantined_with_the_reason(sandboxed, word, error_type, says):
    (outcome,) = sandboxed(f"{word} x").take()
    assert (outcome.status, outcome.error_type) == ("quarantined", error_type)
    assert outcome.error.endswith(says.replace("\\", ""))


@pytest.mark.parametrize("word", ["HANG", "HANG_WITH_THE_LOCK"])
def test_a_document_that_hangs_is_quarantined_even_if_it_holds_the_lock(sandboxed, word):
    (outcome,) = sandboxed(f"{word} x", timeout=0.5).take()
    assert (outcome.status, outcome.error_type) == ("quarantined", "TimeLimit")
    assert "in stage extract, at words.py:" in outcome.error
    assert " in misfortune;" in outcome.error


@pytest.mark.parametrize("noting", [True, False])
def test_a_document_that_stops_its_process_is_quarantined(sandboxed, tmp_path, monkeypatch, noting):
    # Without a ledger, the time that it would have had to start as well.
    monkeypatch.setattr("dataflow.graph.sandbox._START_SECONDS", 60.0 if noting else 2.0)
    monkeypatch.setattr("dataflow.graph.overdue._SLACK_SECONDS", 0.0)
    (outcome,) = sandboxed("STOP x", timeout=0.5, ledger=str(tmp_path) if noting else None).take()
    assert (outcome.status, outcome.error_type) == ("quarantined", "TimeLimit")
    assert outcome.error.startswith("still running after its time limit")


def test_a_document_that_eats_memory_is_quarantined(sandboxed):
    (outcome,) = sandboxed("EAT x", sandbox_memory_bytes=2 * 1024**3).take()
    assert (outcome.status, outcome.error_type) == ("quarantined", "MemoryLimit")


def test_the_sandbox_writes_its_own_part(sandboxed, tmp_path, words):
    result = sandboxed("a b", sink=sink_for(words.pipeline, str(tmp_path)))
    assert result.part is not None
    assert [list(c) for c in pd.read_parquet(tmp_path).chunks] == [["a", "b"]]


@stage
def numbers(file: BinaryIO) -> Iterator[int]:
    yield from range(3)


@stage(timeout=1)
def die_at_the_second(found: Iterator[int]) -> int:
    next(found)
    next(found)
    os._exit(3)


@stage(timeout=1)
def die_when_pulled(file: BinaryIO) -> Iterator[int]:
    yield 1
    os._exit(3)


@pytest.mark.parametrize("stages", [(numbers, die_at_the_second), (die_when_pulled, stage(list))])
def test_of_stages_that_pull_at_each_other_the_one_whose_turn_it_was_is_named(sandboxed, tmp_path, stages):
    (outcome,) = sandboxed("x", pipeline=Pipeline(*stages), ledger=str(tmp_path)).take()
    assert (outcome.status, outcome.error_type) == ("quarantined", "WorkerDied")
    assert f"in stage {'die_at_the_second' if stages[0] is numbers else 'die_when_pulled'}:" in outcome.error


def test_stages_that_pull_at_each_other_have_their_limits_together(sandboxed, words):
    pieces = words.variants["pieces"]
    (outcome,) = sandboxed("hello\nthere", pipeline=pieces).take()
    assert (outcome.status, outcome.value) == ("ok", ["hello", "there"])
    (outcome,) = sandboxed("hello\nHANG_WITH_THE_LOCK", pipeline=pieces, timeout=0.5).take()
    assert (outcome.status, outcome.error_type) == ("quarantined", "TimeLimit")
    (outcome,) = sandboxed("hello\nEAT", pipeline=pieces, sandbox_memory_bytes=2 * 1024**3).take()
    assert (outcome.status, outcome.error_type) == ("quarantined", "MemoryLimit")


@pytest.mark.parametrize(("kills", "status"), [(3, "ok"), (9, "quarantined")])
def test_a_sandbox_that_somebody_killed_is_given_a_few_more_chances(sandboxed, tmp_path, kills, status):
    def killed(data: bytes) -> str:
        import os
        import signal

        with open(tmp_path / "begun", "a+") as file:
            file.write("x")
            file.seek(0)
            if len(file.read()) <= kills:
                file.flush()
                os.kill(os.getpid(), signal.SIGKILL)
        return data.decode()

    (outcome,) = sandboxed("hello", pipeline=Pipeline(killed)).take()
    assert (outcome.status, (tmp_path / "begun").read_text()) == (status, "xxxx")


def test_a_sandbox_process_is_ended_with_its_run(sandboxed):
    def children():
        return psutil.Process().children()

    before, failed = set(children()), []

    def isolate_what_hangs():
        try:
            sandboxed("HANG x", timeout=60.0)
        except ClusterError as error:
            failed.append(str(error))

    isolating = threading.Thread(target=isolate_what_hangs)
    isolating.start()
    while not set(children()) - before:
        isolating.join(0.01)
    forget_plan("f00d")
    assert set(children()) <= before
    isolating.join(30)
    assert len(failed) == 1
