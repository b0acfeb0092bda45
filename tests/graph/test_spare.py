"""The process that is started before it is known whether one is needed."""

import os
import resource
import sys

import pytest

from dataflow import run, workload
from dataflow.cli import cli
from dataflow.graph import spare as spares
from dataflow.graph.spare import child_process, end_spare, spare
from dataflow.workload import load_workload


@pytest.fixture
def started(monkeypatch):
    """Every process that has been started, in order; none of them is left when the test ends."""
    found, start = [], spares._start

    def counted():
        found.append(start())
        return found[-1]

    monkeypatch.setattr(spares, "_start", counted)
    yield found
    for one in found:
        one.close()


def ended(one):
    return one.process.poll() is not None


def test_the_first_that_needs_a_process_has_it_and_the_next_a_new_one(started):
    with spare():
        taken = [child_process() for _ in range(2)]
    assert taken == started
    assert not any(ended(one) for one in taken)


def test_it_ends_with_the_block_unless_somebody_has_it(started):
    with spare():
        assert not ended(started[0])
    assert ended(started[0])
    assert child_process() is not started[0]


def test_it_is_given_up_once_nobody_will_need_it(started):
    with spare():
        end_spare()
        assert ended(started[0])


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
def test_it_is_taken_only_if_a_new_one_would_be_no_other(started, changed, monkeypatch, tmp_path):
    if changed is in_cores and len(os.sched_getaffinity(0)) < 2:
        pytest.skip("one core")
    with spare():
        changed(monkeypatch, tmp_path)
        assert child_process() is not started[0]
    assert ended(started[0])


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


@pytest.mark.parametrize(("options", "processes"), [([], 1), (["--cluster", "threads"], 0)])
def test_the_command_starts_one_before_all_else_where_a_small_job_may_need_it(
    started, monkeypatch, tmp_path, options, processes
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
    assert (at_loading, len(started)) == ([processes], processes)
    assert all(ended(one) for one in started)


def test_a_mistake_leaves_none_behind(started, tmp_path):
    with pytest.raises(Exception, match="no workload is called"):
        cli.main(["run", "--workload", "none", "--output", str(tmp_path / "out")], standalone_mode=False)
    assert [ended(one) for one in started] == [True]
