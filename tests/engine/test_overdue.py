"""Workers that can't end themselves are ended by the driver; nothing else is."""

import os
import signal
import socket
import subprocess
import sys

import psutil
import pytest

from dataflow.engine import overdue
from dataflow.engine.overdue import OverdueWorkers

NOTING = """
import os, sys
from dataflow.graph.guard import Guard
guard = Guard(sys.argv[1])
guard.note(7, 41, 0, 0.0)
print(os.getpid(), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def watch(tmp_path, monkeypatch):
    monkeypatch.setattr(overdue, "_LOOK_SECONDS", 0.0)
    monkeypatch.setattr("dataflow.graph.overdue._SLACK_SECONDS", 0.0)
    return OverdueWorkers(str(tmp_path), clock=iter(range(1000)).__next__)


@pytest.fixture
def noting(tmp_path):
    """Start processes that are at a document, which has no time; each with the options of ``Popen``."""
    started = []

    def start(**options):
        process = subprocess.Popen(
            [sys.executable, "-c", NOTING, str(tmp_path)], stdin=-1, stdout=-1, text=True, **options
        )
        started.append(process)
        process.stdout.readline()
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_a_worker_that_is_at_a_document_for_too_long_is_ended_though_it_is_stopped(watch, noting):
    worker = noting()
    worker.send_signal(signal.SIGSTOP)
    watch.look()
    assert worker.poll() is None
    watch.look()
    assert worker.wait(60) == -signal.SIGKILL
    watch.look()  # its note is still there


def test_a_sandbox_is_left_to_the_worker_that_it_belongs_to(watch, noting):
    sandbox = noting(start_new_session=True)
    for _ in range(3):
        watch.look()
    assert sandbox.poll() is None


def test_a_process_that_is_not_below_this_one_is_none_of_its_workers(watch, tmp_path):
    own = tmp_path / f"{socket.gethostname()}-{os.getpid()}.ledger"
    above = tmp_path / f"{socket.gethostname()}-{psutil.Process().ppid()}.ledger"
    for path in (own, above):
        path.write_bytes(bytes(64))
    assert overdue._workers(overdue._noted(str(tmp_path))) == []


def test_without_a_ledger_nobody_is_ended():
    OverdueWorkers(None).look()


def test_one_that_ends_while_it_is_looked_at_ends_nothing_else(watch, noting, monkeypatch):
    noting()

    def ended(number):
        raise ProcessLookupError

    monkeypatch.setattr("os.getsid", ended)
    for _ in range(3):
        watch.look()
