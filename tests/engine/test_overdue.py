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

    def start(program=NOTING, **options):
        process = subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path)], stdin=-1, stdout=-1, text=True, **options
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


@pytest.fixture
def heard():
    return {}


@pytest.fixture
def listen(tmp_path, monkeypatch, heard):
    """What looks every second, and has waited long enough for a heart that doesn't beat after four."""
    monkeypatch.setattr(overdue, "_LOOK_SECONDS", 1.0)
    monkeypatch.setattr(overdue, "_SILENT_SECONDS", 3.5)
    now = [0.0]
    watch = OverdueWorkers(str(tmp_path), lambda: heard, clock=lambda: now[0])

    def pass_seconds(seconds):
        now[0] += seconds
        watch.look()

    return pass_seconds


IDLE = NOTING.replace("guard.note(7, 41, 0, 0.0)\n", "")
BUSY = NOTING.replace("0, 0.0)", "0, 1e9)")


def test_a_worker_that_is_at_nothing_and_not_heard_of_is_ended(noting, listen, heard):
    worker = noting(program=IDLE)
    heard[worker.pid] = 100.0
    for beat in range(10):
        heard[worker.pid] += beat
        listen(1)
    for _ in range(3):
        listen(1)
    assert worker.poll() is None
    listen(1)
    assert worker.wait(60) == -signal.SIGKILL


def test_one_that_is_at_a_document_has_all_of_its_time_though_it_is_not_heard_of(noting, listen, heard):
    worker = noting(program=BUSY)
    heard[worker.pid] = 100.0
    for _ in range(20):
        listen(1)
    assert worker.poll() is None


def test_a_machine_that_stood_still_has_let_nobody_speak(noting, listen, heard):
    worker = noting(program=IDLE)
    heard[worker.pid] = 100.0
    listen(1)
    listen(3600)
    assert worker.poll() is None


def test_whose_clock_was_set_is_no_more_silent_for_it(noting, listen, heard):
    worker = noting(program=IDLE)
    for when in (100.0, 3700.0, 100.0, 101.0, 102.0, 103.0, 104.0):
        heard[worker.pid] = when
        listen(1)
    assert worker.poll() is None


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
