"""Processes for batches are forks of one that has imported what they need, and outlive it."""

import os
import resource
import signal
import socket
import subprocess
import sys

import psutil
import pytest

from dataflow import run, workload
from dataflow.cli import cli
from dataflow.graph import forks
from dataflow.graph.forks import child_process, keep_template, leave_template, spare
from dataflow.workload import load_workload
from tests.support.waiting import wait_until


@pytest.fixture
def started(monkeypatch):
    """Every template that has been started, in order; none of them is left when the test ends."""
    found, make = [], forks._Template.__init__

    def counted(self):
        make(self)
        found.append(self)

    monkeypatch.setattr(forks._Template, "__init__", counted)
    yield found
    for one in found:
        assert not one.serves


def parent_of(fork):
    return psutil.Process(fork.pid).ppid()


def test_all_that_are_needed_are_forks_of_one(started):
    with keep_template():
        two = [child_process() for _ in range(2)]
        assert [parent_of(one) for one in two] == [started[0]._process.pid] * 2
        assert len(started) == 1
        for one in two:
            one.close()
            assert one.poll() == -signal.SIGKILL


def test_each_leads_a_session_of_its_own(started):
    with keep_template():
        one = child_process()
        wait_until(lambda: os.getsid(one.pid) == os.getpgid(one.pid) == one.pid)
        one.close()


def test_the_template_ends_when_nobody_keeps_it(started):
    with spare(), keep_template():
        leave_template()
        assert started[0].serves
    assert not started[0].serves


def test_it_is_started_anew_when_it_has_died_and_its_forks_live_on(started):
    with keep_template():
        first = child_process()
        assert first.pid
        started[0]._process.kill()
        wait_until(lambda: not started[0].serves)
        assert first.poll() is None
        second = child_process()
        assert parent_of(second) == started[1]._process.pid
        for one in (first, second):
            one.close()
            assert one.poll() == -signal.SIGKILL


def test_one_that_dies_before_it_has_forked_is_an_end_like_any_other(started):
    with keep_template():
        template = forks._current()
        os.kill(template._process.pid, signal.SIGSTOP)
        fork = template.fork()
        template._process.kill()
        assert fork.poll() == -signal.SIGKILL
        assert fork.pid is None
        assert fork.stdout.read() == b""
        fork.close()


def test_one_that_is_not_made_yet_is_not_waited_for_when_it_is_closed(started):
    with keep_template():
        template = forks._current()
        os.kill(template._process.pid, signal.SIGSTOP)
        fork = template.fork()
        fork.close()
        assert template.number_of(fork)  # which wakes the template
        assert fork.wait(30) == 0


def test_one_that_is_stopped_goes_on_when_it_is_asked(started):
    with keep_template():
        child_process().close()
        os.kill(started[0]._process.pid, signal.SIGSTOP)
        one = child_process()
        assert one.pid
        one.close()
    assert len(started) == 1


def test_what_a_fork_says_of_its_end_is_how_it_ended(started):
    with keep_template():
        one, other = child_process(), child_process()
        os.kill(one.pid, signal.SIGSEGV)
        other.stdin.close()
        assert (one.wait(30), other.wait(30)) == (-signal.SIGSEGV, 0)
        one.close()
        other.close()


def test_a_template_whose_driver_has_died_while_it_was_importing_ends():
    """Even if a copy of the driver holds the other end of what it is asked by."""
    parent = subprocess.Popen([sys.executable, "-c", ""])
    parent.wait()
    ours, theirs = socket.socketpair()
    orphan = subprocess.Popen(
        [sys.executable, "-m", "dataflow.graph.template", str(parent.pid)], stdin=theirs.fileno()
    )
    try:
        assert orphan.wait(60) == 0
    finally:
        orphan.kill()
        ours.close()
        theirs.close()


def test_forks_have_chances_of_their_own(tmp_path):
    (tmp_path / "a.txt").write_text("x")
    seen = set()
    for _ in range(2):
        with keep_template():
            for _ in range(2):
                with run(some_chance, [str(tmp_path / "a.txt")], cluster="auto") as running:
                    seen |= {outcome.value for outcome in running}
    assert len(seen) == 4


def some_chance(data: bytes) -> str:
    import random

    return str(random.random())


def in_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("A_WORKLOADS_SETTING", "1")


def in_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


def in_mask(monkeypatch, tmp_path):
    os.umask(0o027)


def in_limits(monkeypatch, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft - 1, hard))


def in_turns(monkeypatch, tmp_path):
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def in_cores(monkeypatch, tmp_path):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


@pytest.fixture
def put_back():
    mask, limits, cores = os.umask(0), resource.getrlimit(resource.RLIMIT_NOFILE), os.sched_getaffinity(0)
    os.umask(mask)
    yield
    os.umask(mask)
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    os.sched_setaffinity(0, cores)
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


@pytest.mark.parametrize("changed", [in_environment, in_folder, in_mask, in_limits, in_turns, in_cores])
@pytest.mark.usefixtures("put_back")
def test_it_is_used_only_if_a_new_one_would_be_no_other(started, changed, monkeypatch, tmp_path):
    if changed is in_cores and len(os.sched_getaffinity(0)) < 2:
        pytest.skip("one core")
    with spare():
        before = child_process()
        changed(monkeypatch, tmp_path)
        after = child_process()
        assert parent_of(after) == started[1]._process.pid
        for one in (before, after):
            one.close()


def with_helper(data: bytes) -> str:
    import helper_found_later

    return helper_found_later.WORD + os.environ.get("PYTHONPATH", "none")


@pytest.mark.parametrize("said", [None, "/nowhere"])
def test_modules_are_looked_for_where_the_driver_looks_and_programs_look_where_they_would(
    started, monkeypatch, tmp_path, said
):
    folder = tmp_path / "a folder: with a colon"
    folder.mkdir()
    (folder / "helper_found_later.py").write_text("WORD = 'found and '")
    (tmp_path / "one.txt").write_text("x")
    monkeypatch.delenv("PYTHONPATH", raising=False)
    if said:
        monkeypatch.setenv("PYTHONPATH", said)
    with spare():
        monkeypatch.setattr(sys, "path", [*sys.path, str(folder)])
        with run(with_helper, [str(tmp_path / "one.txt")], cluster="auto") as running:
            assert [outcome.value for outcome in running] == [f"found and {said or 'none'}"]
    assert len(started) == 1


@pytest.mark.parametrize(("options", "templates"), [([], 1), (["--cluster", "threads"], 0)])
def test_the_command_starts_it_before_all_else_where_a_small_job_may_need_it(
    started, monkeypatch, tmp_path, options, templates
):
    at_loading = []

    def load(name):
        at_loading.append(len(started))
        return load_workload(name)

    monkeypatch.setattr(workload, "load_workload", load)
    (tmp_path / "one.txt").write_text("x")
    output = ["--output", str(tmp_path / "out")]
    assert not cli.main(
        ["run", "--corpus", str(tmp_path / "one.txt"), *output, *options], standalone_mode=False
    )
    assert (at_loading, len(started)) == ([templates], templates)


def test_a_mistake_leaves_none_behind(started, tmp_path):
    with pytest.raises(Exception, match="no workload is called"):
        cli.main(["run", "--workload", "none", "--output", str(tmp_path / "out")], standalone_mode=False)
    assert [one.serves for one in started] == [False]
