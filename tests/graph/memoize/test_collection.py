"""Memo nodes in any collection's graph: results as without them, and computed once."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import textwrap
import types
import uuid

import dask
import dask.array as da
import dask.bag as db
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from dask.delayed import delayed
from hypothesis import given, settings
from hypothesis import strategies as st

from dataflow.errors import CacheError
from dataflow.graph.memoize import memoize, node_counters, uncacheable
from dataflow.memo.server import EmbeddedServer
from dataflow.memo.spec import MemoSpec

SECRET = b"a secret of the tests, 32 bytes."


@pytest.fixture
def memo():
    """A memo that no other test shares, and that keeps what is too cheap to be kept as well."""
    return MemoSpec("dict", namespace=uuid.uuid4().hex, admission=False)


@pytest.fixture(autouse=True)
def one_thread():
    with dask.config.set(scheduler="sync"):
        yield


def counted(collection, **options):
    """The result, and how many nodes hit, missed and had no key."""
    before = node_counters()
    result = collection.compute(**options)
    after = node_counters()
    return result, tuple(int(after[n] - before[n]) for n in ("hits", "misses", "uncacheable"))


def inc(x):
    return x + 1


def add(x, y):
    return x + y


def module(source):
    made = types.ModuleType("a_users_module")
    exec(textwrap.dedent(source), made.__dict__)
    return made


def frame():
    values = np.random.default_rng(1).random(60)
    data = {"a": range(60), "b": list("xyz") * 20, "c": values}
    return dd.from_pandas(pd.DataFrame(data), npartitions=4)


def same(one, other):
    assert type(one) is type(other)
    if isinstance(one, pd.DataFrame):
        pd.testing.assert_frame_equal(one, other, check_exact=True)
    elif isinstance(one, pd.Series):
        pd.testing.assert_series_equal(one, other, check_exact=True)
    elif isinstance(one, np.ndarray | np.generic):
        assert one.dtype == other.dtype
        assert one.tobytes() == other.tobytes()
    else:
        assert one == other


COLLECTIONS = {
    "delayed": lambda: delayed(add)(delayed(inc)(1), delayed(inc)(2)),
    "bag": lambda: db.from_sequence(range(20), npartitions=3).map(inc).filter(lambda x: x % 2),
    "item": lambda: db.from_sequence(range(20), npartitions=3).map(inc).sum(),
    "array": lambda: (da.from_array(np.random.default_rng(2).random((40, 30)), chunks=15) + 1).T.mean(axis=0),
    "frame": lambda: frame().map_partitions(lambda part: part.assign(d=part.c * 2)),
    "series": lambda: frame().groupby("b").c.mean(),
    "scalar": lambda: frame().c.sum(),
}


@pytest.mark.parametrize("name", COLLECTIONS)
@pytest.mark.parametrize("scheduler", ["sync", "threads"])
@pytest.mark.parametrize("optimize_graph", [True, False])
def test_results_are_those_of_the_plain_collection_cold_and_warm(name, scheduler, optimize_graph, memo):
    collection = COLLECTIONS[name]()
    memoized = memoize(collection, memo, optimize_graph=optimize_graph)
    plain = collection.compute()

    cold, (_, misses, uncacheable_tasks) = counted(memoized, scheduler=scheduler)
    warm, (hits, misses_again, _) = counted(memoized, scheduler=scheduler)

    assert type(memoized) is type(collection)
    same(cold, plain)
    same(warm, plain)
    assert misses > 0
    assert (misses_again, uncacheable_tasks) == (0, 0)
    assert hits >= misses


def test_nothing_is_computed_before_it_is_asked_for(memo):
    def fail(x):
        raise ZeroDivisionError(x)

    memoized = memoize(delayed(fail)(1), memo)

    with pytest.raises(ZeroDivisionError):
        memoized.compute()


def test_a_memoized_collection_takes_part_in_further_work(memo):
    table, array = frame(), da.ones((20, 20), chunks=10)
    bag, value = db.from_sequence(range(9), npartitions=3), delayed(inc)(4)

    same(memoize(table[["a", "c"]], memo).c.sum().compute(), table.c.sum().compute())
    same(memoize(array + 1, memo).sum().compute(), (array + 1).sum().compute())
    assert memoize(bag.map(inc), memo).map(inc).sum().compute() == 54
    assert (memoize(value, memo) + value).compute() == 10
    assert dask.compute(memoize([value, bag.sum()], memo)) == ([5, 36],)


@pytest.mark.parametrize(
    "edited",
    [
        "def helper(x): return x + 2\nBASE = 10\ndef work(x, k=1): return helper(x) + BASE + k",
        "def helper(x): return x + 1\nBASE = 11\ndef work(x, k=1): return helper(x) + BASE + k",
        "def helper(x): return x + 1\nBASE = 10\ndef work(x, k=2): return helper(x) + BASE + k",
    ],
    ids=["helper", "global", "default"],
)
def test_an_edit_of_what_a_function_reaches_is_a_miss(edited, memo):
    first = module("def helper(x): return x + 1\nBASE = 10\ndef work(x, k=1): return helper(x) + BASE + k")
    then = module(edited)

    assert counted(memoize(delayed(first.work)(1), memo)) == (13, (0, 1, 0))
    assert counted(memoize(delayed(first.work)(1), memo)) == (13, (1, 0, 0))
    assert counted(memoize(delayed(then.work)(1), memo)) == (14, (0, 1, 0))


def test_an_upstream_edit_that_changes_no_result_recomputes_nothing_after_it(memo):
    def doubled(x):
        return x * 2

    def twice(x):
        return x + x

    counted(memoize(delayed(inc)(delayed(doubled)(4)), memo))

    assert counted(memoize(delayed(inc)(delayed(twice)(4)), memo)) == (9, (1, 1, 0))


ARGUMENT = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
    max_leaves=6,
)


@settings(max_examples=60)
@given(ARGUMENT, ARGUMENT)
def test_each_argument_gets_its_own_answer(one, other):
    spec = MemoSpec("dict", namespace="arguments")

    for value in (one, other, one):
        assert memoize(delayed(repr)(value), spec).compute() == repr(value)
        assert memoize(delayed(repr)(delayed(tuple)([value])), spec).compute() == repr((value,))


def uses_random(x):
    import random

    return x + random.random()


def uses_numpy_random(x):
    return x + np.random.default_rng().random()


def uses_the_clock(x):
    from time import time

    return x + time()


def uses_urandom(x):
    return x + len(os.urandom(1))


def uses_uuid(x):
    return f"{x}{uuid.uuid4()}"


def through_a_helper(x):
    return uses_numpy_random(x)


def reads_a_file(path):
    with open(path) as file:
        return file.read()


def hashes(x):
    return hash(x)


@pytest.mark.parametrize(
    "function",
    [
        uses_random, uses_numpy_random, uses_the_clock, uses_urandom, uses_uuid, through_a_helper, hashes,
        functools.partial(through_a_helper), np.random.random,
    ],
)  # fmt: skip
def test_chance_clocks_and_identities_are_never_memoized(function, memo):
    memoized = memoize(delayed(function)(1), memo)

    for _ in range(2):
        assert counted(memoized)[1] == (0, 0, 1)
    assert len(uncacheable(memoized)) == 1
    assert uncacheable([memoized, memoized]) == uncacheable(memoized)


def test_what_reads_a_file_runs_each_time_and_what_follows_goes_by_content(tmp_path, memo):
    path = tmp_path / "a.txt"
    memoized = memoize(delayed(len)(delayed(reads_a_file)(str(path))), memo)

    path.write_text("one")
    assert counted(memoized) == (3, (0, 1, 1))
    assert counted(memoized) == (3, (1, 0, 1))
    path.write_text("three")
    assert counted(memoized) == (5, (0, 1, 1))


def test_a_task_that_writes_is_done_each_time(memo):
    done = 0

    def write(x):
        nonlocal done
        done += 1
        return x

    target = np.zeros(4)
    stored = memoize(da.store(da.ones(4, chunks=2), target, compute=False), memo)
    written = memoize(delayed(write)(1), memo)
    for _ in range(2):
        target[:] = 0
        stored.compute()
        written.compute()
        assert target.tolist() == [1, 1, 1, 1]
    assert done == 2


def test_trust_takes_a_function_that_looks_impure(memo):
    memoized = memoize(delayed(hashes)(1), memo, trust=["hashes"])

    assert counted(memoized) == (1, (0, 1, 0))
    assert counted(memoized) == (1, (1, 0, 0))


@pytest.mark.parametrize("only", ["inc", ["inc"], [inc], inc, lambda name: name == "inc"])
def test_only_says_which_tasks(only, memo):
    memoized = memoize(delayed(add)(delayed(inc)(1), 5), memo, only=only)

    assert counted(memoized) == (7, (0, 1, 0))
    assert counted(memoized) == (7, (1, 0, 0))


def test_a_mistake_is_one_clear_error(memo):
    with pytest.raises(CacheError, match="choose of add"):
        memoize(delayed(add)(1, 5), memo, only="nonsense")
    with pytest.raises(CacheError, match="no Dask collection"):
        memoize(5, memo)
    with pytest.raises(CacheError, match="unknown"):
        memoize(delayed(inc)(1), "nonsense")


def test_an_opaque_result_is_keyed_by_how_it_was_made(memo):
    def model(x):
        return types.SimpleNamespace(x=x)

    def ask(one, y):
        return one.x + y

    assert counted(memoize(delayed(ask)(delayed(model)(1), 2), memo)) == (3, (0, 1, 1))
    assert counted(memoize(delayed(ask)(delayed(model)(1), 2), memo)) == (3, (1, 0, 1))
    assert counted(memoize(delayed(ask)(delayed(model)(5), 2), memo)) == (7, (0, 1, 1))


def test_annotations_stay_with_their_tasks(memo):
    with dask.annotate(retries=3):
        first = delayed(inc)(1)
    graph = memoize(delayed(inc)(first), memo).__dask_graph__()

    assert [layer.annotations for layer in graph.layers.values() if layer.annotations] == [{"retries": 3}]


def test_a_collection_that_only_follows_the_protocol_keeps_its_keys(memo):
    class Pair:
        __dask_optimize__ = None
        __dask_scheduler__ = staticmethod(dask.get)

        def __init__(self, graph):
            self.graph = graph

        def __dask_graph__(self):
            return self.graph

        def __dask_keys__(self):
            return ["x", "y"]

        def __dask_postcompute__(self):
            return tuple, ()

    pair = memoize(Pair({"x": (inc, 1), "y": (inc, "x")}), memo)

    assert isinstance(pair, Pair)
    assert dask.compute(pair) == ((2, 3),)
    assert dask.compute(pair) == ((2, 3),)


def test_an_entry_that_went_is_computed_again(memo):
    from dataflow.memo.spec import open_memo

    memoized = memoize(delayed(inc)(delayed(inc)(1)), memo)
    memoized.compute()
    open_memo(memo).mapping.clear()

    assert counted(memoized) == (3, (0, 2, 0))


def test_a_server_that_is_gone_costs_the_results_nothing():
    with EmbeddedServer(max_bytes=16 * 2**20) as server:
        spec = MemoSpec("redis", url=server.url, secret=SECRET)
        memoized = memoize(delayed(inc)(delayed(inc)(1)), spec)
        assert memoized.compute() == 3

    assert memoized.compute() == 3


SESSION = """
import sys
import dask, dask.array as da, dask.bag as db, dask.dataframe as dd, numpy as np, pandas as pd
from dataflow.graph.memoize import memoize, node_counters
from dataflow.memo.spec import MemoSpec

NAMES = {"b", "a", "c"}
def known(x): return str(x) in NAMES
def work(x): return (x, sorted(NAMES))

spec = MemoSpec("redis", url=sys.argv[1], secret=b"a secret of the tests, 32 bytes.", admission=False)
frame = dd.from_pandas(pd.DataFrame({"a": range(30), "b": list("xyz") * 10}), npartitions=3)
with dask.config.set(scheduler="sync"):
    for one in (dask.delayed(known)("a"), db.from_sequence("abc", npartitions=2).map(work),
                da.arange(20, chunks=5).sum(), frame.groupby("b").a.sum(), frame.describe(),
                da.arange(24.0, chunks=5).reshape(4, 6).std(), db.from_sequence("abab", npartitions=2).frequencies()):
        memoize(one, spec).compute()
print(*(int(node_counters()[n]) for n in ("hits", "misses", "uncacheable")))
"""


def test_a_second_process_with_another_hash_seed_only_hits():
    def session(seed, url):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", SESSION, url]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return tuple(map(int, done.stdout.split()))

    with EmbeddedServer(max_bytes=16 * 2**20) as server:
        hits, misses, plain = session("1", server.url)
        assert misses
        assert plain == 0
        assert session("2", server.url) == (hits + misses, 0, 0)


def test_a_cluster_gives_the_plain_results_and_hits_across_workers():
    from distributed import Client, LocalCluster

    quiet = {"dashboard_address": None, "silence_logs": 50}
    with (
        EmbeddedServer(max_bytes=16 * 2**20) as server,
        LocalCluster(n_workers=2, threads_per_worker=1, processes=False, **quiet) as cluster,
        Client(cluster),
        dask.config.set(scheduler=None),
    ):
        spec = MemoSpec("redis", url=server.url, secret=SECRET, admission=False)
        for name, make in COLLECTIONS.items():
            collection = make()
            plain = collection.compute()
            same(memoize(collection, spec).compute(), plain)
            assert counted(memoize(collection, spec))[1][1:] == (0, 0), name
            same(memoize(collection.persist(), spec).compute(), plain)
        shuffled = frame().set_index("c")
        same(memoize(shuffled, spec).compute(), shuffled.compute())


def test_what_is_shuffled_on_disk_has_the_plain_rows_in_some_order(memo):
    """In which one, Dask leaves to its tasks' names and the hash seed."""
    left = dd.from_pandas(pd.DataFrame({"k": [n % 7 for n in range(60)], "a": range(60)}), npartitions=6)
    right = dd.from_pandas(pd.DataFrame({"k": [n % 7 for n in range(14)], "b": range(14)}), npartitions=3)
    for shuffled in (
        left.shuffle("k", shuffle_method="disk"),
        left.merge(right, on="k", shuffle_method="disk"),
    ):
        plain = shuffled.compute().sort_values(list(shuffled.columns), ignore_index=True)
        for _ in ("cold", "warm"):
            found = memoize(shuffled, memo).compute()
            same(found.sort_values(list(shuffled.columns), ignore_index=True), plain)
    grouped = db.from_sequence(range(40), npartitions=8).groupby(lambda n: n % 3, shuffle="disk")
    for _ in ("cold", "warm"):
        groups = memoize(grouped, memo).compute()
        assert {key: sorted(members) for key, members in groups} == {
            k: list(range(k, 40, 3)) for k in range(3)
        }
        assert len(groups) == 3
