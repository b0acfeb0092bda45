"""Interruptions of a real driver, and what `--resume` and `replay` make of them."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

DATAFLOW = [sys.executable, "-m", "dataflow"]
SLOW = str(Path(__file__).parents[1] / "support" / "slow_words.py")
DOCUMENTS = 120


def command(*arguments, cluster="processes"):
    workload = ["--workload", SLOW, "--corpus", "docs", "--output", "out", "--cluster", cluster]
    return [*DATAFLOW, "run", *workload, "--batch", "fixed:4", *arguments]


def quick(*arguments):
    """The same in one process, for what is no matter of workers."""
    return command(*arguments, cluster="inline")


def finished(*arguments, **options):
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=120, **options)
    assert done.returncode == 0, done.stderr
    return done


def lines(folder):
    manifest = folder / "out" / "_dataflow" / "manifest.jsonl"
    return manifest.read_text().count('"part"') if manifest.exists() else 0


def interrupted(folder, number, at, *arguments, cluster="processes"):
    """Start a run, wait until it has committed ``at`` parts more, and send it a signal; what it says."""
    goal = lines(folder) + at
    environment = {**os.environ, "SLOW_SECONDS": "0.02"}
    with subprocess.Popen(
        command(*arguments, cluster=cluster),
        cwd=folder,
        env=environment,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as running:
        while lines(folder) < goal and running.poll() is None:
            pass
        os.kill(running.pid, number)
        _, said = running.communicate(timeout=60)
    return running.returncode, said


@pytest.fixture
def docs(tmp_path):
    (tmp_path / "docs").mkdir()
    for i in range(DOCUMENTS):
        (tmp_path / "docs" / f"{i:04d}.txt").write_text(f"document {i}")
    return tmp_path


def check(folder, documents=DOCUMENTS):
    table = pd.read_parquet(folder / "out")
    assert len(table) == table.document.nunique() == documents
    assert sorted(table.position) == list(range(documents))
    assert {" ".join(c) for c in table.chunks} == {f"document {i}" for i in range(documents)}
    assert set(table.status) == {"ok"}


def test_a_driver_that_is_killed_again_and_again_loses_and_doubles_nothing(docs):
    chance = random.Random(4)
    for cluster in ("processes", "inline", "processes", "inline", "inline"):
        status, _ = interrupted(docs, signal.SIGKILL, chance.randrange(1, 6), "--resume", cluster=cluster)
        assert status == -signal.SIGKILL
    done = finished(*quick("--resume"), cwd=docs)
    assert "resuming: " in done.stderr
    check(docs)
    again = finished(*command("--resume"), cwd=docs)
    assert again.stdout.startswith(f"nothing to do: all {DOCUMENTS} documents are done")
    assert "dashboard" not in again.stderr


@pytest.mark.parametrize(
    ("number", "cluster"),
    [(signal.SIGINT, "processes"), (signal.SIGTERM, "inline"), (signal.SIGHUP, "inline")],
)
def test_an_interrupted_run_says_the_command_that_goes_on_with_it(docs, number, cluster):
    status, said = interrupted(docs, number, 5, cluster=cluster)
    assert status == 130
    assert "Traceback" not in said
    expected = f"--workload {SLOW} --corpus docs --output out --cluster {cluster} --batch fixed:4 --resume"
    assert f"resume with: dataflow run {expected}" in said.splitlines()
    committed = len(pd.read_parquet(docs / "out"))
    assert f"interrupted: {committed} documents are committed in out." in said
    done = finished(*quick("--resume"), cwd=docs)
    assert f"{DOCUMENTS - committed} documents in" in done.stdout
    check(docs)


class Cluster:
    """A cluster that was started by hand, with Dask's own command line."""

    def __init__(self, folder):
        self.file = folder / "scheduler.json"
        self.file.unlink(missing_ok=True)
        base = [sys.executable, "-m", "distributed.cli.dask_scheduler"]
        options = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
        self.scheduler = self._start(*base, *options, "--scheduler-file", str(self.file))
        worker = [sys.executable, "-m", "distributed.cli.dask_worker", "--scheduler-file", str(self.file)]
        self.worker = self._start(*worker, "--nthreads", "1", "--nworkers", "2", "--no-dashboard")
        while not self.file.exists():
            assert self.scheduler.poll() is None

    def _start(self, *arguments):
        return subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in (self.worker, self.scheduler):
            process.terminate()
        for process in (self.worker, self.scheduler):
            process.wait(30)


def test_the_loss_of_the_scheduler_is_one_line_and_the_run_goes_on_elsewhere(docs):
    with Cluster(docs) as cluster:
        where = str(cluster.file)
        with subprocess.Popen(
            command(cluster=where), cwd=docs, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
        ) as running:
            while lines(docs) < 5:
                assert running.poll() is None
            cluster.scheduler.kill()
            _, said = running.communicate(timeout=60)
    assert running.returncode == 2
    *_, message, advice = said.splitlines()
    assert message.startswith("dataflow: the scheduler was lost")
    assert advice.startswith("resume with: dataflow run ")
    committed = len(pd.read_parquet(docs / "out"))
    assert 20 <= committed < DOCUMENTS
    finished(*quick("--resume"), cwd=docs)
    check(docs)


def test_a_killed_driver_leaves_no_worker_of_a_living_cluster_writing(docs):
    with Cluster(docs) as cluster:
        status, _ = interrupted(docs, signal.SIGKILL, 4, cluster=str(cluster.file))
        assert status == -signal.SIGKILL
        finished(*command("--resume", cluster=str(cluster.file)), cwd=docs)
    check(docs)


def test_two_drivers_cannot_write_one_folder(docs):
    with subprocess.Popen(quick(), cwd=docs, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as first:
        while not lines(docs):
            assert first.poll() is None
        first.send_signal(signal.SIGSTOP)
        second = subprocess.run(quick("--resume"), cwd=docs, capture_output=True, text=True)
        first.kill()
    assert second.returncode == 2
    assert second.stderr.splitlines() == [
        f"dataflow: output {docs}/out is being written by process {first.pid} on {os.uname().nodename}: "
        "wait for its end, or stop it."
    ]
    finished(*quick("--resume"), cwd=docs)
    check(docs)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (["--corpus", "others"], "its corpus was"),
        (["--workload", "OTHER"], "its stages were extract, words, not shout"),
        (["--workload", "CHANGED"], "stage words has changed since"),
        (["--output", "mine"], "isn't empty"),
    ],
    ids=["corpus", "stages", "code", "folder"],
)
def test_what_is_not_the_same_run_is_refused_in_one_line_and_left_alone(tmp_path, change, says):
    for name in ("docs", "others", "mine"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").write_text("a b")
    head = "from dataflow import Pipeline, stage\n\n"
    (tmp_path / "shout.py").write_text(
        head
        + "@stage\ndef shout(data: bytes) -> str:\n    return data.decode()\n\npipeline = Pipeline(shout)\n"
    )
    text = Path(SLOW).read_text()
    (tmp_path / "slow_words.py").write_text(text.replace("text.split()", "text.split(' ')"))
    paths = {"OTHER": "shout.py", "CHANGED": "slow_words.py"}
    finished(*quick(), cwd=tmp_path)
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*")}
    changed = quick("--resume", *(paths.get(c, c) for c in change))
    done = subprocess.run(changed, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert says in done.stderr
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*")} == before


def test_a_corpus_that_has_grown_is_gone_on_with_and_the_new_documents_are_counted(docs):
    finished(*quick(), cwd=docs, env={**os.environ, "SLOW_SECONDS": "0"})
    for i in range(3):
        (docs / "docs" / f"0100-{i}.txt").write_text("late")
    (docs / "docs" / "0007.txt").unlink()
    (docs / "docs" / "0008.txt").unlink()
    done = finished(*quick("--resume"), cwd=docs)
    assert "3 documents in" in done.stdout
    assert "note: the corpus has grown by 1 document since that run." in done.stderr
    assert "note: 2 documents of the output are no longer in the corpus; their rows stay." in done.stderr
    table = pd.read_parquet(docs / "out")
    assert len(table) == table.document.nunique() == DOCUMENTS + 3


def test_a_generated_corpus_cannot_be_resumed_and_that_is_said_first(tmp_path):
    done = subprocess.run(
        [*DATAFLOW, "run", "--output", "out", "--resume"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "dataflow corpus make" in done.stderr
    assert not (tmp_path / "out").exists()


def test_the_quarantine_is_listed_with_reasons_and_replayed(tmp_path):
    (tmp_path / "docs").mkdir()
    for i, text in enumerate(["a b", "BAD x", "c", "DIE y", "d"]):
        (tmp_path / "docs" / f"{i}.txt").write_text(text)
    env = {**os.environ, "MENDED": str(tmp_path / "mended")}
    finished(*command(), cwd=tmp_path, env=env)
    before = pd.read_parquet(tmp_path / "out").set_index("position").sort_index()
    listed = finished(*DATAFLOW, "quarantine", "ls", "out", cwd=tmp_path)
    (fields,) = [line.split("\t") for line in listed.stdout.splitlines()]
    assert fields[:2] == ["quarantined", "WorkerDied"]
    assert fields[3].endswith("docs/3.txt")
    assert "exit status 3" in fields[4]
    assert listed.stderr == "1 document; do them again: dataflow replay out\n"
    listed = finished(*DATAFLOW, "quarantine", "ls", "out", "--failed", cwd=tmp_path)
    assert {line.split("\t")[1] for line in listed.stdout.splitlines()} == {"WorkerDied", "DocumentError"}

    place = ["--cluster", "processes", "--workers", "1"]
    done = finished(*DATAFLOW, "replay", "out", *place, cwd=tmp_path, env=env)
    assert "1 quarantined" in done.stdout
    (tmp_path / "mended").touch()
    done = finished(*DATAFLOW, "replay", "out", "--failed", "--timeout", "9", *place, cwd=tmp_path, env=env)
    assert done.stdout.startswith("2 documents in")
    after = pd.read_parquet(tmp_path / "out").set_index("position").sort_index()
    assert after.document.tolist() == before.document.tolist()
    assert after.status.tolist() == ["ok"] * 5
    assert after.loc[3, "chunks"].tolist() == ["DIE", "y"]
    assert after.loc[3, "attempts"] > before.loc[3, "attempts"]
    rest = [after.loc[[0, 2, 4]], before.loc[[0, 2, 4]]]
    pd.testing.assert_frame_equal(*(r.drop(columns="chunks") for r in rest), check_dtype=False)
    nothing = finished(*DATAFLOW, "replay", "out", "--failed", *place, cwd=tmp_path)
    assert nothing.stdout == "nothing to replay: no document of out is quarantined or failed\n"
    assert {p.name for p in (tmp_path / "out" / "_dataflow").iterdir()} == {"lock", "manifest.jsonl"}


def test_a_folder_that_is_no_output_has_no_quarantine(tmp_path):
    for arguments in (["quarantine", "ls", "."], ["replay", "."]):
        done = subprocess.run([*DATAFLOW, *arguments], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 2
        assert done.stderr.startswith("dataflow: . isn't the output of a run")


@pytest.mark.parametrize("cache", ["none", "lru"])
@pytest.mark.parametrize("cluster", ["auto", "inline", "processes"])
def test_stages_that_import_parts_of_one_package_when_they_run_are_the_same_when_a_run_is_resumed(
    tmp_path, cluster, cache
):
    (tmp_path / "parts").mkdir()
    for name, text in {
        "__init__": "",
        "a": "def g(x):\n    return x\n",
        "b": "def h(x):\n    return x\n",
    }.items():
        (tmp_path / "parts" / f"{name}.py").write_text(text)
    (tmp_path / "both.py").write_text(
        "from dataflow import stage\n\n"
        "@stage\ndef first(data: bytes) -> str:\n    import parts.a\n    return parts.a.g(data.decode())\n\n"
        "@stage\ndef second(text: str) -> str:\n    import parts.b\n    return parts.b.h(text)\n"
    )
    (tmp_path / "mine.py").write_text(
        '"""Two stages."""\nfrom both import first, second\nfrom dataflow import Pipeline\n\n'
        "pipeline = Pipeline(first, second)\n"
    )
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.txt").write_text("hello")
    arguments = ["run", "--workload", "mine.py", "--corpus", "docs", "--output", "out", "--cache", cache]
    for more in ([], ["--resume"]):
        done = subprocess.run(
            [sys.executable, "-m", "dataflow", *arguments, "--cluster", cluster, *more],
            cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "other code" not in done.stdout
    assert pd.read_parquet(tmp_path / "out").text.tolist() == ["hello"]
