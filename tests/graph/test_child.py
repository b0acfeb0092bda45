"""Child processes that run batches: what they do to themselves is their parent's exception."""

import os
import signal
import subprocess
import sys

import psutil
import pytest

from dataflow import Pipeline, Strategy
from dataflow.document import Document
from dataflow.graph.child import ChildDied, children_of, close_children, limit_children, run_in_child
from dataflow.graph.plan import Batch, Plan, forget_plan, register_plan
from dataflow.memo.spec import MemoSpec
from tests.support.waiting import wait_until

RUN = "c41d0000"


@pytest.fixture
def planned(words, tmp_path):
    def plan(*stages, **options):
        pipeline = Pipeline(*stages) if stages else words.pipeline
        register_plan(Plan(RUN, pipeline, Strategy(**options), MemoSpec("none"), in_child=True))

    yield plan
    close_children(RUN)
    forget_plan(RUN)


def batch(*texts):
    documents = tuple(Document(f"{i}.txt", len(t), "text/plain") for i, t in enumerate(texts))
    payloads = tuple(t.encode() for t in texts)
    return Batch(1, documents, tuple(range(len(texts))), (0,) * len(texts), payloads).pack()


def test_a_batch_comes_out_as_it_would_anywhere(planned):
    planned()
    outcomes = run_in_child(RUN, batch("one two", "BAD x")).take()
    assert [o.value for o in outcomes] == [["one", "two"], None]
    assert [o.status for o in outcomes] == ["ok", "failed"]


def test_one_process_serves_many_batches(planned):
    planned(pid_of)
    pids = {run_in_child(RUN, batch("x")).take()[0].value for _ in range(3)}
    assert len(pids) == 1
    assert pids != {os.getpid()}


def pid_of(data: bytes) -> int:
    print("whatever a stage prints")
    return os.getpid()


def test_what_lies_in_the_folder_at_hand_is_no_module_of_its(planned, tmp_path, monkeypatch):
    (tmp_path / "queue.py").write_text("raise SystemError('taken for the standard library')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])
    planned(importing)
    assert [o.error for o in run_in_child(RUN, batch("x")).take()] == [None]


def importing(data: bytes) -> str:
    import queue

    return queue.__name__


@pytest.mark.parametrize("word", ["SEGFAULT", "DIE"])
def test_its_death_is_an_exception_and_the_next_batch_gets_another(planned, word):
    planned()
    with pytest.raises(ChildDied, match="its process ended"):
        run_in_child(RUN, batch("one", f"{word} x"))
    assert [o.status for o in run_in_child(RUN, batch("one")).take()] == ["ok"]


def leave(data: bytes) -> str:
    if data == b"exec":
        os.execvp("sleep", ["sleep", "3600"])
    if data == b"close":
        os.closerange(3, 256)
        os.kill(os.getpid(), signal.SIGSTOP)
    return "here"


@pytest.mark.parametrize("word", ["exec", "close"])
def test_one_that_lives_on_without_its_pipes_is_ended(planned, word):
    planned(leave)
    with pytest.raises(ChildDied, match="its process ended"):
        run_in_child(RUN, batch(word))
    assert [o.value for o in run_in_child(RUN, batch("x")).take()] == ["here"]


DRIVER = """
import os, signal, sys, time
from dataflow import Pipeline, Strategy
from dataflow.document import Document
from dataflow.graph.child import run_in_child
from dataflow.graph.plan import Batch, Plan, register_plan
from dataflow.memo.spec import MemoSpec
def say_number_and(data: bytes) -> str:
    {first}
    with open(data.decode(), "w") as file:
        file.write(str(os.getpid()))
    os.rename(data.decode(), data.decode() + ".said")
    {then}
register_plan(Plan("c41d0001", Pipeline(say_number_and), Strategy(), MemoSpec("none"), in_child=True))
document = Document("a.txt", 1, "text/plain")
run_in_child("c41d0001", Batch(1, (document,), (0,), (0,), (sys.argv[1].encode(),)).pack())
"""


@pytest.mark.parametrize(
    ("first", "then"),
    [("pass", "os.kill(os.getpid(), signal.SIGSTOP)"), ("os.closerange(3, 256)", "time.sleep(600)")],
    ids=["stopped", "without what was open"],
)
def test_one_that_is_at_a_document_ends_with_its_driver(tmp_path, first, then):
    said, program = tmp_path / "number.said", DRIVER.format(first=first, then=then)
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "number")]) as driver:
        wait_until(said.exists)
        child = psutil.Process(int(said.read_text()))
        if "STOP" in then:
            wait_until(lambda: child.status() == psutil.STATUS_STOPPED)
        driver.kill()
    try:
        child.wait(30)
    finally:
        if child.is_running():
            child.kill()


def deep(data: bytes) -> int:
    def down(left):
        return left and down(left - 1)

    return down(3000)


def test_the_depth_that_a_workload_allows_itself_is_that_of_its_processes(planned, monkeypatch):
    before = sys.getrecursionlimit()
    planned(deep)
    assert run_in_child(RUN, batch("x")).take()[0].error_type == "RecursionError"
    close_children(RUN)
    try:
        sys.setrecursionlimit(20_000)
        assert run_in_child(RUN, batch("x")).take()[0].value == 0
    finally:
        sys.setrecursionlimit(before)


@pytest.mark.parametrize("word", ["HANG", "HANG_WITH_THE_LOCK"])
def test_time_limits_hold_there_though_the_ledger_is_on_no_driver(planned, word):
    planned(timeout_seconds=0.5)
    with pytest.raises(ChildDied):
        run_in_child(RUN, batch(f"{word} x"))


def test_time_limits_hold_though_the_document_stops_the_process_and_its_watchdog(planned, monkeypatch):
    monkeypatch.setattr("dataflow.graph.overdue._SLACK_SECONDS", 0.0)
    planned(stop, timeout_seconds=0.5)
    with pytest.raises(ChildDied, match="longer than its time limit, and didn't end itself"):
        run_in_child(RUN, batch("x"))


def stop(data: bytes) -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def test_an_interrupt_is_the_documents_own_failure_and_the_process_goes_on(planned):
    planned(interrupt)
    outcomes = run_in_child(RUN, batch("raise", "send")).take()
    assert [o.error_type for o in outcomes] == ["KeyboardInterrupt", None]
    assert [o.status for o in run_in_child(RUN, batch("send")).take()] == ["ok"]


def interrupt(data: bytes) -> str:
    if data == b"raise":
        raise KeyboardInterrupt
    os.kill(os.getpid(), signal.SIGINT)
    return "sent"


def test_a_process_that_was_stopped_between_documents_goes_on(planned, monkeypatch):
    monkeypatch.setattr("dataflow.graph.overdue._STOPPED_SECONDS", 0.2)
    planned(pid_of)
    (outcome,) = run_in_child(RUN, batch("x")).take()
    os.kill(outcome.value, signal.SIGSTOP)
    assert run_in_child(RUN, batch("x")).take()[0].value == outcome.value


def test_its_ledger_is_on_this_machine_and_gone_with_it(planned):
    planned(ledger_of)
    (outcome,) = run_in_child(RUN, batch("x")).take()
    assert os.path.isdir(outcome.value)
    close_children(RUN)
    assert not os.path.exists(outcome.value)


def ledger_of(data: bytes) -> str | None:
    from dataflow.graph.plan import plan_of

    return plan_of(RUN).ledger


def test_it_is_ended_when_it_holds_more_memory_than_it_may(planned):
    planned(fill)
    limit_children(RUN, 400 * 2**20)
    with pytest.raises(ChildDied, match="held more than"):
        run_in_child(RUN, batch("x"))


def fill(data: bytes) -> int:
    held = []
    while True:
        held.append(bytearray(os.urandom(2**20)) * 8)


def test_closing_ends_the_processes(planned):
    planned(pid_of)
    (outcome,) = run_in_child(RUN, batch("x")).take()
    close_children(RUN)
    assert not psutil.pid_exists(outcome.value)


def test_a_process_that_is_killed_between_batches_costs_one_attempt(planned):
    planned(pid_of)
    (outcome,) = run_in_child(RUN, batch("x")).take()
    os.kill(outcome.value, signal.SIGKILL)
    with pytest.raises(ChildDied):
        run_in_child(RUN, batch("x"))
    assert children_of(RUN)
    assert run_in_child(RUN, batch("x")).take()[0].value != outcome.value


def test_once_they_are_closed_no_more_are_started(planned):
    planned()
    children = children_of(RUN)
    children.close()
    with pytest.raises(ChildDied, match="were ended"), children.one():
        pass
