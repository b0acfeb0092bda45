"""What a stage has started ends with the process that ran it, and nothing else does."""

import contextlib
import os
import signal
import subprocess
import sys
import threading

import psutil
import pytest

from dataflow import run, stage
from dataflow.engine.clusters import open_cluster
from dataflow.graph.groups import end_group, end_left_by
from tests.support.waiting import wait_until

# Starts another of its kind, says both numbers, and waits.
FAMILY = """
import os, subprocess, sys
inner = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(inner.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def family():
    """Start a process that starts another; the two, of which the first leads a group where that is asked for."""
    started = []

    def start(**options):
        outer = subprocess.Popen([sys.executable, "-c", FAMILY], stdin=-1, stdout=-1, text=True, **options)
        started.append(outer)
        inner = psutil.Process(int(outer.stdout.readline()))
        started.append(inner)
        return outer, inner

    yield start
    for process in started:
        with contextlib.suppress(psutil.Error):
            process.kill()


def is_gone(number):
    """Whether it has ended, if nobody has waited for it either."""
    try:
        return psutil.Process(number).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def has_ended(process, seconds=10):
    with contextlib.suppress(psutil.NoSuchProcess, psutil.TimeoutExpired):
        process.wait(seconds)
    return is_gone(process.pid)


def test_a_group_ends_with_its_leader(family):
    outer, inner = family(start_new_session=True)
    end_group(outer.pid)
    assert outer.wait(10) == -signal.SIGKILL
    assert has_ended(inner)


def test_a_process_that_leads_no_group_ends_alone(family):
    outer, inner = family()
    end_group(outer.pid)
    assert outer.wait(10) == -signal.SIGKILL
    assert inner.is_running()


def test_what_a_leader_that_has_gone_left_is_ended_and_not_before_it_has(family):
    outer, inner = family(start_new_session=True)
    end_left_by(outer.pid)
    assert outer.poll() is None
    assert inner.is_running()
    outer.kill()
    outer.wait(10)
    end_left_by(outer.pid)
    assert has_ended(inner)


@stage
def calls_a_program(data: bytes) -> str:
    """As one that calls a converter, which hangs at one document."""
    if data.startswith(b"/"):
        with open(data.decode(), "a") as started, subprocess.Popen(["sleep", "600"]) as program:
            print(program.pid, os.getpid(), file=started, flush=True)
            program.wait()
    return "converted"


def numbers(path):
    return [list(map(int, line.split())) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.mark.parametrize("where", ["auto", "processes"])
def test_a_program_that_hangs_is_ended_with_its_document(where, write_corpus, tmp_path):
    started = tmp_path / "started"
    folder = write_corpus("one", str(started), "two")
    outcomes = list(run(calls_a_program, folder, cluster=where, timeout_seconds=1.0, batching="fixed:1"))
    assert sorted(o.status for o in outcomes) == ["ok", "ok", "quarantined"]
    programs = [program for program, _ in numbers(started)]
    assert len(programs) == 2  # in a worker, and in the sandbox
    wait_until(lambda: all(map(is_gone, programs)))


def test_a_program_whose_worker_was_killed_is_ended_and_so_is_one_that_runs_when_the_cluster_is_closed(
    write_corpus, tmp_path
):
    started = tmp_path / "started"
    folder = write_corpus(str(started))
    with open_cluster("processes", 1) as opened:
        with run(calls_a_program, folder, cluster=opened.client) as running:
            iterating = threading.Thread(target=list, args=(running,))
            iterating.start()
            wait_until(lambda: numbers(started))
            program, worker = numbers(started)[0]
            os.kill(worker, signal.SIGKILL)
            wait_until(lambda: is_gone(program))
        iterating.join(30)
    wait_until(lambda: all(is_gone(program) for program, _ in numbers(started)))
