"""How a plan comes to the workers, and what may happen meanwhile."""

import asyncio
import itertools
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pandas
import pytest

from dataflow import Document, Pipeline, run, stage
from dataflow.engine import distributing
from dataflow.engine.distributing import DaskExecutor
from dataflow.errors import ClusterError
from dataflow.graph import plan as plans
from dataflow.graph.plan import Batch, Plan
from dataflow.memo.spec import MemoSpec
from dataflow.strategy import Strategy


class WhenLoaded:
    """Has something done where it is unpickled."""

    def __init__(self, action, *arguments):
        self.action, self.arguments = action, arguments

    def __reduce__(self):
        return self.action, self.arguments


def pipeline_that(loads):
    @stage
    def size(data: bytes) -> int:
        return len(data) if loads is not None else 0

    return Pipeline(size)


def test_a_worker_that_dies_while_it_loads_the_plan_costs_nothing(processes, write_corpus, tmp_path):
    def die_once(died):
        try:
            os.mkdir(died)
        except FileExistsError:
            return died
        os._exit(3)

    pipeline = pipeline_that(WhenLoaded(die_once, str(tmp_path / "died")))
    found = list(run(pipeline, write_corpus("a", "bc"), cluster=processes.client))
    assert (tmp_path / "died").exists()
    assert [o.status for o in found] == ["ok", "ok"], found
    assert sorted(o.value for o in found) == [1, 2]


def test_a_plan_that_ends_all_workers_is_one_clear_line_and_the_cluster_goes_on(
    processes, write_corpus, tmp_path
):
    corpus = write_corpus("a", "bc")
    with pytest.raises(ClusterError, match="can't load the pipeline: it ends their processes"):
        run(pipeline_that(WhenLoaded(os._exit, 3)), corpus, cluster=processes.client, output=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    found = list(run(pipeline_that("nothing"), corpus, cluster=processes.client))
    assert sorted(o.value for o in found) == [1, 2]


def test_a_folder_whose_run_can_not_go_on_where_workers_do_not_load_the_plan_is_as_it_was(
    processes, write_corpus, tmp_path
):
    def die_if(flag):
        if os.path.exists(flag):
            os._exit(3)
        return flag

    flag, out = tmp_path / "flag", tmp_path / "out"
    pipeline, corpus = pipeline_that(WhenLoaded(die_if, str(flag))), write_corpus(*"abcdef")
    options = {"cluster": processes.client, "output": out, "batching": "fixed:1"}
    with run(pipeline, corpus, **options) as running:
        next(iter(running))
    before = len(pandas.read_parquet(out))
    flag.touch()
    with pytest.raises(ClusterError, match="can't load the pipeline"):
        run(pipeline, corpus, resume=True, **options)
    assert len(pandas.read_parquet(out)) == before
    flag.unlink()
    with run(pipeline, corpus, resume=True, **options) as running:
        assert len(list(running)) == 6 - before
    assert sorted(pandas.read_parquet(out).document) == sorted(map(str, Path(corpus).iterdir()))


def test_whoever_gives_up_while_the_workers_load_need_not_wait_for_them(processes, tmp_path):
    def loading():
        return set(processes.client.run(lambda: len(plans._plans)).values())

    os.mkfifo(tmp_path / "gate")
    pipeline = pipeline_that(WhenLoaded(open, str(tmp_path / "gate")))
    executor = DaskExecutor(processes.client)
    executor.start(Plan("slowload", pipeline, Strategy(), MemoSpec("none")))
    closing = threading.Thread(target=executor.close)
    closing.start()
    closing.join(30)
    waited = closing.is_alive()
    with open(tmp_path / "gate", "w"):  # opened once a worker is at it, and both are let go
        closing.join()
        assert any(loading() == {0} for _ in range(1000))
    assert not waited


def test_nobody_is_taken_for_silent_while_a_plan_is_loaded(processes, tmp_path):
    """Workers load it in the thread in which they speak, and other runs would see them silent."""
    nannies = SimpleNamespace(heard=lambda run: {41: 100.0})
    os.mkfifo(tmp_path / "gate")
    pipeline = pipeline_that(WhenLoaded(open, str(tmp_path / "gate")))
    executor = DaskExecutor(processes.client)
    assert distributing._heard(nannies, "another") == {41: 100.0}
    executor.start(Plan("silentload", pipeline, Strategy(), MemoSpec("none")))
    assert distributing._heard(nannies, "another") == {}
    with open(tmp_path / "gate", "w"):
        executor.ready()
    assert distributing._heard(nannies, "another") == {41: 100.0}
    executor.close()


def ended(executor, batches):
    """The results of batches that were sent in one message."""
    executor.submit(batches)
    results = []
    while len(results) < len(batches):
        results += [done.result for done in executor.wait()]
    return results


def test_batches_that_are_sent_together_go_to_workers_that_are_free_together(processes):
    """Without a bound, Dask takes them for parts of one collection after a few, and gives them all to one worker."""
    executor = DaskExecutor(processes.client)
    executor.start(Plan("together", pipeline_that("nothing"), Strategy(), MemoSpec("none")))
    document = Document("memory://never/read.txt", 4, "text/plain")
    numbers = itertools.count()

    def batches(count):
        return [Batch(next(numbers), (document,), (0,), (0,), (b"text",)) for _ in range(count)]

    for _ in range(12):
        ended(executor, batches(1))
    pairs = [{result.worker for result in ended(executor, batches(2))} for _ in range(10)]
    executor.close()
    assert [len(pair) for pair in pairs] == [2] * 10


@pytest.fixture
def placed(processes):
    """An executor that decides which worker a batch is for, and batches for it by what they are predicted to take."""
    executor = DaskExecutor(processes.client, placing=processes.placing)
    executor.start(Plan("placed", pipeline_that("nothing"), Strategy(), MemoSpec("none")))
    document = Document("memory://never/read.txt", 4, "text/plain")
    numbers = itertools.count()

    def of(*seconds):
        return [Batch(next(numbers), (document,), (0,), (0,), (b"text",), seconds=one) for one in seconds]

    yield executor, of
    executor.close()


def test_a_batch_waits_behind_the_worker_that_is_predicted_to_be_free_first(placed):
    executor, of = placed
    for _ in range(5):
        dear, *cheap = sorted(ended(executor, of(100.0, 0.1, 0.1, 0.1)), key=lambda result: result.number)
        assert {result.worker for result in cheap} & {dear.worker} == set()
        assert len({result.worker for result in cheap}) == 1


def test_a_batch_for_a_worker_that_has_gone_is_done_by_another(placed):
    executor, of = placed
    executor._placing.know({"tcp://127.0.0.1:1": 1, "tcp://127.0.0.1:2": 1})
    assert len(ended(executor, of(1.0, 2.0, 3.0))) == 3


def test_results_that_die_with_all_workers_are_computed_again_by_those_that_come_in_their_place(
    processes, write_corpus
):
    corpus = write_corpus(*"abcdefghijkl")
    with run(pipeline_that("nothing"), corpus, cluster=processes.client, batching="fixed:1") as running:
        outcomes = iter(running)
        found = [next(outcomes)]
        while any(processes.client.processing().values()):
            pass  # what is in flight gets done, and lies on the workers
        for pid in processes.client.run(os.getpid).values():
            os.kill(pid, signal.SIGKILL)
        found += outcomes
    assert sorted(outcome.status for outcome in found) == ["ok"] * 12


def test_documents_that_end_all_workers_at_once_take_nobody_along(processes, write_corpus):
    @stage
    def parse(data: bytes) -> int:
        if data == b"end":
            os._exit(7)
        return len(data)

    corpus = write_corpus(*["end" if n % 4 > 1 else "fine" for n in range(16)])
    found = list(run(Pipeline(parse), corpus, cluster=processes.client, batching="fixed:1"))
    assert sorted(outcome.status for outcome in found) == ["ok"] * 8 + ["quarantined"] * 8


class Threads(dict):
    """Threads by worker, to be awaited or not, as a client gives them."""

    def __await__(self):
        yield from ()
        return self


class Shrinking:
    """A client of a cluster whose workers come and go."""

    status = "running"

    def __init__(self):
        self.workers = Threads({"tcp://one": 1, "tcp://two": 1})

    def scheduler_info(self):
        return {"address": "tcp://scheduler"}

    def nthreads(self):
        return self.workers


def test_workers_that_stay_away_are_started_again_and_those_that_come_back_are_not(monkeypatch):
    client, now, revived = Shrinking(), [100.0], []
    monkeypatch.setattr("dataflow.engine.distributing.time.monotonic", lambda: now[0])
    nannies = SimpleNamespace(revive=revived.append)
    executor = DaskExecutor(client, nannies=nannies)

    def pass_seconds(seconds):
        for _ in range(seconds):
            now[0] += 1
            executor._look_after()

    pass_seconds(20)
    both, client.workers = client.workers, {"tcp://one": 1}
    pass_seconds(4)
    client.workers = both
    pass_seconds(20)
    assert True not in revived
    client.workers = {"tcp://two": 1}
    pass_seconds(11)
    assert revived.count(True) == 1


def test_a_worker_that_goes_while_all_are_told_something_is_not_waited_for(monkeypatch):
    monkeypatch.setattr("dataflow.engine.distributing._LOOK_SECONDS", 0.01)
    client = Shrinking()
    executor = DaskExecutor(client)

    async def answers():
        return "loaded"

    async def is_lost():
        client.workers = Threads({"tcp://two": 1, "tcp://three": 1})
        await asyncio.Event().wait()

    with ThreadPoolExecutor(1) as elsewhere:  # since a loop may be running on this thread
        assert elsewhere.submit(asyncio.run, executor._of_all(answers())).result() == "loaded"
        with pytest.raises(ConnectionError):
            elsewhere.submit(asyncio.run, executor._of_all(is_lost())).result()


def test_a_result_whose_worker_has_gone_is_asked_for_again(monkeypatch):
    """Dask would try to reach that worker for half a minute."""
    monkeypatch.setattr("dataflow.engine.distributing._LOOK_SECONDS", 0.01)
    client, asked = Shrinking(), []

    async def gather(futures, asynchronous):
        asked.append(futures)
        if len(asked) == 1:
            client.workers = Threads({"tcp://two": 1})
            await asyncio.Event().wait()
        return ["found"]

    client.gather = gather
    executor = DaskExecutor(client)
    with ThreadPoolExecutor(1) as elsewhere:
        loop = asyncio.new_event_loop()
        running = elsewhere.submit(loop.run_forever)
        monkeypatch.setattr(executor, "_on_loop", lambda task: asyncio.run_coroutine_threadsafe(task, loop))
        assert executor._fetch(["a future"]) == ["found"]
        loop.call_soon_threadsafe(loop.stop)
        running.result()
        loop.close()
    assert len(asked) == 2


@stage
def slowly(data: bytes) -> int:
    import time

    time.sleep(0.02)
    return int(data)


def test_a_run_goes_on_when_its_cluster_is_restarted(write_corpus):
    from dataflow.engine.clusters import open_cluster

    folder = write_corpus(*map(str, range(60)))
    with open_cluster("processes", 2) as opened:
        outcomes = []
        for outcome in run(slowly, folder, cluster=opened.client, batching="fixed:4"):
            if len(outcomes) == 10:
                opened.client.restart()
            outcomes.append(outcome)
    assert sorted(o.value for o in outcomes) == list(range(60))
