"""One real, small benchmark: a real cluster, a real server, one block; and what its tables then hold."""

from __future__ import annotations

import dataclasses
import json

import pandas as pd
import pyarrow.parquet as pq
import pytest

from dataflow.bench.experiment import bench
from dataflow.bench.suites import SUITES
from dataflow.errors import CacheError, ClusterError, CorpusError, StrategyError

BLOCKS = 1


@pytest.fixture(scope="module")
def run(workload, tmp_path_factory):
    """The run's folder, and what was said."""
    said: list[str] = []
    folder = bench(
        workload,
        cluster="processes",
        workers=2,
        documents=40,
        seed=3,
        blocks=BLOCKS,
        results=tmp_path_factory.mktemp("results"),
        say=said.append,
    )
    return folder, said


@pytest.fixture(scope="module")
def trials(run):
    return pd.read_parquet(run[0] / "trials.parquet")


def of(trials, strategy, phase=""):
    return trials[(trials.strategy == strategy) & (trials.phase == phase)]


def test_every_arm_ran_once_a_block_without_error(trials):
    assert trials.error.isna().all()
    assert (trials.groupby(["strategy", "phase"]).block.nunique() == BLOCKS).all()
    assert {"base", "twin", "cache=redis", "cluster=threads", "serial", "pool"} <= set(trials.strategy)


def test_every_arm_put_out_what_the_plain_loop_did(trials):
    assert trials.matches_serial.all()
    assert trials.output_digest.nunique() == 1
    assert (trials.documents == 41).all()
    assert (trials.failed == 1).all()
    assert (trials.success_rate == 40 / 41).all()


def test_a_cold_cache_hits_nothing_and_a_warm_one_all_that_could_be_kept(trials):
    cold, warm = of(trials, "cache=redis", "cold"), of(trials, "cache=redis", "warm")
    assert (cold.hits == 0).all()
    assert (warm.hits_redis == 40).all()
    assert (warm.misses == 1).all()  # a failure isn't kept
    assert (warm.stale == 0).all()
    assert (of(trials, "cache=lru", "cold").hits == 0).all()
    # Each worker has a memory of its own, and it is chance which of them a document comes to.
    own = of(trials, "cache=lru", "warm")
    assert (own.hits == own.hits_lru).all()
    assert (own.hits + own.misses == 41).all()
    assert of(trials, "base").hit_rate.isna().all()


def test_the_server_and_every_worker_were_sampled(run, trials):
    resources = pd.read_parquet(run[0] / "resources.parquet")

    def sampled(strategy):
        wanted = set(of(trials, strategy).trial) | set(of(trials, strategy, "cold").trial)
        return {frozenset(resources[resources.trial == t].process) for t in wanted}

    assert sampled("cache=redis") == {frozenset({"driver", "worker-0", "worker-1", "redis"})}
    assert sampled("base") == {frozenset({"driver", "worker-0", "worker-1"})}
    assert sampled("pool") == {frozenset({"driver", "pool-0", "pool-1"})}
    assert sampled("serial") == {frozenset({"driver", "serial-0"})}
    assert (trials.peak_rss_bytes > 10_000_000).all()
    assert (of(trials, "cache=redis", "warm").redis_peak_bytes > 0).all()
    # The kernel counts CPU in ticks of 10 ms, and a plain loop over 41 tiny documents fits between two.
    assert (trials.cpu_seconds >= 0).all()
    assert (of(trials, "batching=fixed:1").cpu_seconds > 0.02).all()


def test_where_an_arm_ran_and_how_is_in_its_row(trials):
    assert set(of(trials, "base").workers) == {2}
    assert set(of(trials, "cluster=threads").workers) == {1}
    assert set(of(trials, "cluster=threads").threads) == {2}
    assert set(of(trials, "batching=fixed:1").batches) == {41}
    assert set(of(trials, "fuse=off").fuse) == {False}
    assert set(of(trials, "serial").cluster) == {"serial"}
    assert of(trials, "pool").batching.str.startswith("fixed:").all()


def test_the_given_cluster_is_the_base_and_no_arm_of_its_own(trials):
    assert "cluster=processes" not in set(trials.strategy)
    assert set(of(trials, "base").cluster) == {"processes"}


def test_each_trials_rows_are_in_the_other_tables(run, trials):
    for table in ("batches", "documents", "stages"):
        rows = pd.read_parquet(run[0] / f"{table}.parquet")
        assert set(rows.trial) == set(trials.trial)
    documents = pd.read_parquet(run[0] / "documents.parquet")
    assert (documents.groupby("trial").position.nunique() == 41).all()


def test_the_run_says_how_to_repeat_it(run):
    said = json.loads((run[0] / "run.json").read_text())
    assert (said["seed"], said["suite"], said["complete"]) == (3, "quick", True)
    assert said["corpus"]["documents"] == 41
    assert said["clusters"]["processes"]["startup_seconds"] > 0
    assert said["redis"]["embedded"] is True
    assert {a["name"] for a in said["arms"]} >= {"base", "twin"}
    assert said["blocks"]["done"] == BLOCKS


def test_dasks_own_pages_are_there_and_ask_no_other_host(run):
    pages = {p.name for p in (run[0] / "dask").iterdir()}
    assert {"base.html", "cluster=threads.html", "cache=redis.html", "batching=fixed-1.html"} <= pages
    assert "cdn.bokeh.org" not in (run[0] / "dask" / "base.html").read_text()


def test_the_dashboard_is_named_before_the_work_begins(run):
    said = run[1]
    named = next(i for i, text in enumerate(said) if "dashboard at http" in text)
    assert named < next(i for i, text in enumerate(said) if "warming up" in text)


def test_nothing_is_left_on_the_users_server_but_what_was_there(
    workload, tmp_path, redis_server_program, monkeypatch
):
    from dataflow.memo.connect import client_of
    from dataflow.memo.server import EmbeddedServer

    small = dataclasses.replace(SUITES["quick"], name="small", levels={"cache": ("none", "redis")})
    monkeypatch.setitem(SUITES, "small", small)
    with EmbeddedServer(binary=redis_server_program) as server:
        client = client_of(server.url)
        client.set("dataflow:somebody-elses", "kept")
        folder = bench(
            workload,
            suite="small",
            cluster="processes",
            workers=1,
            documents=4,
            blocks=1,
            results=tmp_path,
            redis_url=server.url,
            say=lambda text: None,
        )
        keys = client.keys()
        client.close()
    assert keys == [b"dataflow:somebody-elses"]
    rows = pq.read_table(folder / "trials.parquet").to_pylist()
    assert [r["hits"] for r in rows if (r["strategy"], r["phase"]) == ("cache=redis", "warm")] == [4]
    assert json.loads((folder / "run.json").read_text())["redis"]["embedded"] is False


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"suite": "slow"}, StrategyError),
        ({"corpus": "/nowhere/at/all"}, CorpusError),
        ({"cluster": "no-such-cluster"}, ClusterError),
        ({"workers": 0}, ClusterError),
        ({"cluster": "processes", "workers": 1, "redis_url": "redis://127.0.0.1:1"}, CacheError),
        ({"batching": "sometimes"}, StrategyError),
    ],
)
def test_a_mistake_is_one_error_and_leaves_no_folder(workload, tmp_path, options, error):
    results = tmp_path / "results"
    with pytest.raises(error) as caught:
        bench(workload, documents=2, blocks=1, results=results, say=lambda text: None, **options)
    assert "\n" not in str(caught.value)
    assert not results.exists()


@pytest.fixture(scope="module")
def edited(workload, tmp_path_factory):
    """Trials of both suites that edit, one block each."""
    tables = []
    for suite in ("caching", "invalidation"):
        folder = bench(
            workload,
            suite=suite,
            cluster="processes",
            workers=1,
            documents=40,
            blocks=1,
            results=tmp_path_factory.mktemp(suite),
            say=lambda text: None,
            admission=False,
        )
        tables.append(pd.read_parquet(folder / "trials.parquet"))
    return tables


def test_a_tenth_that_changed_is_computed_and_the_rest_is_found_in_its_tier(edited):
    trials = edited[0]
    assert trials.error.isna().all()
    for cache, tier in (("lru", "lru"), ("redis", "redis"), ("tiered", "lru")):
        (row,) = of(trials, f"cache={cache}", "churn").to_dict("records")
        assert (row["hits"], row[f"hits_{tier}"]) == (36, 36)
        assert (row["stale"], row["recomputed"], row["matches_serial"]) == (0, 0, True)
        assert row["bypassed"] == 0
    assert of(trials, "cache=tiered", "warm").redis_peak_bytes.notna().all()
    assert of(trials, "base").recomputed.isna().all()
    assert of(trials, "base").bypassed.isna().all()


def test_content_is_never_stale_and_state_is_where_size_and_time_were_put_back(edited):
    trials = edited[1]
    assert trials.error.isna().all()
    stale = {
        name: {row.phase: row.stale for row in trials[trials.strategy == name].itertuples() if row.stale}
        for name in ("base", "freshness=stat", "freshness=ttl:3600", "freshness=tag:bench")
    }
    assert stale == {
        "base": {},
        "freshness=stat": {"hidden": 4, "tag": 4},
        "freshness=ttl:3600": {"hidden": 4, "tag": 4},
        "freshness=tag:bench": {"hidden": 4},
    }
    wrong = trials[~trials.matches_serial.astype(bool)]
    assert set(zip(wrong.strategy, wrong.phase, strict=True)) == {
        (name, phase) for name, phases in stale.items() for phase in phases
    }


def test_what_is_recomputed_in_vain_is_counted(edited):
    trials = edited[1]
    assert (of(trials, "freshness=stat", "mtime").recomputed == 0).all()  # touched: found by its content
    assert (of(trials, "freshness=stat", "content").hits == 36).all()
    assert (of(trials, "freshness=stat", "tag").hits == 40).all()
    assert (of(trials, "freshness=tag:bench", "tag").hits == 0).all()
    (ended,) = of(trials, "freshness=tag:bench", "tag").to_dict("records")
    assert ended["ok"] - 4 <= ended["recomputed"] < ended["ok"]  # four were stale: those not in vain
    (coded,) = of(trials, "base", "code").to_dict("records")
    assert (coded["recomputed"], coded["hits"]) == (coded["ok"], 0)
