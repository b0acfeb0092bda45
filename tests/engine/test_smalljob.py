"""A job that is smaller than starting a cluster runs in one process; whatever it does to that, nothing is lost."""

import contextlib
import itertools
import os
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest

from dataflow import Pipeline, run
from dataflow.corpus import Corpus
from dataflow.document import Document
from dataflow.engine.executors import Done
from dataflow.engine.listing import Listing
from dataflow.engine.remembered import remember
from dataflow.engine.smalljob import SmallJob, SmallJobExecutor, look_at
from dataflow.errors import ClusterError
from dataflow.graph.plan import Batch, Plan
from dataflow.memo.spec import MemoSpec
from dataflow.profile import Cost
from dataflow.strategy import Strategy
from tests.support.waiting import wait_until


def documents(count, size):
    return (Document(f"{i}.txt", size, "text/plain") for i in range(count))


@contextlib.contextmanager
def listing_of(listed):
    listing = Listing(lambda: Corpus("<iterable>", listed))
    listing.number(enumerate)
    yield listing
    listing.close()


def drained(listing):
    found = []
    while not listing.ended:
        found += listing.take(1000)
    return found


def batch_of(number):
    return Batch(number, (Document("a.txt", 1, "text/plain"),), (0,), (0,))


def test_a_job_is_small_by_what_it_is_predicted_to_take():
    with listing_of(documents(3, 1000)) as listing:
        small = look_at(listing)
        assert small is not None
        assert small.documents == len(drained(listing)) == 3
    assert "3 documents" in str(small)


@pytest.mark.parametrize(("count", "size"), [(100_000, 10), (3, 1_000_000_000)])
def test_of_a_large_job_no_more_is_looked_at_than_says_so(count, size, monkeypatch):
    monkeypatch.setattr("dataflow.engine.smalljob.usable_cores", lambda: 2)
    looked_at = []

    def source():
        for document in documents(count, size):
            looked_at.append(document)
            yield document

    with listing_of(source()) as listing:
        assert look_at(listing) is None
        assert len(looked_at) <= 8192 + 256
        assert [position for position, *_ in drained(listing)] == list(range(count))


def test_no_cluster_is_started_for_it_and_a_note_says_so(words, write_corpus, monkeypatch):
    monkeypatch.setattr("dataflow.engine.starting.open_cluster", None)
    with run(words.pipeline, write_corpus("one two", "three")) as running:
        values = {outcome.position: outcome.value for outcome in running}
    assert values == {0: ["one", "two"], 1: ["three"]}
    (note,) = running.summary.notes
    assert "no cluster was started" in note
    assert running.dashboard_link is None


def test_the_documents_run_in_a_process_that_is_not_this_one(write_corpus):
    (outcome,) = run(Pipeline(whereabouts), write_corpus("one"))
    assert outcome.value != os.getpid()


def whereabouts(data: bytes) -> int:
    return os.getpid()


@pytest.mark.parametrize("poison", ["SEGFAULT", "DIE", "HANG_WITH_THE_LOCK"])
def test_a_document_that_ends_or_hangs_its_process_is_quarantined_and_nothing_else_is(
    words, write_corpus, poison
):
    folder = write_corpus("one", f"{poison} x", "two", "BAD x")
    outcomes = list(run(words.pipeline, folder, timeout_seconds=1.0))
    assert [o.status for o in sorted(outcomes, key=lambda o: o.position)] == [
        "ok",
        "quarantined",
        "ok",
        "failed",
    ]


def test_a_document_that_stops_its_process_is_quarantined_and_nothing_else_is(
    words, write_corpus, monkeypatch
):
    monkeypatch.setattr("dataflow.graph.overdue._SLACK_SECONDS", 0.0)
    outcomes = list(run(words.pipeline, write_corpus("one", "STOP x", "two"), timeout_seconds=1.0))
    assert {o.document[-8:]: (o.status, o.error_type) for o in outcomes} == {
        "0000.txt": ("ok", None),
        "0001.txt": ("quarantined", "TimeLimit"),
        "0002.txt": ("ok", None),
    }


def test_a_named_cluster_and_a_number_of_workers_are_what_the_user_wants(words, write_corpus):
    folder = write_corpus("one")
    for place in ({"cluster": "threads"}, {"workers": 1}):
        with run(words.pipeline, folder, **place) as running:
            assert running.dashboard_link
            assert [o.status for o in running] == ["ok"]


def test_leaving_early_ends_the_process(words, write_corpus):
    folder = write_corpus(*["word"] * 40, "HANG x")
    running = run(words.pipeline, folder, batching="fixed:1")
    next(running)
    running.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("dataflow-small-job")]


class Elsewhere:
    """The executor of a cluster, as far as it is asked here."""

    slots = 2

    def __init__(self):
        self.batches = []

    def start(self, plan):
        self.plan = plan

    def submit(self, batches):
        self.batches += batches

    def wait(self):
        done, self.batches = [Done(batch.number) for batch in self.batches], []
        return done

    def close(self):
        self.closed = True


def test_a_job_that_takes_longer_than_predicted_goes_on_on_a_cluster(monkeypatch):
    cluster, slow = Elsewhere(), threading.Event()
    executor = SmallJobExecutor(SmallJob(5, 0.1), lambda stack: cluster, itertools.count(0.0, 60.0).__next__)
    executor.start(Plan("feed", Pipeline(whereabouts), Strategy(), MemoSpec("none"), in_child=True))

    def run_here(plan, batch):
        if batch.number:
            slow.wait()
        return Done(batch.number)

    monkeypatch.setattr("dataflow.engine.smalljob.run_here", run_here)
    executor.submit([batch_of(number) for number in range(5)])
    assert [done.number for done in executor.wait()] == [0]
    # What was begun is left to end where it is.
    assert [done.number for done in executor.wait()] == [2, 3, 4]
    assert not cluster.plan.in_child
    slow.set()
    assert [done.number for done in executor.wait()] == [1]
    executor.submit([batch_of(9)])
    assert [done.number for done in executor.wait()] == [9]
    executor.close()
    assert cluster.closed


def test_a_consumer_that_takes_its_time_is_no_long_job(monkeypatch):
    now = [0.0]
    executor = SmallJobExecutor(SmallJob(9, 0.1), lambda stack: pytest.fail("a cluster"), lambda: now[0])
    executor.start(Plan("feed", Pipeline(whereabouts), Strategy(), MemoSpec("none"), in_child=True))
    monkeypatch.setattr("dataflow.engine.smalljob.run_here", lambda plan, batch: Done(batch.number))
    executor.submit([batch_of(number) for number in range(9)])
    done = []
    while len(done) < 9:
        done += executor.wait()
        now[0] += 60
    executor.close()


def test_a_source_that_is_slow_to_list_is_no_small_job():
    times, goes_on = iter([0.0, 0.5]), threading.Event()

    def feed():
        for number, document in enumerate(documents(50, 10)):
            if number == 3:
                assert goes_on.wait(60)
            yield document

    with listing_of(feed()) as listing:
        assert look_at(listing, clock=lambda: next(times, 1.5)) is None
        goes_on.set()
        assert len(drained(listing)) == 50


def test_a_pipeline_that_was_seen_to_be_dear_is_no_small_job_the_next_time(monkeypatch, tmp_path):
    for number in range(9):
        (tmp_path / f"{number}.txt").write_text("a few words")
    remember(Pipeline(whereabouts), {"text/plain": Cost(60.0, 0.0, mean_bytes=10.0, documents=99)})

    def opened(*given):
        raise ClusterError("it would have been a cluster")

    monkeypatch.setattr("dataflow.engine.starting.open_cluster", opened)
    with pytest.raises(ClusterError, match="would have been"):
        run(Pipeline(whereabouts), f"{tmp_path}/*.txt")


def test_the_processes_that_run_a_small_job_are_started_while_the_driver_still_prepares(monkeypatch):
    monkeypatch.setattr("dataflow.engine.smalljob.usable_cores", lambda: 2)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    executor = SmallJobExecutor(SmallJob(500, 2.0), lambda stack: Elsewhere())
    executor.start(Plan("early", Pipeline(whereabouts), Strategy(), MemoSpec("none"), in_child=True))
    wait_until(lambda: len(of_children()) == 3)  # the template, which they are forks of, among them
    executor.close()
    assert of_children() == []


def of_children():
    """The processes below this one that are for batches."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            found += [process] if "dataflow.graph.template" in process.cmdline() else []
    return found


@pytest.mark.parametrize(
    ("documents", "seconds", "cores", "processes"),
    [(1, 2.0, 8, 1), (500, 0.1, 8, 1), (500, 1.0, 8, 5), (500, 2.0, 2, 2)],
)
def test_no_more_processes_are_started_than_there_is_work_for(
    monkeypatch, documents, seconds, cores, processes
):
    monkeypatch.setattr("dataflow.engine.smalljob.usable_cores", lambda: cores)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert SmallJob(documents, seconds).processes == processes


def whereabouts_once_there_is(data: bytes) -> int:
    until = time.monotonic() + 30
    while not os.path.exists(data) and time.monotonic() < until:
        time.sleep(0.01)
    return os.getpid()


def test_what_had_waited_for_a_small_jobs_processes_is_done_by_the_workers_themselves(
    monkeypatch, write_corpus, processes, tmp_path
):
    """Their plan says that they may be ended, so they need no processes of their own."""
    monkeypatch.setattr("dataflow.engine.smalljob._PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr("dataflow.engine.smalljob._WORTH_SECONDS", 0.0)
    begun = tmp_path / "begun"

    def take_over(name):
        begun.touch()
        return contextlib.nullcontext(processes)

    monkeypatch.setattr("dataflow.engine.starting.open_cluster", take_over)
    folder = write_corpus(*[str(begun)] * 8)
    with run(Pipeline(whereabouts_once_there_is), folder, batching="fixed:1") as running:
        values = {outcome.value for outcome in running}
    assert values & set(processes.client.run(os.getpid).values())
    assert f"watched at {processes.dashboard_link}" in running.summary.notes[-1]
    assert len(running.summary.notes) == 2


def test_a_small_job_is_done_without_dask_and_without_the_parsers_of_other_documents(
    tmp_path,
):
    (tmp_path / "a.html").write_text("<p>one</p>")
    (tmp_path / "job.py").write_text(
        "import sys\n"
        "from dataflow import run\n"
        "from workloads.batch import pipeline\n"
        "if __name__ == '__main__':\n"
        "    print([outcome.status for outcome in run(pipeline, sys.argv[1], output=sys.argv[2])])\n"
        "    print({'dask', 'distributed', 'pandas', 'pypdfium2', 'docx'} & set(sys.modules))\n"
    )
    command = [sys.executable, "job.py", str(tmp_path / "a.html"), str(tmp_path / "out")]
    done = subprocess.run(
        command, capture_output=True, check=True, text=True, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": ":".join(sys.path)},
    )  # fmt: skip
    assert done.stdout.splitlines() == ["['ok']", "set()"]


@pytest.mark.parametrize(("documents", "goes_over"), [(5, True), (4, False)])
def test_for_the_little_that_is_left_no_cluster_is_started_any_more(monkeypatch, documents, goes_over):
    cluster = Elsewhere()
    executor = SmallJobExecutor(SmallJob(documents, 0.1), lambda stack: cluster)
    monkeypatch.setattr("dataflow.engine.smalljob.run_here", lambda plan, batch: Done(batch.number))
    executor.start(Plan("rest", Pipeline(whereabouts), Strategy(), MemoSpec("none"), in_child=True))
    executor.submit([batch_of(number) for number in range(3)])
    for _ in range(3):
        executor.wait()
    executor.submit([batch_of(number) for number in range(3, documents)])
    # Three of five in six seconds: four more to go; of four, two.
    monkeypatch.setattr(executor, "_waited", 6.0)
    executor.wait()
    executor.close()
    assert hasattr(cluster, "plan") == goes_over


def test_a_script_whose_call_is_made_by_each_process_that_imports_it_is_done_once_and_told_why_no_cluster_took_over(
    write_corpus, tmp_path
):
    (tmp_path / "job.py").write_text(
        "import sys\n"
        "from dataflow import Pipeline, run, stage\n"
        "from dataflow.engine import smalljob\n"
        "smalljob._PATIENCE_SECONDS = smalljob._WORTH_SECONDS = 0.0\n"
        "@stage\n"
        "def size(data: bytes) -> int:\n"
        "    return len(data)\n"
        "with run(Pipeline(size), sys.argv[1], batching='fixed:1', output=sys.argv[2]) as running:\n"
        "    print([o.status for o in running])\n"
        "    print(running.summary.notes[-1])\n"
    )
    command = [sys.executable, "job.py", str(write_corpus(*"abcdefgh")), str(tmp_path / "out")]
    done = subprocess.run(
        command, capture_output=True, check=False, text=True, cwd=tmp_path, timeout=60,
        env={**os.environ, "PYTHONPATH": ":".join(sys.path)},
    )  # fmt: skip
    assert done.returncode == 0
    statuses, note = done.stdout.splitlines()
    assert statuses == str(["ok"] * 8)
    assert "no cluster has taken over" in note
    assert "__name__ == '__main__'" in note
    assert "__name__ == '__main__'" in done.stderr
    assert "isn't empty" not in done.stderr  # which is no news: the run itself has written there


def ending_above(data: bytes) -> int:
    if data == b"end":
        os.kill(os.getppid(), signal.SIGKILL)
    return len(data)


def test_a_stage_that_ends_the_process_above_it_ends_nothing_that_is_needed(write_corpus):
    found = list(run(Pipeline(ending_above), write_corpus("end", "one", "two"), cluster="auto"))
    assert [outcome.value for outcome in found] == [3, 3, 3]
