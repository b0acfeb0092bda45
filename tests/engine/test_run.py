"""The whole way, on real worker processes and threads."""

import contextlib
import os
import signal
import subprocess
import sys
import threading

import fsspec
import pandas as pd
import pytest
from distributed import Client

from dataflow import Pipeline, run, stage
from dataflow.engine.clusters import open_cluster
from dataflow.errors import CacheError, CorpusError, OutputError, StrategyError, WorkloadError
from dataflow.graph import plan, table
from dataflow.memo.server import EmbeddedServer

TEXTS = [f"document {i} " + "word " * (i % 50) for i in range(200)]


def test_outcomes_are_streamed_with_their_values(cluster, words, write_corpus):
    outcomes = list(run(words.pipeline, write_corpus(*TEXTS), cluster=cluster.client))
    assert sorted(o.position for o in outcomes) == list(range(200))
    assert {o.value[1] for o in outcomes} == {str(i) for i in range(200)}


def test_with_an_output_pandas_reads_one_row_a_document(cluster, words, write_corpus, tmp_path):
    folder = write_corpus(*TEXTS, "BAD x", "EXIT x", "INTERRUPT x")
    with run(
        words.pipeline, folder, cluster=cluster.client, output=tmp_path / "out", batching="fixed:7"
    ) as running:
        assert all(o.value is None for o in running)
        assert running.summary.documents == {"ok": 200, "failed": 3}
        assert running.total == 203
    table = pd.read_parquet(tmp_path / "out")
    assert len(table) == table.document.nunique() == 203
    assert table[table.status == "failed"].error_type.tolist() == [
        "DocumentError",
        "SystemExit",
        "KeyboardInterrupt",
    ]
    assert {p.name for p in (tmp_path / "out").iterdir() if not p.name.startswith("part-")} == {"_dataflow"}


@pytest.mark.parametrize("poison", ["SEGFAULT", "DIE", "HANG_WITH_THE_LOCK"])
def test_a_document_that_kills_or_hangs_its_worker_is_quarantined_and_nothing_else_is(
    cluster, words, write_corpus, tmp_path, poison
):
    folder = write_corpus(*TEXTS[:100], f"{poison} x", *TEXTS[100:])
    options = {"timeout_seconds": 2.0, "batching": "fixed:16"}
    with run(words.pipeline, folder, cluster=cluster.client, output=tmp_path / "out", **options) as running:
        assert sum(1 for _ in running) == 201
    table = pd.read_parquet(tmp_path / "out")
    bad = table[table.status != "ok"]
    assert len(table) == table.document.nunique() == 201
    assert bad.status.tolist() == ["quarantined"]
    assert bad.document.str.endswith("0100.txt").all()
    assert bad.error_type.tolist() == ["TimeLimit" if "HANG" in poison else "WorkerDied"]


@pytest.mark.parametrize("variant", ["whole", "pieces"])
@pytest.mark.parametrize("place", ["cluster", "auto"])
def test_what_means_the_end_elsewhere_is_a_documents_own_failure_at_its_first_attempt(
    place, variant, cluster, words, write_corpus
):
    pipeline = words.pipeline if variant == "whole" else words.variants["pieces"]
    folder = write_corpus("one", "INTERRUPT x", "EXIT x", "LEAVE x", "CANCEL x", "two")
    where = cluster.client if place == "cluster" else place
    outcomes = sorted(
        run(pipeline, folder, cluster=where, batching="fixed:6"), key=lambda outcome: outcome.position
    )
    assert [o.error_type for o in outcomes] == [
        None, "KeyboardInterrupt", "SystemExit", "GeneratorExit", "CancelledError", None,
    ]  # fmt: skip
    assert {o.status for o in outcomes} == {"ok", "failed"}
    assert {o.attempts for o in outcomes} == {1}


def test_inline_an_interrupt_is_the_users(words, write_corpus):
    with pytest.raises(KeyboardInterrupt):
        list(run(words.pipeline, write_corpus("INTERRUPT x"), cluster="inline"))


def test_a_document_that_stops_its_worker_is_quarantined_and_nothing_else_is(
    cluster, words, write_corpus, monkeypatch
):
    monkeypatch.setattr("dataflow.engine.overdue._LOOK_SECONDS", 0.5)
    monkeypatch.setattr("dataflow.graph.overdue._SLACK_SECONDS", 0.0)
    folder = write_corpus(*TEXTS[:20], "STOP x", *TEXTS[20:40])
    outcomes = list(
        run(words.pipeline, folder, cluster=cluster.client, timeout_seconds=2.0, batching="fixed:4")
    )
    bad = [o for o in outcomes if o.status != "ok"]
    assert len(outcomes) == len({o.document for o in outcomes}) == 41
    assert [(o.document[-8:], o.status, o.error_type) for o in bad] == [
        ("0020.txt", "quarantined", "TimeLimit")
    ]


def test_a_document_that_leaves_its_worker_deaf_costs_nobody_anything(
    processes, words, write_corpus, monkeypatch, tmp_path
):
    """The worker is connected, takes batches, and does nothing: no note in the ledger says that it is at a document."""
    monkeypatch.setattr("dataflow.engine.overdue._LOOK_SECONDS", 0.5)
    monkeypatch.setattr("dataflow.engine.overdue._SILENT_SECONDS", 4.0)
    folder = write_corpus(*TEXTS[:4], "DEAF x", *TEXTS[4:8])
    list(run(words.pipeline, folder, cluster=processes.client, batching="fixed:1", output=tmp_path / "out"))
    table = pd.read_parquet(tmp_path / "out")
    assert len(table) == table.document.nunique() == 9
    assert set(table.status) == {"ok"}


def pids_that_answer(client):
    """Of its workers; one that was killed a moment ago may still be asked, and doesn't answer."""
    pids = []
    while not pids:
        pids = list(client.run(os.getpid, on_error="ignore").values())
    return pids


def test_workers_that_are_killed_from_outside_cost_nothing_but_time(processes, words, write_corpus, tmp_path):
    folder = write_corpus(*TEXTS)
    options = {"batching": "fixed:2", "cluster": processes.client, "output": tmp_path / "out"}
    with run(words.pipeline, folder, **options) as running:
        for number, _ in enumerate(running):
            if number in (10, 90, 150):
                pids = pids_that_answer(processes.client)
                os.kill(pids[number % len(pids)], signal.SIGKILL)
    table = pd.read_parquet(tmp_path / "out")
    assert len(table) == table.document.nunique() == 200
    assert set(table.status) == {"ok"}


@pytest.mark.parametrize("gap", ["after a document", "after a node"])
def test_a_worker_that_is_killed_between_two_documents_of_a_batch_costs_an_attempt_and_nobody_is_quarantined(
    gap, words, write_corpus, tmp_path
):
    """Between documents the ledger still has the last one, which the sandbox finds innocent; between nodes, none."""
    died = tmp_path / "died"

    def die_once():
        from dataflow.graph import nodes
        from dataflow.graph.turns import Turns

        def ending(function, when):
            def run_and_die(*args):
                result = function(*args)
                if when(*args) and not died.exists():
                    died.touch()
                    os.kill(os.getpid(), signal.SIGKILL)  # from which this thread doesn't come back
                return result

            return run_and_die

        if gap == "after a document":
            nodes.run_stage = ending(
                nodes.run_stage, lambda turns, item, stage: (item.position, stage) == (5, 0)
            )
        else:
            Turns.__exit__ = ending(Turns.__exit__, lambda turns, *_: turns.item.position == 7)

    folder = write_corpus(*TEXTS[:16])
    with open_cluster("processes", 2) as opened:
        opened.client.run(die_once)
        list(run(words.pipeline, folder, cluster=opened.client, output=tmp_path / "out", batching="fixed:4"))
    table = pd.read_parquet(tmp_path / "out")
    assert died.exists()
    assert len(table) == table.document.nunique() == 16
    assert set(table.status) == {"ok"}
    again = table[table.attempts > 1].position.tolist()
    assert again == ([5] if gap == "after a document" else [])


def test_leaving_early_cancels_what_is_in_flight_and_keeps_what_is_committed(
    processes, words, write_corpus, tmp_path
):
    def tasks():
        return set(processes.client.run_on_scheduler(lambda dask_scheduler: list(dask_scheduler.tasks)))

    folder, before = write_corpus(*TEXTS), tasks()  # Dask may hold on to one that failed in an earlier run
    with run(
        words.pipeline, folder, cluster=processes.client, output=tmp_path / "out", batching="fixed:2"
    ) as running:
        for _ in zip(range(5), running, strict=False):
            pass
        committed = running.committed
    assert 5 <= committed < 200
    assert len(pd.read_parquet(tmp_path / "out")) == committed
    assert pids_that_answer(processes.client)
    assert tasks() <= before


@pytest.mark.parametrize("where", ["inline", "auto", "processes"])
@pytest.mark.parametrize("collect", ["as_completed", "ordered", "gather"])
def test_closing_ends_the_iterating_of_another_thread_and_keeps_what_is_committed(
    where, collect, processes, write_corpus, tmp_path
):
    gate = tmp_path / "gate"

    @stage
    def until_the_gate_opens(data: bytes) -> str:
        import os
        import time

        while data.endswith(b"9") and not os.path.exists(gate):
            time.sleep(0.01)
        return data.decode()

    folder = write_corpus(*(f"document {n}" for n in range(20)))
    options = {"cluster": processes.client if where == "processes" else where, "output": tmp_path / "out"}
    going = run([until_the_gate_opens], folder, collect=collect, batching="fixed:1", **options)
    seen, failed, asking = [], [], threading.Event()

    def iterate() -> None:
        try:
            asking.set()
            seen.extend(going)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=iterate)
    thread.start()
    asking.wait()
    opener = threading.Timer(0.3, gate.touch)  # in this very process, the batch that is computed has to end
    opener.start()
    going.close()
    thread.join(30)
    opener.join()
    assert not thread.is_alive()
    assert failed == []
    assert list(going) == []
    rows = len(pd.read_parquet(tmp_path / "out")) if going.committed else 0
    assert len(seen) <= rows == going.committed < 20
    done = list(run([until_the_gate_opens], folder, resume=True, **options))
    assert len(done) == 20 - rows
    assert sorted(pd.read_parquet(tmp_path / "out").document.value_counts()) == [1] * 20


@pytest.mark.parametrize("written", [0, 2])
def test_a_part_that_is_being_written_when_a_run_is_closed_neither_stays_nor_hinders_the_next(
    written, words, write_corpus, tmp_path, monkeypatch
):
    output, folder = tmp_path / "out", write_corpus(*TEXTS[:6])
    write, at_once = table.write_table, threading.Semaphore(written)
    begun, closed, ended = threading.Event(), threading.Event(), threading.Event()

    def write_late(*part):
        if at_once.acquire(blocking=False):
            return write(*part)
        begun.set()
        closed.wait(0.5)  # less where the run doesn't wait for the part
        try:
            return write(*part)
        finally:
            ended.set()

    in_process = Client(processes=False, n_workers=1, threads_per_worker=1, dashboard_address=":0")
    with in_process as client, monkeypatch.context() as patched:
        patched.setattr(table, "write_table", write_late)
        options = {"cluster": client, "output": output, "batching": "fixed:1"}
        with run(words.pipeline, folder, **options) as running:
            iterating = threading.Thread(target=list, args=(running,))
            iterating.start()
            assert begun.wait(30)
        closed.set()
        assert ended.wait(30)
        iterating.join(30)
        assert len(list(output.glob("*.parquet"))) == running.committed <= written
        patched.undo()
        done = list(run(words.pipeline, folder, resume=True, **options))
    assert len(done) == 6 - running.committed
    assert sorted(pd.read_parquet(output).position) == list(range(6))


def test_a_parser_that_leaks_memory_costs_a_worker_now_and_then_and_no_document(
    changed, write_corpus, tmp_path
):
    """Dask would pause a worker at four fifths of its memory, which never comes back, and the run stood still."""

    @stage
    def leaking(data: bytes) -> str:
        import sys
        import time

        sys.__dict__.setdefault("leaked", []).append(b"x" * 10_000_000)
        time.sleep(0.05)  # Dask looks five times a second
        return data.decode()

    folder = write_corpus(*(f"document {n}" for n in range(50)))
    with open_cluster(changed(memory_limit="400MiB", n_workers=1)) as opened:
        first = set(opened.client.run(os.getpid).values())
        options = {"cluster": opened.client, "output": tmp_path / "out", "batching": "fixed:2"}
        list(run([leaking], folder, **options))
        assert not first & set(opened.client.run(os.getpid).values())
    table = pd.read_parquet(tmp_path / "out")
    assert len(table) == table.document.nunique() == 50
    assert set(table.status) == {"ok"}


@pytest.mark.parametrize("where", ["inline", "auto", "processes"])
def test_a_stage_may_start_processes_of_its_own_wherever_it_runs(where, processes, write_corpus):
    """A small job that takes long goes over to a cluster: what was ok before then must not fail there."""

    @stage
    def starting_one(data: bytes) -> int | None:
        import multiprocessing

        process = multiprocessing.get_context("fork").Process(target=len, args=(data,))
        process.start()
        process.join()
        return process.exitcode

    cluster = processes.client if where == "processes" else where
    outcomes = list(run([starting_one], write_corpus("one", "two"), cluster=cluster))
    assert [(o.status, o.value) for o in outcomes] == [("ok", 0)] * 2


def test_a_stage_that_signals_its_process_group_ends_its_worker_and_not_the_driver(cluster, write_corpus):
    """As one does that started a helper without a session of its own, and tidies up."""

    @stage
    def tidying_up(data: bytes) -> str:
        import os
        import signal

        if data == b"tidy":
            os.killpg(os.getpgrp(), signal.SIGTERM)
            signal.pause()
        return data.decode()

    assert os.getpgrp() not in cluster.client.run(os.getpgrp).values()
    outcomes = list(run([tidying_up], write_corpus("one", "tidy", "two"), cluster=cluster.client))
    assert sorted(o.status for o in outcomes) == ["ok", "ok", "quarantined"]


def test_nothing_of_a_run_is_left_on_the_workers(processes, words, write_corpus):
    list(run(words.pipeline, write_corpus("a b"), cluster=processes.client))
    assert set(processes.client.run(lambda: len(plan._plans)).values()) == {0}


@pytest.mark.parametrize("fuse", [True, False])
@pytest.mark.parametrize("cache", ["lru", "redis"])
def test_a_cache_changes_no_outcome_and_answers_the_second_time(processes, words, write_corpus, cache, fuse):
    from dataflow.memo.server import find_server

    folder = write_corpus(*TEXTS, "BAD x")
    with find_server(None) as server:
        options = {
            "cluster": processes.client,
            "cache": cache,
            "fuse": fuse,
            "redis_url": server.url,
            "admission": False,
        }
        plain = {o.document: (o.status, o.value) for o in run(words.pipeline, folder, cluster="inline")}
        cold = list(run(words.pipeline, folder, **options))
        warm = list(run(words.pipeline, folder, **options))
    for outcomes in (cold, warm):
        assert {o.document: (o.status, o.value) for o in outcomes} == plain
    if cache == "redis":
        assert {o.cache for o in warm if o.status == "ok"} == {"redis"}


def test_a_redis_that_dies_in_the_middle_costs_only_the_hits(processes, words, write_corpus):
    from dataflow.memo.server import find_server

    with find_server(None) as server:
        options = {
            "cluster": processes.client,
            "cache": "redis",
            "redis_url": server.url,
            "batching": "fixed:4",
        }
        with run(words.pipeline, write_corpus(*TEXTS), **options) as running:
            for number, outcome in enumerate(running):
                assert outcome.status == "ok"
                if number == 20:
                    os.kill(server.embedded.pid, signal.SIGKILL)
            assert running.summary.total == 200


def test_documents_that_only_the_driver_can_read_run_on_processes(processes, words):
    store = fsspec.filesystem("memory")
    for i in range(20):
        store.pipe(f"/run-test/{i}.txt", f"document {i}".encode())
    outcomes = list(run(words.pipeline, "memory://run-test", cluster=processes.client))
    assert {o.value[1] for o in outcomes} == {str(i) for i in range(20)}


def test_a_value_that_cannot_be_sent_is_that_documents_failure(processes, write_corpus):
    @stage
    def lock_for_b(data: bytes):
        return threading.Lock() if data == b"b" else data

    outcomes = list(run(Pipeline(lock_for_b), write_corpus("a", "b", "c"), cluster=processes.client))
    assert sorted(o.status for o in outcomes) == ["failed", "ok", "ok"]


def test_a_value_that_does_not_fit_its_column_is_that_documents_failure(processes, write_corpus, tmp_path):
    @stage
    def number_for_b(data: bytes) -> str:
        return 3 if data == b"b" else data.decode()

    list(
        run(
            Pipeline(number_for_b),
            write_corpus("a", "b", "c"),
            cluster=processes.client,
            output=tmp_path / "o",
        )
    )
    table = pd.read_parquet(tmp_path / "o").sort_values("document")
    assert table.status.tolist() == ["ok", "failed", "ok"]
    assert table.error_type.tolist()[1] == "UnwritableValue"


def test_a_pipeline_that_cannot_travel_is_refused_before_anything_is_written(
    processes, write_corpus, tmp_path
):
    held = threading.Lock()

    @stage
    def locked(data: bytes) -> int:
        with held:
            return len(data)

    with pytest.raises(WorkloadError, match="can't be sent"):
        run(Pipeline(locked), write_corpus("a"), cluster=processes.client, output=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_memoized_is_said_and_still_runs(write_corpus):
    @stage(pure=False)
    def impure(data: bytes) -> int:
        return len(data)

    with run(Pipeline(impure), write_corpus("a"), cluster="inline", cache="lru") as running:
        assert [o.value for o in running] == [1]
        assert running.summary.uncacheable == "stage impure says pure=False"


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"corpus": "/nope"}, CorpusError),
        ({"cache": "nonsense"}, StrategyError),
        ({"cache": "redis", "redis_url": "redis://:secret@127.0.0.1:1/0"}, CacheError),
        ({"output": "/proc/nope/out"}, OutputError),
    ],
)
def test_a_mistake_is_found_before_anything_is_written(words, write_corpus, tmp_path, options, error):
    arguments = {"corpus": write_corpus("a"), "output": tmp_path / "out", "cluster": "inline", **options}
    with pytest.raises(error) as caught:
        run(words.pipeline, arguments.pop("corpus"), **arguments)
    assert "secret" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_threads_and_processes_give_the_same_text_for_every_format(words, tmp_path, processes):
    from dataflow.engine.clusters import open_cluster
    from dataflow.workload import load_workload

    mixed = load_workload("mixed")
    (tmp_path / "corpus").mkdir()
    mixed.generate(tmp_path / "corpus", documents=80, seed=3)

    def rows(client):
        found = run(mixed.pipeline, tmp_path / "corpus", cluster=client)
        return {o.document: (o.status, o.error, o.value) for o in found}

    with open_cluster("threads", 4) as threads:
        assert rows(threads.client) == rows(processes.client)


@pytest.mark.parametrize("thread_safe", [True, False])
def test_a_stage_that_is_not_thread_safe_runs_in_one_thread_at_a_time(write_corpus, thread_safe):
    from dataflow.engine.clusters import open_cluster

    @stage(thread_safe=thread_safe, pure=False)
    def most_at_once(data: bytes) -> int:
        import threading
        import time

        import dataflow

        # Kept in the worker: the stage itself comes anew with each run.
        counter = dataflow.__dict__.setdefault(f"counter_{data.decode()}", [0, 0, threading.Lock()])
        with counter[2]:
            counter[0] += 1
            counter[1] = max(counter[1], counter[0])
        time.sleep(0.002)
        with counter[2]:
            counter[0] -= 1
        return counter[1]

    folder = write_corpus(*[str(thread_safe)] * 100)
    with open_cluster("threads", 4) as threads:
        found = list(run(Pipeline(most_at_once), folder, cluster=threads.client, batching="fixed:5"))
    most = max(o.value for o in found)
    assert most == 1 if not thread_safe else most > 1


def test_workers_that_hold_other_code_compute_as_they_can_and_keep_nothing(tmp_path):
    """A cluster that lives on has modules as they were; what it makes of them must not be kept as the new code's."""
    module = tmp_path / "helpers_of_a_test.py"
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents" / "a.txt").write_text("abc")
    driver = (
        "import sys; sys.path.insert(0, {folder!r}); import helpers_of_a_test as helpers\n"
        "from dataflow import Pipeline, run\n"
        "if __name__ == '__main__':\n"
        "    options = dict(cluster={cluster!r}, cache='redis', redis_url={url!r}, search_path=[{folder!r}])\n"
        "    with run(Pipeline(helpers.size), {folder!r} + '/documents', **options) as outcomes:\n"
        "        (outcome,) = outcomes\n"
        "    print(outcome.value, outcome.cache, int(outcomes.summary.counters.get('other_code', 0)))\n"
    )

    def drive(cluster: str, url: str) -> str:
        code = driver.format(folder=str(tmp_path), cluster=cluster, url=url)
        done = subprocess.run([sys.executable, "-B", "-c", code], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def write(factor: int) -> None:
        module.write_text(
            f"from dataflow import stage\n\n@stage\ndef size(data: bytes) -> int:\n    return len(data) * {factor}\n"
        )

    with open_cluster("processes", 1) as cluster, EmbeddedServer() as server:
        address = cluster.client.scheduler_info()["address"]
        write(2)
        assert drive(address, server.url) == "6 None 0"
        assert drive(address, server.url) == "6 redis 0"
        write(50)  # of another length: within a second of the last, Python takes it for what it has compiled
        assert drive(address, server.url) == "6 None 1"
        assert drive("inline", server.url) == "150 None 0"


def forking(data: bytes) -> str:
    if data == b"plain":
        return "plain"
    pid = os.fork()
    if pid == 0 and data == b"forks":
        raise SystemExit(7)
    if pid == 0:
        return "a copy"
    return f"{data.decode()}: {os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}"


@pytest.mark.parametrize("cluster", ["auto", "inline", "processes"])
def test_a_copy_of_the_process_that_a_stage_makes_answers_for_no_document(
    cluster, processes, write_corpus, tmp_path
):
    folder = write_corpus(*(["plain"] * 10), "forks", *(["plain"] * 10), "fork and go on", *(["plain"] * 18))
    where = processes.client if cluster == "processes" else cluster
    found = list(
        run(Pipeline(stage(forking)), folder, cluster=where, output=tmp_path / "out", batching="fixed:4")
    )
    assert len(found) == len({o.document for o in found}) == 40
    table = pd.read_parquet(tmp_path / "out")
    assert len(table) == table.document.nunique() == 40
    assert set(table.status) == {"ok"}
    assert table.text.value_counts().to_dict() == {"plain": 38, "forks: 7": 1, "fork and go on: 0": 1}


def leaking(data: bytes) -> str:
    if data == b"leaks":
        with contextlib.suppress(OSError):
            while True:
                os.open(os.devnull, os.O_RDONLY)
    return data.decode()


@pytest.mark.parametrize("cluster", ["auto", "processes"])
@pytest.mark.parametrize("to", ["a folder", "nowhere"])
def test_a_document_that_takes_all_file_descriptors_costs_its_neighbours_nothing(
    cluster, to, processes, write_corpus, tmp_path
):
    folder = write_corpus(*(["plain"] * 20), "leaks", *(["plain"] * 20))
    where = processes.client if cluster == "processes" else cluster
    output = tmp_path / "out" if to == "a folder" else None
    found = list(run(Pipeline(stage(leaking)), folder, cluster=where, output=output, batching="fixed:8"))
    assert len(found) == len({o.document for o in found}) == 41
    bad = [(o.status, o.error_type) for o in found if o.status != "ok"]
    assert bad == [("quarantined", "TooManyOpenFiles")]  # with values too: nobody could fetch them from there
    if output:
        table = pd.read_parquet(output)
        assert len(table) == table.document.nunique() == 41


def test_workers_that_an_earlier_run_has_left_no_file_descriptor_are_replaced(write_corpus):
    folder = write_corpus("leaks", *(["plain"] * 20))
    leaks, *plain = sorted(f"{folder}/{name}" for name in os.listdir(folder))
    with open_cluster("processes", 1) as opened:
        for _ in range(2):
            list(run(Pipeline(stage(leaking)), [leaks], cluster=opened.client))
            found = list(run(Pipeline(stage(leaking)), plain, cluster=opened.client))
            assert [o.status for o in found] == ["ok"] * 20


def test_a_run_that_is_closed_by_whom_its_batches_are_told_ends_there(
    processes, words, write_corpus, tmp_path
):
    told = []

    def see(result):
        told.append(result)
        running.close()

    options = {
        "cluster": processes.client,
        "batching": "fixed:5",
        "output": tmp_path / "out",
        "on_batch": see,
    }
    running = run(words.pipeline, write_corpus(*TEXTS), **options)
    assert list(running) == []
    assert len(told) == 1
    assert len(pd.read_parquet(tmp_path / "out")) == running.committed < 200


class NeverPacked:
    def __reduce__(self):
        import time

        time.sleep(3600)
        return NeverPacked, ()


@stage
def packed_or_not(data: bytes) -> object:
    return NeverPacked() if data == b"never" else data.decode()


def test_a_value_that_is_never_packed_is_quarantined_and_nothing_else_is(processes, write_corpus):
    folder = write_corpus("one", "never", "two")
    options = {"cluster": processes.client, "batching": "fixed:3", "timeout_seconds": 1.0}
    outcomes = sorted(run(packed_or_not, folder, **options), key=lambda o: o.position)
    assert [o.value for o in outcomes] == ["one", None, "two"]
    assert (outcomes[1].status, outcomes[1].error_type) == ("quarantined", "TimeLimit")
    assert "in stage write" in outcomes[1].error


class Forks:
    def __del__(self):
        if self.forks:
            self.forks = False
            os.fork()

    def __init__(self, forks):
        self.forks = forks

    def __reduce__(self):
        return str, ("made",)


@stage
def forks_or_not(data: bytes) -> object:
    return Forks(data == b"7")


def test_a_copy_of_its_process_that_a_document_leaves_answers_for_none(write_corpus):
    """It answered beside its original, and all that came after was another batch's answer."""
    outcomes = list(run(forks_or_not, write_corpus(*map(str, range(40))), cluster="auto", batching="fixed:3"))
    assert sorted(o.position for o in outcomes) == list(range(40))
    assert {(o.status, o.value) for o in outcomes} == {("ok", "made")}


@stage
def limits_files_or_not(data: bytes) -> str:
    import resource

    if data == b"7":
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    return data.decode()


@pytest.mark.parametrize("where", ["auto", "processes"])
def test_a_document_that_forbids_its_process_to_write_files_is_quarantined_and_nothing_else_is(
    where, processes, write_corpus, tmp_path
):
    cluster = processes.client if where == "processes" else where
    folder, output = write_corpus(*map(str, range(20))), tmp_path / "out"
    list(run(limits_files_or_not, folder, cluster=cluster, batching="fixed:3", output=output))
    rows = pd.read_parquet(output)
    assert sorted(rows.position) == list(range(20))
    (bad,) = rows[rows.status != "ok"].itertuples()
    assert (bad.status, bad.position) == ("quarantined", 7)
    assert "set a limit on the length of files" in bad.error
