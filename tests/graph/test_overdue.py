"""Processes that can't end themselves are ended by whoever is above them, and only those."""

import signal
import subprocess
import sys

import psutil
import pytest

from dataflow.graph import overdue
from dataflow.graph.guard import Guard
from dataflow.graph.overdue import Overdue


def test_a_process_that_is_at_a_document_for_longer_than_it_may_is_overdue(tmp_path, monkeypatch):
    monkeypatch.setattr(overdue, "_SLACK_SECONDS", 0.0)
    looked = Overdue(psutil.Process(), str(tmp_path))
    guard = Guard(str(tmp_path))
    with guard.at(7, 41, 0, 0.0):
        assert [looked.look() for _ in range(3)] == [False, True, True]  # one note may be half written
    assert not looked.look()


def test_its_own_watchdogs_come_first(tmp_path):
    looked = Overdue(psutil.Process(), str(tmp_path))
    with Guard(str(tmp_path)).at(7, 41, 0, 0.0):
        assert [looked.look() for _ in range(3)] == [False] * 3


def test_each_document_has_its_own_time(tmp_path, monkeypatch):
    monkeypatch.setattr(overdue, "_SLACK_SECONDS", 0.0)
    looked, guard = Overdue(psutil.Process(), str(tmp_path)), Guard(str(tmp_path))
    seen = []
    for position in range(4):
        guard.note(7, position, 0, 0.0)
        seen.append(looked.look())
    assert seen == [False] * 4


STOPPED = "import os, signal; os.kill(os.getpid(), signal.SIGSTOP); raise SystemExit(7)"


@pytest.fixture
def stopped():
    """A process that has stopped itself, and will exit with status 7."""
    process = subprocess.Popen([sys.executable, "-c", STOPPED])
    while psutil.Process(process.pid).status() != psutil.STATUS_STOPPED:
        assert process.poll() is None
    yield process
    process.kill()
    process.wait()


def test_one_that_is_stopped_at_no_document_is_let_go_on(tmp_path, monkeypatch, stopped):
    looked = Overdue(psutil.Process(stopped.pid), str(tmp_path))
    looked.look()
    assert (
        psutil.Process(stopped.pid).status() == psutil.STATUS_STOPPED
    )  # who stopped it has some time to look at it
    monkeypatch.setattr(overdue, "_STOPPED_SECONDS", 0.0)
    looked.look()
    assert stopped.wait(60) == 7


def test_a_process_that_has_ended_is_nobodys_fault(tmp_path, stopped):
    looked = Overdue(psutil.Process(stopped.pid), str(tmp_path))
    stopped.send_signal(signal.SIGKILL)
    stopped.wait()
    assert not looked.look()
