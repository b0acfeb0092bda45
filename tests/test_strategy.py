import pytest

from dataflow import Strategy
from dataflow.errors import StrategyError
from dataflow.strategy import LEVELS, Freshness


def test_the_defaults_are_the_best_known():
    assert Strategy().describe() == "default"
    assert (Strategy().batching, Strategy().collect, Strategy().fuse) == ("adaptive", "as_completed", True)


def test_every_level_is_accepted():
    for factor, levels in LEVELS.items():
        for level in levels:
            Strategy().replace(
                **{factor: level.replace(":NAME", ":7").replace(":N", ":7").replace(":SECONDS", ":7")}
            )


@pytest.mark.parametrize(
    ("batching", "rule"),
    [
        ("fixed:64", ("fixed", 64)),
        ("bytes:1000", ("bytes", 1000)),
        ("bytes:1MiB", ("bytes", 2**20)),
        ("bytes:2kB", ("bytes", 2000)),
        ("adaptive", ("adaptive", 0)),
    ],
)
def test_a_batching_level_is_understood(batching, rule):
    assert Strategy(batching=batching).batch_rule == rule


@pytest.mark.parametrize(
    ("level", "fresh"),
    [
        ("content", Freshness(False)),
        ("stat", Freshness(True)),
        ("ttl:60", Freshness(True, 60.0)),
        ("ttl:0.5", Freshness(True, 0.5)),
        ("tag:models/v2", Freshness(True, None, "models/v2")),
        ("content+tag:x", Freshness(False, None, "x")),
        ("stat+ttl:5+tag:x", Freshness(True, 5.0, "x")),
    ],
)
def test_a_freshness_level_is_understood(level, fresh):
    assert Strategy(freshness=level).fresh == fresh


@pytest.mark.parametrize(
    "changes",
    [
        {"cache": "memcached"},
        {"freshness": "mtime"},
        {"freshness": "ttl:0"},
        {"freshness": "ttl:soon"},
        {"freshness": "ttl:SECONDS"},
        {"freshness": "tag:"},
        {"freshness": "tag:two words"},
        {"freshness": "stat+stat"},
        {"freshness": "tag:x", "cache": "lru"},
        {"batching": "fixed"},
        {"batching": "fixed:0"},
        {"batching": "fixed:-1"},
        {"batching": "fixed:1MiB"},
        {"batching": "bytes:lots"},
        {"batching": "fixed:N"},
        {"collect": "all"},
        {"errors": "ignore"},
        {"eviction": "oldest"},
        {"near_memory": "lots"},
        {"near_memory": "1"},
        {"server_memory": "0MiB"},
        {"server_memory": ""},
        {"timeout_seconds": 0},
        {"timeout_seconds": float("inf")},
        {"timeout_seconds": float("nan")},
        {"nonsense": 1},
    ],
)
def test_what_no_strategy_knows_is_refused_in_one_line(changes):
    with pytest.raises(StrategyError) as caught:
        Strategy().replace(**changes)
    assert "\n" not in str(caught.value)


def test_a_strategy_describes_what_differs_from_the_default():
    assert Strategy(cache="redis", fuse=False).describe() == "cache=redis fuse=False"


def test_memory_is_a_size():
    strategy = Strategy(near_memory="2MiB", server_memory="3GB", eviction="noeviction")
    assert strategy.near_bytes == 2 * 2**20
    assert strategy.server == {"max_bytes": 3 * 10**9, "policy": "noeviction"}
