import subprocess
import sys
import time

import pytest

from dataflow.graph.guard import Guard, guard_of, innermost_line, read_blame, was_at

DYING = """
import ctypes, os, sys, time
from dataflow.graph.guard import Guard
guard = Guard(sys.argv[1], limit_seconds=float(sys.argv[3]) or None)
with guard.at(7, 40, 1, float(sys.argv[3]) or 60):
    pass
with guard.at(7, 41, 0, float(sys.argv[3]) or 60):
    exec(sys.argv[2])
"""


def die(folder, how, limit=0.0):
    done = subprocess.run([sys.executable, "-c", DYING, str(folder), how, str(limit)], timeout=60)
    return done.returncode


@pytest.mark.parametrize("how", ["os._exit(1)", "os.kill(os.getpid(), 9)", "os.kill(os.getpid(), 11)"])
def test_the_ledger_outlives_the_process_and_names_the_document(tmp_path, how):
    assert die(tmp_path, how) != 0
    (blame,) = read_blame(str(tmp_path), 7)
    assert (blame.position, blame.stage, blame.overran) == (41, 0, False)
    assert read_blame(str(tmp_path), 8) == []


@pytest.mark.parametrize("how", ["time.sleep(600)", "ctypes.PyDLL(None).sleep(600)"])
def test_the_watchdog_ends_a_process_whose_document_overruns_even_if_it_holds_the_lock(tmp_path, how):
    assert die(tmp_path, how, limit=0.2) != 0
    (blame,) = read_blame(str(tmp_path), 7)
    assert blame.position == 41
    assert blame.overran
    assert "most recent call first" in blame.stack


def test_a_document_that_is_done_is_not_blamed(tmp_path):
    guard = Guard(str(tmp_path))
    with guard.at(3, 5, 0, 60):
        assert [b.position for b in read_blame(str(tmp_path), 3)] == [5]
    assert read_blame(str(tmp_path), 3) == []


def test_of_which_batch_the_last_document_was_is_known_until_the_next_begins(tmp_path):
    guard = Guard(str(tmp_path))
    with guard.at(3, 5, 0, 60):
        assert was_at(str(tmp_path), 3)
    assert was_at(str(tmp_path), 3)
    with guard.at(4, 6, 0, 60):
        assert not was_at(str(tmp_path), 3)


def test_nobody_is_ended_where_no_limit_was_given(tmp_path):
    assert die(tmp_path, "time.sleep(0.3)") == 0


def test_a_folder_of_another_machine_has_no_guard(tmp_path):
    assert guard_of(str(tmp_path / "nope")) is None
    assert guard_of(None) is None


ASKED = """
import pathlib, sys
from dataflow.graph.guard import Guard, ask_for_stacks, innermost_line, read_running

def stuck(folder):
    while not any(p.stat().st_size for p in pathlib.Path(folder).glob("*.stack")):
        pass

guard = Guard(sys.argv[1], limit_seconds=60)
ask_for_stacks(sys.argv[1])
with guard.at(7, 41, 0, 60):
    stuck(sys.argv[1])
    (note,) = read_running(sys.argv[1])
print(note.position, note.overran, innermost_line(note.stack))
"""


def test_a_process_that_is_asked_says_on_which_line_it_is(tmp_path):
    asked = [sys.executable, "-c", ASKED, str(tmp_path)]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.startswith("41 False ")
    assert " in " in done.stdout


SEVERAL_THREADS = """Thread 0x1 (most recent call first):
  File "/lib/concurrent/futures/thread.py", line 81 in _worker
  File "/lib/threading.py", line 982 in run

Current thread 0x2 (most recent call first):
  File "/repo/dataflow/graph/guard.py", line 197 in _write_stacks

Thread 0x3 (most recent call first):
  File "/lib/threading.py", line 331 in wait
  File "/lib/fsspec/asyn.py", line 91 in sync
  File "/repo/dataflow/graph/steps.py", line 60 in read
"""


def test_of_several_threads_the_line_is_that_of_the_one_that_is_at_a_document():
    assert innermost_line(SEVERAL_THREADS) == "asyn.py:91 in sync"
    others, _, _ = SEVERAL_THREADS.partition("Thread 0x3")
    assert innermost_line(others) == "thread.py:81 in _worker"
    assert innermost_line("") == ""


def test_the_note_costs_microseconds(tmp_path):
    guard = Guard(str(tmp_path))
    started = time.perf_counter()
    for i in range(1000):
        with guard.at(1, i, 0, 60):
            pass
    assert time.perf_counter() - started < 1.0  # a thousand times slower than it is: no timing, a tripwire
