"""Collections that are memoized together: what they share runs once, and each is what it is alone."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

import dask
import dask.array as da
import dask.bag as db
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from dask.delayed import delayed

from dataflow.errors import CacheError
from dataflow.graph.memoize import memoize, node_counters, uncacheable
from dataflow.memo.spec import MemoSpec


@pytest.fixture
def memo():
    """A memo that no other test shares, and that keeps what is too cheap to be kept as well."""
    return MemoSpec("dict", namespace=uuid.uuid4().hex, admission=False)


@pytest.fixture(autouse=True)
def one_thread(tmp_path, monkeypatch):
    monkeypatch.setenv("RAN", str(tmp_path / "ran"))
    with dask.config.set(scheduler="sync"):
        yield


def shared(x):
    """It writes to a file, and so can't be keyed: each call of it is a real one."""
    with open(os.environ["RAN"], "a") as file:
        file.write(".")
    return x


def ran():
    """How often ``shared`` was run since this was last asked."""
    path = Path(os.environ["RAN"])
    number = path.stat().st_size if path.exists() else 0
    path.write_text("")
    return number


def inc(x):
    return x + 1


def double(x):
    return x * 2


def same(one, other):
    assert type(one) is type(other)
    if isinstance(one, list | tuple):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            same(a, b)
    elif isinstance(one, pd.DataFrame | pd.Series):
        (pd.testing.assert_frame_equal if one.ndim == 2 else pd.testing.assert_series_equal)(one, other)
    elif isinstance(one, np.ndarray):
        np.testing.assert_array_equal(one, other)
    else:
        assert one == other


def copied(part):
    # A part of a frame shares its memory, and isn't kept.
    return shared(part.copy())


def table():
    plain = pd.DataFrame({"a": range(8), "b": 1})
    return dd.from_pandas(plain, npartitions=2).map_partitions(copied, meta=plain[:0])


def delayeds():
    one = delayed(shared)(1)
    return [delayed(inc)(one), delayed(double)(one), one]


def bags():
    one = db.from_sequence(range(4), npartitions=1).map(shared)
    return [one.map(inc), one.sum(), one]


def arrays():
    one = da.arange(4.0, chunks=2).map_blocks(shared, dtype=float, meta=np.ones(0))
    return [one + 1, one.sum(), one[:3], one]


def frames():
    one = table()
    return [one, one.a.sum(), one.b + 1, one.groupby("b").a.mean()]


def an_array_of_a_delayed():
    one = delayed(shared)(np.ones(4))
    array = da.from_delayed(one, (4,), dtype=float)
    return [delayed(len)(one), one, array + 1, array.sum()]


def a_bag_of_a_delayed():
    one = delayed(shared)([1, 2])
    return [db.from_delayed([one]).map(inc), delayed(len)(one)]


def a_frame_of_a_delayed():
    one = delayed(shared)(pd.DataFrame({"a": [1, 2]}))
    frame = dd.from_delayed([one], meta=pd.DataFrame({"a": [1]}), verify_meta=False)
    return [frame, frame.a + 1, delayed(len)(one)]


def delayeds_of_a_frame():
    one = table()
    return [one, *one.to_delayed()]


SHARING = {
    "delayed": (delayeds, 1),
    "bags": (bags, 4),
    "arrays": (arrays, 2),
    "frames": (frames, 2),
    "a delayed and an array": (an_array_of_a_delayed, 1),
    "a delayed and a bag": (a_bag_of_a_delayed, 1),
    "a delayed and a frame": (a_frame_of_a_delayed, 1),
    "a frame and delayed": (delayeds_of_a_frame, 2),
}


@pytest.mark.parametrize("name", SHARING)
@pytest.mark.parametrize("optimize_graph", [True, False])
def test_what_members_share_runs_once_and_each_gives_what_it_gives_alone(name, optimize_graph, memo):
    make, runs = SHARING[name]
    members = make()
    plain = [one.compute() for one in members]
    memoized = memoize(members, memo, optimize_graph=optimize_graph)

    ran()
    together = list(dask.compute(*memoized))
    assert ran() == runs
    same(together, plain)
    same([one.compute() for one in memoized], plain)
    same(list(dask.compute(*memoized, optimize_graph=False)), plain)
    assert [type(one) for one in memoized] == [type(one) for one in members]


@pytest.mark.parametrize("name", SHARING)
def test_a_task_that_is_keyed_is_asked_for_once_too(name, memo):
    make, runs = SHARING[name]
    members = make()
    plain = [one.compute() for one in members]
    memoized = memoize(members, memo, trust=[shared])
    nodes = {key for one in memoized for key in dict(one.__dask_graph__()) if str(key).count("memo-")}

    ran()
    before = node_counters()
    same(list(dask.compute(*memoized)), plain)
    cold = node_counters()
    assert ran() == runs
    assert cold["misses"] - before["misses"] <= len(nodes)
    assert cold["hits"] == before["hits"]

    same(list(dask.compute(*memoized)), plain)
    assert node_counters()["hits"] - cold["hits"] == cold["misses"] - before["misses"]
    assert ran() == 0


def test_a_member_holds_no_more_than_it_needs(memo):
    one, other = delayed(inc)(1), delayed(double)(2)

    first, second = memoize([one, other], memo)

    assert len(dict(first.__dask_graph__())) == len(dict(second.__dask_graph__())) == 1


def test_lists_in_dicts_in_tuples_are_members_of_one_graph(memo):
    one, other, third, _ = arrays()
    memoized = memoize(({"a": one, "b": [other, {"c": third}]}, []), memo)

    plain = dask.compute(({"a": one, "b": [other, {"c": third}]}, []))
    ran()
    made = dask.compute(memoized)
    assert ran() == 2
    np.testing.assert_array_equal(made[0][0]["a"], plain[0][0]["a"])
    np.testing.assert_array_equal(made[0][0]["b"][1]["c"], plain[0][0]["b"][1]["c"])
    assert made[0][0]["b"][0] == plain[0][0]["b"][0]
    assert made[0][1] == []


@pytest.mark.parametrize("wrong", [[5], {"a": "text"}, (None,), [delayed(inc)(1), [object()]]])
def test_what_is_no_collection_is_one_clear_error(wrong, memo):
    with pytest.raises(CacheError, match="no Dask collection"):
        memoize(wrong, memo)


def test_only_names_a_task_of_the_list_as_a_whole(memo):
    one, other = delayed(inc)(1), delayed(double)(2)
    before = node_counters()

    assert dask.compute(memoize([one, {"b": other}], memo, only=inc)) == ([2, {"b": 4}],)

    assert node_counters()["misses"] - before["misses"] == 1
    with pytest.raises(CacheError, match="choose of double, inc"):
        memoize([one, other], memo, only="nonsense")
    assert memoize([], memo, only="nonsense") == []


def test_a_function_that_is_trusted_is_so_in_every_member(memo):
    one, other, _ = memoize(delayeds(), memo, trust=["shared"])

    assert not uncacheable(one)
    assert not uncacheable(other)


def test_the_same_collection_may_be_given_twice(memo):
    one = delayed(shared)(1)

    assert dask.compute(*memoize([one, one], memo)) == (1, 1)
    assert ran() == 1


def test_members_take_part_in_further_work_with_each_other(memo):
    one, other, *_ = memoize(arrays(), memo)
    first, second, _ = memoize(delayeds(), memo)
    frame, total, *_ = memoize(frames(), memo)

    assert (one + other).sum().compute() == 10 + 4 * 6
    assert (first + second).compute() == 4
    assert (frame.a + total).sum().compute() == 28 + 8 * 28
    assert ran() == 5
    assert dask.compute(*memoize([one, other.sum()], memo))[1] == 6


def test_two_tasks_of_one_name_stay_two_tasks(memo):
    for function in (inc, shared):
        one = delayed(function)(1, dask_key_name="x")
        other = delayed(function)(5, dask_key_name="x")
        memoized = memoize([one, other, delayed(double)(one), delayed(double)(other)], memo)

        plain = [one.compute(), other.compute(), 2 * one.compute(), 2 * other.compute()]
        assert [made.compute() for made in memoized] == plain
        assert list(dask.compute(*memoized)) == plain


def test_a_text_is_no_reference_to_a_task_of_another_member(memo):
    class Old:
        __dask_optimize__ = None
        __dask_scheduler__ = staticmethod(dask.get)

        def __dask_graph__(self):
            return {"y": (str.upper, "x")}

        def __dask_keys__(self):
            return ["y"]

        def __dask_postcompute__(self):
            return tuple, ()

    old, new = memoize([Old(), delayed(inc)(1, dask_key_name="x")], memo)

    assert dask.compute(old) == (("X",),)
    assert new.compute() == 2


def test_what_was_optimised_together_before_may_stand_beside_what_was_not(memo):
    members = arrays()
    plain = [one.compute() for one in members]
    optimised = dask.optimize(*members)

    same(list(dask.compute(*memoize([*members, *optimised], memo))), [*plain, *plain])


def test_a_part_that_is_persisted_in_one_of_them_changes_no_result(memo):
    for make in (delayeds, bags, arrays, frames):
        *members, last = make()
        kept = last.persist()
        plain = [one.compute() for one in (*members, last)]

        same(list(dask.compute(*memoize([*members, kept], memo))), plain)
        same(list(dask.compute(*memoize([kept, *members], memo))), [plain[-1], *plain[:-1]])


def test_annotations_stay_with_the_tasks_of_each_member(memo):
    with dask.annotate(retries=3):
        first = delayed(inc)(1)
    members = memoize([delayed(double)(first), delayed(inc)(first), delayed(inc)(7)], memo)

    notes = [
        [layer.annotations for layer in one.__dask_graph__().layers.values() if layer.annotations]
        for one in members[:2]
    ]
    assert notes == [[{"retries": 3}], [{"retries": 3}]]


def test_a_cluster_runs_what_members_share_once_and_takes_what_it_holds():
    from distributed import Client, LocalCluster

    memo = MemoSpec("dict", namespace=uuid.uuid4().hex, admission=False)
    quiet = {"dashboard_address": None, "silence_logs": 50}
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=False, **quiet) as cluster,
        Client(cluster),
        dask.config.set(scheduler=None),
    ):
        for make, runs in SHARING.values():
            members = make()
            plain = [one.compute() for one in members]
            memoized = memoize(members, memo)
            ran()
            same(list(dask.compute(*memoized)), plain)
            assert ran() == runs, make
            held = [one.persist() for one in members]
            same(list(dask.compute(*memoize(held, memo))), plain)
            same([one.compute() for one in memoize([*held, *members], memo)], [*plain, *plain])
        frame = table()
        shuffled = [frame.set_index("a"), frame.set_index("a").b.sum(), frame.a + 1]
        plain = [one.compute() for one in shuffled]
        same(list(dask.compute(*memoize(shuffled, memo))), plain)
