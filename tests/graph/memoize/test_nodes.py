"""A node computes once for all who ask, is stored under its tag and name, and stands in nobody's way."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import types
import uuid

import dask
import numpy as np
import pytest
from dask.delayed import delayed

from dataflow.errors import CacheError
from dataflow.graph.memoize import memoize
from dataflow.graph.memoize.nodes import MemoNode, node_counters
from dataflow.memo.admin import invalidate_stage
from dataflow.memo.base import WON
from dataflow.memo.sealed import SealedMemo
from dataflow.memo.server import EmbeddedServer
from dataflow.memo.spec import MemoSpec, open_memo

SECRET = b"a secret of the tests, 32 bytes."


@pytest.fixture(scope="module")
def server():
    with EmbeddedServer(max_bytes=16 * 2**20) as one:
        yield one


@pytest.fixture(autouse=True)
def one_thread():
    with dask.config.set(scheduler="sync"):
        yield


def on(server, kind="redis", **options):
    options = {"namespace": uuid.uuid4().hex, "admission": False, **options}
    return MemoSpec(kind, url=server.url, secret=SECRET, **options)


def counted(collection):
    before = node_counters()
    result = collection.compute()
    after = node_counters()
    return result, tuple(int(after[n] - before[n]) for n in ("hits", "misses", "uncacheable"))


def inc(x):
    return x + 1


def only_node(memoized):
    tasks = dict(memoized.__dask_graph__()).values()
    (node,) = [task.func for task in tasks if isinstance(getattr(task, "func", None), MemoNode)]
    return node


@pytest.mark.parametrize("kind", ["redis", "tiered"])
def test_a_value_is_kept_under_a_tag_until_the_tag_is_invalidated(server, kind):
    spec = on(server, kind, tag="models")
    memoized = memoize(delayed(inc)(1), spec)

    assert counted(memoized) == (2, (0, 1, 0))
    assert counted(memoized) == (2, (1, 0, 0))
    open_memo(spec).invalidate_tag("models")
    assert counted(memoized) == (2, (0, 1, 0))
    assert counted(memoized) == (2, (1, 0, 0))


def test_a_value_that_races_an_invalidation_is_born_stale(server, monkeypatch):
    spec, store = on(server, tag="models"), SealedMemo.store

    def late(memo, entries):
        memo.invalidate_tag("models")
        return store(memo, entries)

    monkeypatch.setattr(SealedMemo, "store", late)
    memoized = memoize(delayed(inc)(1), spec)

    assert counted(memoized)[1] == (0, 1, 0)
    assert counted(memoized)[1] == (0, 1, 0)


def test_a_tag_that_no_worker_shares_is_refused():
    with pytest.raises(CacheError, match="choose redis or tiered"):
        MemoSpec("lru", tag="models")


@pytest.mark.parametrize("kind", ["dict", "lru", "redis", "tiered"])
def test_of_all_threads_that_miss_one_key_one_computes(server, kind, monkeypatch):
    claims, asked = threading.Semaphore(0), SealedMemo.claim
    computed, run = [], MemoNode._run

    def claim(memo, keys):
        answer = asked(memo, keys)
        claims.release()
        return answer

    def slowly(node, values):
        computed.append(node)
        assert all(claims.acquire(timeout=10) for _ in range(3)), "nobody else asked for the claim"
        return run(node, values)

    monkeypatch.setattr(SealedMemo, "claim", claim)
    monkeypatch.setattr(MemoNode, "_run", slowly)
    memoized, results = memoize(delayed(inc)(1), on(server, kind)), []
    threads = [threading.Thread(target=lambda: results.append(memoized.compute())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert results == [2, 2, 2]
    assert len(computed) == 1


PROCESS = """
import sys, time
import dask
from dataflow.graph.memoize import memoize
from dataflow.memo.spec import MemoSpec

def slow(x, path):
    with open(path, "a") as file:
        file.write("computed\\n")
    time.sleep(1)
    return x + 1

spec = MemoSpec("redis", url=sys.argv[1], secret=b"a secret of the tests, 32 bytes.")
memoized = memoize(dask.delayed(slow)(1, sys.argv[2]), spec, trust=["slow"])
print("ready", flush=True)
sys.stdin.readline()
print(memoized.compute(scheduler="sync"))
"""


def test_of_three_processes_on_one_cold_key_one_computes(server, tmp_path):
    record = tmp_path / "record"
    command = [sys.executable, "-c", PROCESS, server.url, str(record)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, **pipes) for _ in range(3)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()

    assert [process.communicate()[0] for process in processes] == ["2\n"] * 3
    assert record.read_text() == "computed\n"


def test_a_claim_whose_holder_never_ends_delays_a_node_for_a_bounded_time(server):
    spec = on(server, wait_seconds=0.05)
    memoized = memoize(delayed(inc)(1), spec)
    key = only_node(memoized).key(())
    assert open_memo(spec).claim([key]) == [WON]

    assert memoized.compute() == 2
    open_memo(spec).release([key])


def test_a_failing_task_gives_its_claim_back(server):
    spec = on(server)
    memoized = memoize(delayed(divmod)(1, 0), spec)

    with pytest.raises(ZeroDivisionError):
        memoized.compute()

    key = only_node(memoized).key(())
    assert open_memo(spec).claim([key]) == [WON]
    open_memo(spec).release([key])


def test_a_value_that_can_not_be_kept_is_uncacheable_and_no_miss(server):
    def opaque(x):
        return types.SimpleNamespace(x=x)

    memoized = memoize(delayed(opaque)(1), on(server))

    for _ in range(2):
        assert counted(memoized)[1] == (0, 0, 1)


def test_cheap_nodes_go_by_the_memo_after_a_small_loss(server):
    spec = on(server, admission=True)
    memoized = memoize([delayed(inc)(i) for i in range(2000)], spec)
    before = node_counters()

    assert dask.compute(memoized) == ([i + 1 for i in range(2000)],)

    after = node_counters()
    assert after["bypassed"] - before["bypassed"] > 1000


@pytest.mark.parametrize("kind", ["redis", "tiered"])
def test_values_are_removed_by_the_name_of_their_function(server, kind):
    def two(x):
        return x * 2

    spec = on(server, kind)
    counted(memoize([delayed(inc)(7), delayed(two)(7)], spec)[0])
    counted(memoize(delayed(two)(7), spec))

    assert invalidate_stage(server.url, "inc", spec.namespace) == 1
    assert counted(memoize(delayed(inc)(7), spec)) == (8, (0, 1, 0))
    assert counted(memoize(delayed(two)(7), spec)) == (14, (1, 0, 0))


def test_a_literal_that_is_changed_after_memoize_is_computed_as_it_is_and_kept_under_no_key(server):
    array, plain = np.ones(3), [1, 2]
    spec = on(server)
    memoized = memoize([delayed(np.sum)(array), delayed(sum)(plain)], spec)

    array[:], plain[:] = 5, [5]
    assert dask.compute(memoized) == ([15, 5],)

    array[:], plain[:] = 1, [1, 2]
    assert [counted(one) for one in memoized] == [(3, (0, 1, 0)), (3, (0, 1, 0))]
    array[:] = 5
    assert counted(memoized[0]) == (15, (0, 0, 0))


LIMIT = 1


def limited(x):
    return min(x, LIMIT)


def test_a_global_that_is_changed_after_memoize_poisons_nothing(server, monkeypatch):
    spec = on(server)
    memoized = memoize(delayed(limited)(10), spec)

    monkeypatch.setitem(globals(), "LIMIT", 5)
    assert counted(memoized) == (5, (0, 0, 0))
    assert counted(memoize(delayed(limited)(10), spec)) == (5, (0, 1, 0))
    monkeypatch.setitem(globals(), "LIMIT", 1)
    assert counted(memoize(delayed(limited)(10), spec)) == (1, (0, 1, 0))


EDITED = r"""
import sys
import dask, edited
from dataflow.graph.memoize import memoize, node_counters
from dataflow.memo.spec import MemoSpec

def main():
    spec = MemoSpec("redis", url=sys.argv[1], secret=b"a secret of the tests, 32 bytes.")
    memoized = memoize(dask.delayed(edited.f)(1), spec)
    with open(edited.__file__, "w") as file:
        file.write("def f(x):\n    return x + 200\n")
    print(memoized.compute(scheduler="processes", num_workers=1), memoized.compute(scheduler="sync"))

if __name__ == "__main__":
    main()
"""


def test_a_worker_that_holds_other_code_keeps_nothing_under_a_key_of_the_old(server, tmp_path):
    (tmp_path / "edited.py").write_text("def f(x):\n    return x + 1\n")
    (tmp_path / "program.py").write_text(EDITED)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, str(tmp_path / "program.py"), server.url]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)

    assert done.stdout.split() == ["201", "2"]


def test_a_function_that_is_fused_into_a_node_counts_among_its_names(server):
    import dask.bag as db

    spec = on(server)
    memoize(db.from_sequence(range(6), npartitions=2).map(inc).map(str), spec).compute()

    assert invalidate_stage(server.url, "inc", spec.namespace) == 2


def test_a_node_travels_with_its_names(server):
    import cloudpickle

    node = only_node(memoize(delayed(inc)(1), on(server)))
    again = cloudpickle.loads(cloudpickle.dumps(node))

    assert (again.label, again.marks, again.key(())) == (node.label, node.marks, node.key(()))
    assert again.label == "inc"
