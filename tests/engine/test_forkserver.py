"""Workers are forks of one process: they are what spawned ones would be, and nobody outlives anybody."""

import contextlib
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from dataflow.engine import forkserver
from dataflow.engine.clusters import open_cluster
from dataflow.engine.specs import load_cluster
from dataflow.errors import ClusterError

CONFIG = {
    "distributed.worker.multiprocessing-method": "forkserver",
    "distributed.nanny.pre-spawn-environ.TWICE": 2,
}


PARENTS = """
import os, sys
import psutil
from dataflow.engine.clusters import open_cluster
if __name__ == "__main__":
    with open_cluster(sys.argv[1], 2) as opened:
        for parent in {psutil.Process(pid).parent() for pid in opened.client.run(os.getpid).values()}:
            print(parent.pid == os.getpid(), parent.num_threads())
"""


@pytest.mark.parametrize("name", ["local", "processes"])
def test_workers_are_forks_of_a_process_with_one_thread(name, tmp_path):
    """A fork has the locks of its parent's other threads, and nobody to open them.

    In a process of its own: in this one, what an earlier test has set may have begun the one that is forked.
    """
    (tmp_path / "script.py").write_text(PARENTS)
    done = subprocess.run(
        [sys.executable, "script.py", name], cwd=tmp_path, capture_output=True, text=True, timeout=200
    )
    assert done.stdout.splitlines() == ["False 1"], done.stderr


def test_they_start_with_what_dask_would_have_set_before_they_start(processes):
    seen = processes.client.run(lambda: dict(os.environ))
    for environment in seen.values():
        assert environment["PYTHONHASHSEED"] == "6640"
        assert environment["OMP_NUM_THREADS"] == "1"
        assert environment["MALLOC_MMAP_THRESHOLD_"] == "33554432"
        assert environment["ARROW_DEFAULT_MEMORY_POOL"] == "system"
    (seed,) = set(processes.client.run(hash, "word").values())
    told = subprocess.run(
        [sys.executable, "-c", "print(hash('word'))"],
        env={**os.environ, "PYTHONHASHSEED": "6640"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert seed == int(told.stdout)


def test_they_see_the_environment_as_it_is_when_the_cluster_is_opened(monkeypatch):
    with open_cluster("processes", 1):
        pass  # from here on there is a process to fork
    monkeypatch.setenv("DATAFLOW_TEST_SAID_LATER", "yes")
    with open_cluster("processes", 1) as opened:
        assert set(opened.client.run(os.getenv, "DATAFLOW_TEST_SAID_LATER").values()) == {"yes"}


def test_they_see_what_a_clusters_file_says_of_the_environment(changed, monkeypatch):
    monkeypatch.setenv("DATAFLOW_TEST_SAID_TWICE", "by the user")
    with open_cluster(changed(env={"DATAFLOW_TEST_SAID_TWICE": "by the file"})) as opened:
        assert set(opened.client.run(os.getenv, "DATAFLOW_TEST_SAID_TWICE").values()) == {"by the file"}


def test_where_workers_are_threads_nothing_is_forked(changed, monkeypatch):
    monkeypatch.setattr(forkserver, "_begun", {})  # whatever the tests before have begun with
    with open_cluster(changed(processes=False, host=None)) as opened:
        assert opened.in_process
        assert set(opened.client.run(os.getpid).values()) == {os.getpid()}


def test_an_environment_that_a_fork_cannot_have_is_spawned(monkeypatch):
    monkeypatch.setattr(forkserver, "_begun", {**os.environ, "GONE": "1"})
    assert forkserver.forks_workers(CONFIG)
    assert not forkserver.forks_workers(forkserver.begin_forkserver(CONFIG))
    monkeypatch.setattr(forkserver, "_begun", {**os.environ, "TWICE": "1"})
    assert not forkserver.forks_workers(forkserver.begin_forkserver(CONFIG))
    monkeypatch.setattr(forkserver, "_begun", {**os.environ, "TWICE": "2"})
    assert forkserver.forks_workers(forkserver.begin_forkserver(CONFIG))
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    assert not forkserver.forks_workers(forkserver.begin_forkserver(CONFIG))


def test_this_process_keeps_its_own_environment():
    before = dict(os.environ)
    forkserver.begin_forkserver(load_cluster("processes").config)
    assert dict(os.environ) == before


def test_what_lies_in_the_folder_at_hand_is_no_module_of_theirs(tmp_path):
    """Only a driver that was started by `-c` or `-m` looks there; and so it stays when they have to be begun again."""
    (tmp_path / "queue.py").write_text("raise SystemError('taken for the standard library')")
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "script.py").write_text(ELSEWHERE)
    done = subprocess.run(
        [sys.executable, "scripts/script.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    before, after = done.stdout.splitlines()
    assert before.startswith("None None ")
    assert after == before


ELSEWHERE = """
import os
import psutil
from dataflow.engine.clusters import open_cluster
def found():
    import queue
    return f'{os.getenv("PYTHONSAFEPATH")} {os.getenv("PYTHONPATH")} {hash("word")}'
if __name__ == "__main__":
    for name in ("PYTHONSAFEPATH", "PYTHONPATH"):
        os.environ.pop(name, None)
    with open_cluster("processes", 1) as opened:
        print(*opened.client.run(found).values())
        worker = psutil.Process(*opened.client.run(os.getpid).values())
        worker.parent().kill()
        psutil.wait_procs([worker])
        print(opened.client.submit(found).result(timeout=60))
        assert not {"PYTHONSAFEPATH", "PYTHONPATH"} & set(os.environ)
"""


def test_clusters_that_are_opened_in_threads_do_not_take_the_environment_from_each_other(monkeypatch):
    seen = []

    def begin(server):
        time.sleep(0.01)
        seen.append(os.environ.get("TWICE"))

    monkeypatch.setattr(forkserver, "_begun", {})
    monkeypatch.setattr(forkserver, "_runs", lambda: False)
    monkeypatch.setattr(forkserver.forkserver.ForkServer, "ensure_running", begin)
    before = dict(os.environ)
    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(forkserver.begin_forkserver, [CONFIG] * 20))
    assert seen == ["2"] * 20
    assert dict(os.environ) == before


SCRIPT = """
import os, time
from dataflow.engine.clusters import open_cluster
if __name__ == "__main__":
    with open_cluster("processes", 2) as opened:
        print(*opened.client.run(os.getpid).values(), *opened.client.run(os.getppid).values(), flush=True)
        time.sleep(600)
"""


def test_a_driver_that_is_killed_leaves_none_of_them(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    with subprocess.Popen(
        [sys.executable, "script.py"], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    ) as driver:
        left = [psutil.Process(int(pid)) for pid in driver.stdout.readline().split()]
        driver.kill()
    _, alive = psutil.wait_procs(left, timeout=30)
    with contextlib.suppress(psutil.Error):
        for process in alive:
            process.kill()
    assert not alive


NO_NANNY = "Cluster failed to start: Nanny failed to start."
NO_SCHEDULER = "Cluster failed to start: Scheduler failed to start and exited with code -15"


@pytest.mark.parametrize("why", [NO_NANNY, NO_SCHEDULER])
def test_a_process_of_a_cluster_that_is_killed_before_it_has_started_costs_another_attempt(why, monkeypatch):
    from dataflow.engine import deploy

    attempts = []

    def begin(start):
        attempts.append(start)
        if len(attempts) == 1:
            raise RuntimeError(why)
        return started(start)

    started = deploy._started
    monkeypatch.setattr(deploy, "_started", begin)
    with open_cluster("processes", 1) as opened:
        assert opened.slots == 1
    assert len(attempts) == 2


def test_a_scheduler_that_is_killed_each_time_it_starts_is_told_in_one_line(monkeypatch):
    from dataflow.engine import deploy

    def begin(start):
        raise RuntimeError(NO_SCHEDULER)

    monkeypatch.setattr(deploy, "_started", begin)
    with (
        pytest.raises(ClusterError, match="its scheduler is killed while it starts"),
        open_cluster("distributed"),
    ):
        pass


GIVING_UP = """
import contextlib, time, psutil
from dataflow.engine.clusters import open_cluster

def forks_and_their_parent():
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if "multiprocessing.forkserver" in " ".join(process.cmdline()):
                yield process

if __name__ == "__main__":
    with open_cluster("processes", 2) as opened:
        nannies, until = list(opened.client.cluster.workers.values()), time.monotonic() + 60
        while any(nanny.status.name != "closed" for nanny in nannies) and time.monotonic() < until:
            for process in forks_and_their_parent():
                with contextlib.suppress(psutil.Error):
                    process.kill()
        print(len(opened.client.nthreads()))
        opened.own.revive(False)
        opened.client.wait_for_workers(2, timeout=60)
        print(opened.client.submit(sum, [1, 2]).result(timeout=60))
"""


def test_workers_whose_nannies_gave_up_are_started_again(tmp_path):
    """A nanny whose worker can't be started, since the process that forks is killed meanwhile, doesn't try again."""
    (tmp_path / "script.py").write_text(GIVING_UP)
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=200
    )
    assert done.stdout.split() == ["0", "3"], done.stderr


IN_A_LONG_FOLDER = """
import sys
from dataflow.engine.clusters import open_cluster
if __name__ == "__main__":
    with open_cluster(sys.argv[1], 1) as opened:
        print(opened.client.submit(sum, [1, 2]).result(timeout=60))
"""


@pytest.mark.parametrize("name", ["processes", "distributed"])
def test_temporary_files_may_go_into_a_folder_whose_name_no_socket_could_have_and_none_stays(tmp_path, name):
    folder = tmp_path / ("f" * 100)
    folder.mkdir()
    # What a cluster of this process hands on to its own workers is none of theirs.
    own = {name: value for name, value in os.environ.items() if not name.startswith("DASK_")}
    (tmp_path / "script.py").write_text(IN_A_LONG_FOLDER)
    done = subprocess.run(
        [sys.executable, "script.py", name],
        cwd=tmp_path, env={**own, "TMPDIR": str(folder)}, capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert done.stdout.split() == ["3"], done.stderr
    assert {path.name for path in folder.iterdir()} <= {"dask-scratch-space"}


STOPPED = """
import os, signal, sys
import psutil
from dataflow.engine.clusters import open_cluster
if __name__ == "__main__":
    with open_cluster("processes", 2) as opened:
        pids = list(opened.client.run(os.getpid).values())
        pids.append(psutil.Process(pids[0]).ppid())
        print(*pids, flush=True)
        for number in sys.argv[1:]:
            os.kill(pids[int(number)], signal.SIGSTOP)
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("stopped", [["0"], ["2"], ["0", "1", "2"]], ids=["a worker", "what forks", "all"])
def test_what_is_stopped_ends_too_when_the_driver_is_killed(tmp_path, stopped, all_end):
    (tmp_path / "script.py").write_text(STOPPED)
    said = tmp_path / "pids"  # a pipe would be open for as long as one of them lives
    with said.open("w") as file:
        subprocess.run([sys.executable, "script.py", *stopped], cwd=tmp_path, stdout=file, timeout=200)
    pids = said.read_text().split()
    assert len(pids) == 3
    all_end(pids)


STOPPED_SERVER = """
import os, signal
from pathlib import Path
from dataflow import Document, Pipeline, run, stage

@stage
def once(data: bytes, document: Document) -> int:
    seen = Path(document.url).with_suffix(".seen")
    if data == b"stop" and not seen.exists():
        seen.touch()
        os.kill(os.getppid(), signal.SIGSTOP)
        os.kill(os.getpid(), signal.SIGKILL)
    return len(data)

if __name__ == "__main__":
    with run(Pipeline(once), "*.txt", cluster="processes", workers=1) as outcomes:
        print(*sorted(outcome.value for outcome in outcomes))
"""


def test_what_forks_is_let_go_on_where_it_was_stopped(tmp_path):
    """It is by it that a nanny hears of its worker's death."""
    (tmp_path / "script.py").write_text(STOPPED_SERVER)
    for name, text in {"a": "a", "b": "stop", "c": "ccc"}.items():
        (tmp_path / f"{name}.txt").write_text(text)
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.split() == ["1", "3", "4"], done.stderr


FORKING = """
import multiprocessing, os
from dataflow.engine.clusters import open_cluster

def of_its_own():
    process = multiprocessing.get_context("forkserver").Process(target=os._exit, args=(7,))
    process.start()
    process.join()
    return process.exitcode

if __name__ == "__main__":
    with open_cluster("processes", 1) as opened:
        print(*opened.client.run(of_its_own).values())
"""


def test_a_stage_may_fork_by_the_standard_library_too(tmp_path):
    (tmp_path / "script.py").write_text(FORKING)
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=200
    )
    assert done.stdout.split() == ["7"], done.stderr
