from __future__ import annotations

import dataclasses

import pytest

from dataflow.bench.suites import GIVEN, INLINE, SUITES, suite_arms, worker_counts
from dataflow.errors import StrategyError
from dataflow.strategy import Strategy


def arms(**overrides):
    return {arm.name: arm for arm in suite_arms("quick", overrides)[1]}


def test_the_quick_suite_asks_about_cache_cluster_batching_and_collection_against_two_baselines():
    assert set(arms()) == {
        "base",
        "twin",
        "cache=lru",
        "cache=redis",
        "cluster=threads",
        "cluster=processes",
        "batching=fixed:1",
        "batching=fixed:16",
        "batching=fixed:64",
        "batching=bytes:1MiB",
        "collect=gather",
        "collect=ordered",
        "fuse=off",
        "serial",
        "pool",
    }


def test_one_factor_varies_at_a_time():
    base = arms()["base"]
    for arm in (a for a in arms().values() if a.kind == "engine" and a.factor not in ("", "twin")):
        changed = {
            f.name
            for f in dataclasses.fields(Strategy)
            if getattr(arm.strategy, f.name) != getattr(base.strategy, f.name)
        } | ({"cluster"} if arm.cluster != base.cluster else set())
        assert changed == {arm.factor}


def test_the_twin_differs_from_the_base_in_name_alone():
    found = arms()
    assert found["twin"].strategy == found["base"].strategy
    assert found["twin"].cluster == found["base"].cluster == GIVEN


def test_an_arm_with_a_cache_is_measured_cold_and_then_warm():
    found = arms()
    assert found["cache=redis"].phases == found["cache=lru"].phases == ("cold", "warm")
    assert found["base"].phases == found["serial"].phases == ("",)


def test_with_a_cached_base_the_baselines_still_have_no_phases():
    found = arms(cache="lru")
    assert found["base"].phases == ("cold", "warm")
    assert found["pool"].phases == ("",)


def test_a_level_that_the_base_has_already_is_no_arm_of_its_own_and_the_default_becomes_one():
    found = arms(batching="fixed:16")
    assert "batching=fixed:16" not in found
    assert found["batching=adaptive"].strategy.batching == "adaptive"
    assert found["cache=lru"].strategy.batching == "fixed:16"


def test_every_suite_has_the_baselines_and_a_twin():
    for name in SUITES:
        kinds = {arm.kind for arm in suite_arms(name)[1]}
        assert {"serial", "pool"} <= kinds
        assert any(arm.twin for arm in suite_arms(name)[1])


def test_an_unknown_suite_is_named_together_with_those_there_are():
    with pytest.raises(StrategyError, match=r"'slow'.*quick"):
        suite_arms("slow")


def test_caching_asks_every_level_of_the_cache_cold_warm_and_with_a_tenth_changed():
    found = {arm.name: arm for arm in suite_arms("caching")[1]}
    assert set(found) == {"base", "twin", "cache=lru", "cache=redis", "cache=tiered", "serial", "pool"}
    assert found["base"].phases == found["serial"].phases == ("",)
    assert found["cache=tiered"].phases == ("cold", "warm", "churn")


def test_invalidation_asks_every_freshness_after_every_edit_on_a_cached_base():
    found = {arm.name: arm for arm in suite_arms("invalidation")[1]}
    levels = {"freshness=stat", "freshness=ttl:3600", "freshness=tag:bench"}
    assert set(found) == {"base", "twin", *levels, "serial", "pool"}
    assert {arm.strategy.cache for arm in found.values()} == {"tiered"}
    assert found["base"].strategy.freshness == "content"
    phases = ("cold", "warm", "content", "mtime", "hidden", "tag", "code")
    assert all(found[name].phases == phases for name in levels | {"base", "twin"})


def test_a_suites_own_base_gives_way_to_what_the_user_chose():
    assert suite_arms("invalidation", {"cache": "redis"})[1][0].strategy.cache == "redis"


def test_only_suites_with_phases_of_their_own_edit_anything():
    assert {name for name, suite in SUITES.items() if suite.edits} == {"caching", "invalidation"}
    assert {name for name, suite in SUITES.items() if suite.poisons} == {"batching"}


def test_workers_are_powers_of_two_up_to_all_of_them_and_twice_as_many():
    assert worker_counts(1) == (1, 2)
    assert worker_counts(2) == (1, 2, 4)
    assert worker_counts(6) == (1, 2, 4, 6, 12)


def test_parallel_asks_every_size_of_every_cluster_and_twice_the_cores_of_the_given_one():
    found = {arm.name: arm for arm in suite_arms("parallel", workers=4)[1]}
    assert {(arm.cluster, arm.workers) for arm in found.values() if arm.cluster == GIVEN} == {
        (GIVEN, None),
        (GIVEN, 1),
        (GIVEN, 2),
        (GIVEN, 8),
    }
    for cluster in ("threads", "processes", "distributed"):
        sizes = {arm.workers for arm in found.values() if arm.cluster == cluster}
        assert sizes == {None, 1, 2}
    one = found["cluster=threads workers=1"]
    assert (one.factor, one.level, one.place) == ("cluster", "threads workers=1", "threads x 1")


def test_batching_poisons_every_batch_size_under_each_level_of_errors_and_measures_speed_on_clean_ones():
    suite, arms = suite_arms("batching")
    found = {arm.name: arm for arm in arms}
    assert found["base"].phases == found["batching=fixed:64"].phases == ("clean", "poison")
    assert found["errors=skip"].phases == found["batching=fixed:64 errors=skip"].phases == ("poison",)
    assert found["serial"].phases == found["pool"].phases == found["twin"].phases == ("clean",)
    assert "fail" not in {arm.strategy.errors for arm in arms}  # it would end the run
    assert suite.once == ("poison",)


def test_streaming_asks_how_results_come_and_how_documents_are_loaded():
    found = {arm.name: arm for arm in suite_arms("streaming")[1]}
    assert set(found) == {
        *("base", "twin", "collect=gather", "collect=ordered", "loading=pages", "serial", "pool")
    }
    assert found["loading=pages"].variant == "pages"
    assert found["base"].variant == ""


def test_single_asks_every_cache_on_the_given_cluster_and_in_process():
    found = {arm.name: arm for arm in suite_arms("single")[1]}
    assert found["cluster=inline"].phases == ("",)
    for cache in ("lru", "redis", "tiered"):
        assert found[f"cache={cache}"].phases == ("cold", "warm")
        assert found[f"cluster=inline cache={cache}"].cluster == INLINE
