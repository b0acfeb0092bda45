"""Every cluster passes one check; every mistake with one is one clear line."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

import distributed
import psutil
import pytest

from dataflow import run
from dataflow.engine.clusters import open_cluster
from dataflow.errors import ClusterError
from tests.support.waiting import wait_until


def check_cluster_runs(name, words, folder, **options):
    """A cluster runs a pipeline that its workers can't import, tells its size, and links a local dashboard."""
    with open_cluster(name, **options) as cluster:
        assert cluster.local
        assert cluster.dashboard_link is None or "//127.0.0.1:" in cluster.dashboard_link
        outcomes = list(run(words.pipeline, folder, cluster=cluster.client))
        assert sorted(o.value[1] for o in outcomes) == ["0", "1", "2"]
        return cluster.slots


@pytest.mark.parametrize("name", ["threads", "processes", "local", "distributed"])
def test_every_cluster_of_this_project_runs_a_pipeline(name, words, write_corpus):
    folder = write_corpus("a 0", "b 1", "c 2")
    assert check_cluster_runs(name, words, folder, workers=2) == 2


def test_the_client_of_a_cluster_that_we_start_needs_no_socket_and_others_still_find_the_scheduler():
    from distributed import Client

    with open_cluster("processes", workers=1) as cluster:
        assert cluster.client.scheduler.address.startswith("inproc://")
        assert cluster.client.scheduler_comm.interval <= 0.001  # seconds that a message may wait for others
        assert not cluster.in_process  # its workers are processes all the same
        assert cluster.placing is not None
        address = cluster.client.scheduler_info()["address"]
        assert address.startswith("tcp://127.0.0.1:")
        with Client(address, set_as_default=False) as other:
            assert set(other.nthreads()) == set(cluster.client.nthreads())
        with open_cluster(address) as shared:
            assert shared.placing is None  # others may use it too, so Dask decides what goes where


def test_a_cluster_of_dasks_that_is_open_is_used_and_left_open(words, write_corpus):
    folder = write_corpus("one two")
    with distributed.LocalCluster(n_workers=1, processes=False, dashboard_address=None) as cluster:
        for _ in range(2):
            assert [o.value for o in run(words.pipeline, folder, cluster=cluster)] == [["one", "two"]]


def test_a_cluster_opened_beside_a_distributed_one_does_not_end_the_driver():
    # In a process of its own: what is tested for ends the one that it happens in, without a word.
    script = (
        "from dataflow.engine.clusters import open_cluster\n"
        "if __name__ == '__main__':\n"
        "    with open_cluster('distributed', 1), open_cluster('processes', 1) as second:\n"
        "        print(second.slots)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.stdout == "1\n", done.stderr


@pytest.fixture
def scheduler(tmp_path):
    """A scheduler and two workers, started by hand with Dask's own command line."""
    yield from by_hand(tmp_path)


@pytest.fixture
def bare_scheduler(tmp_path):
    """The same, and nobody starts a worker again."""
    yield from by_hand(tmp_path, "--no-nanny")


def by_hand(tmp_path, *options):
    dask = [sys.executable, "-m", "dask"]
    file = str(tmp_path / "scheduler.json")
    started = [
        subprocess.Popen(
            [
                *dask,
                "scheduler",
                "--host",
                "127.0.0.1",
                "--port",
                "0",
                "--scheduler-file",
                file,
                "--no-dashboard",
            ],
            stderr=subprocess.DEVNULL,
        )
    ]
    worker = [
        *dask,
        "worker",
        "--scheduler-file",
        file,
        "--host",
        "127.0.0.1",
        "--nthreads",
        "1",
        "--no-dashboard",
        *options,
    ]
    started += [subprocess.Popen(worker, cwd=tmp_path, stderr=subprocess.DEVNULL) for _ in range(2)]
    yield file
    for process in reversed(started):  # a worker that loses its scheduler while it ends may never do so
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def test_a_cluster_that_was_started_by_hand_is_used_and_left_running(
    scheduler, words, write_corpus, monkeypatch
):
    import json
    import pathlib

    folder = write_corpus("a 0", "b 1", "c 2")
    wait_for_file(scheduler)
    assert check_cluster_runs(scheduler, words, folder, workers=2) == 2
    address = json.loads(pathlib.Path(scheduler).read_text())["address"]
    assert address.startswith("tcp://127.0.0.1:")
    assert check_cluster_runs(address, words, folder, workers=2) == 2
    monkeypatch.setattr("dataflow.engine.clusters._PATIENCE_SECONDS", 1)
    with (
        pytest.raises(ClusterError, match="has 2 workers, not 3: start more"),
        open_cluster(address, workers=3),
    ):
        pass


def test_workers_without_a_nanny_are_not_ended_and_limits_hold_all_the_same(
    bare_scheduler, words, write_corpus
):
    folder = write_corpus("one", "SEGFAULT x", "two", "HANG_WITH_THE_LOCK x", "three")
    wait_for_file(bare_scheduler)
    with open_cluster(bare_scheduler, workers=2) as cluster:
        before = set(cluster.client.run(os.getpid).values())
        with run(words.pipeline, folder, cluster=cluster.client, timeout_seconds=2.0) as running:
            statuses = {o.document[-8:]: o.status for o in running}
        assert sorted(statuses.values()) == ["ok", "ok", "ok", "quarantined", "quarantined"]
        assert set(cluster.client.run(os.getpid).values()) == before
        assert any("without a nanny" in note for note in running.summary.notes)


def wait_for_file(path):
    # The workers wait for the file that the scheduler writes, and so do we.
    for _ in range(600):
        if os.path.exists(path):
            break
        subprocess.run([sys.executable, "-c", "pass"], check=True)


@pytest.mark.parametrize(
    ("name", "workers", "says"),
    [
        ("nonsense", None, "take one of distributed, local, processes, threads"),
        ("local", 0, "WORKERS must be a whole number above 0"),
        ("local", -2, "WORKERS must be a whole number above 0"),
        ("tcp://127.0.0.1:1", None, "no scheduler answers at tcp://127.0.0.1:1"),
        ("nope/scheduler.json", None, "doesn't exist"),
        ("tcp://127.0.0.1", None, "has no host and port"),
        ("tcp://", None, "has no host and port"),
        ("threads", 100_000, "more than this machine can hold"),
    ],
)
def test_a_mistake_is_one_clear_line(name, workers, says, monkeypatch):
    monkeypatch.setattr("dataflow.engine.clusters._CONNECT_SECONDS", 1)
    with pytest.raises(ClusterError, match=says) as caught, open_cluster(name, workers):
        pass
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("class: [", "can't be read"),
        ("options: {}", "needs a 'class'"),
        ("some text", "it names no class. It needs a 'class'"),
        ("class: no.such.Cluster", "needs no.such.Cluster"),
        ("class: distributed.LocalCluster\noptions: {nonsense: 1}", "can't be opened"),
    ],
)
def test_a_cluster_file_with_a_mistake_is_one_clear_line(tmp_path, text, says):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ClusterError, match=says) as caught, open_cluster(str(path)):
        pass
    assert "\n" not in str(caught.value)


def test_processes_of_a_distributed_cluster_end_with_a_driver_that_is_killed(tmp_path):
    code = (
        "from dataflow.engine.clusters import open_cluster\n"
        "with open_cluster('distributed', 1) as c:\n"
        "    print('open', flush=True)\n"
        "    input()\n"
    )
    driver = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert driver.stdout.readline() == b"open\n"
    children = psutil.Process(driver.pid).children(recursive=True)
    assert len(children) >= 3
    driver.kill()
    driver.wait()
    _, alive = psutil.wait_procs(children, timeout=30)
    assert alive == []


def test_nannies_that_are_killed_while_a_distributed_cluster_starts_or_later_are_replaced():
    killed = []

    def kill_the_first():
        while not killed:
            for child in psutil.Process().children():
                with contextlib.suppress(psutil.Error):
                    if not killed and any("Nanny" in word for word in child.cmdline()):
                        child.kill()
                        killed.append(child.pid)
            time.sleep(0.02)

    threading.Thread(target=kill_the_first, daemon=True).start()
    with open_cluster("distributed", 2) as cluster:
        nannies = cluster.client.cluster.workers
        numbers = {one.process.pid for one in nannies.values()}
        assert killed
        assert cluster.slots == 2
        os.kill(min(numbers), signal.SIGKILL)
        wait_until(lambda: cluster.own.revive(long=False) or min(numbers) not in pids(nannies))
        wait_until(lambda: len(cluster.client.nthreads()) == 2)


def pids(nannies):
    return [one.process.pid for one in list(nannies.values()) if one.process]


@pytest.mark.parametrize("name", ["processes", "threads", "distributed"])
def test_a_script_that_opens_a_cluster_when_it_is_imported_is_told_so_in_few_lines(name, tmp_path):
    script = f"with open_cluster({name!r}, 2) as cluster:\n    print(cluster.slots)\n"
    (tmp_path / "job.py").write_text("from dataflow.engine.clusters import open_cluster\n" + script)
    done = subprocess.run(
        [sys.executable, "job.py"], capture_output=True, text=True, timeout=120, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": ":".join(sys.path)},
    )  # fmt: skip
    told = done.stderr.splitlines()
    if done.returncode:  # where workers import the script
        assert "under `if __name__ == '__main__':`" in told[-1]
        assert len(told) < 40
    else:
        assert done.stdout == "2\n"


@pytest.mark.parametrize("name", ["processes", "threads", "distributed"])
def test_a_script_may_come_by_standard_input(name):
    script = f"""
from dataflow import run

def count(data: bytes) -> int:
    return len(data)

if __name__ == "__main__":
    print(*(outcome.value for outcome in run(count, [{__file__!r}], cluster={name!r}, workers=1)))
"""
    done = subprocess.run([sys.executable, "-"], input=script, capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr) == (f"{os.path.getsize(__file__)}\n", "")


def test_an_asynchronous_client_is_one_clear_line():
    class Asynchronous:
        asynchronous = True

    with pytest.raises(ClusterError, match="asynchronous"), open_cluster(Asynchronous()):
        pass


FILES = """
import resource, sys
from dataflow.engine.clusters import open_cluster
from dataflow.errors import ClusterError
if __name__ == "__main__":
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40 if sys.argv[1] == "hard" else hard))
    try:
        with open_cluster("processes", 2) as cluster:
            print(cluster.slots)
    except ClusterError as error:
        print(error)
"""


@pytest.mark.parametrize(
    ("limit", "says"),
    [("soft", "2\n"), ("hard", "cluster processes of 2 workers needs 72 open files, and this process may open 40:")],
)  # fmt: skip
def test_a_cluster_sees_to_it_that_it_may_open_its_files(limit, says):
    # Without, Dask's servers print a traceback for each connection that they can't accept, and don't end.
    done = subprocess.run(
        [sys.executable, "-c", FILES, limit], stdout=subprocess.PIPE, text=True, timeout=120
    )
    assert done.stdout.startswith(says)
