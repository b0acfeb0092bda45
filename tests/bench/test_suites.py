from __future__ import annotations

import dataclasses

import pytest

from dataflow.bench.suites import GIVEN, SUITES, suite_arms
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
    assert {name: suite.edits for name, suite in SUITES.items()} == {
        "quick": False,
        "caching": True,
        "invalidation": True,
    }
