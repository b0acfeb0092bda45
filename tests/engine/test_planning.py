"""From the strategy to what the workers get: the cache's server and its bounds."""

import contextlib

import pytest
import redis

from dataflow import Pipeline, Strategy
from dataflow.engine.planning import plan_for
from dataflow.memo.server import EmbeddedServer
from dataflow.memo.spec import close_memos, open_memo


def decode(data: bytes) -> str:
    return data.decode()


@pytest.fixture
def planned():
    with contextlib.ExitStack() as stack:

        def plan(url=None, **choices):
            strategy = Strategy(**choices)
            return plan_for(stack, Pipeline(decode), strategy, None, None, url, (), "dataflow", None)[0]

        yield plan
        close_memos()


def test_the_server_of_a_run_has_the_limit_and_the_policy_of_its_strategy(planned, monkeypatch):
    monkeypatch.delenv("REDIS_URL", raising=False)
    plan = planned(cache="redis", server_memory="24MiB", eviction="volatile-ttl")
    told = redis.Redis.from_url(plan.memo.url).config_get("maxmemory*")
    assert told["maxmemory"] == str(24 * 2**20)
    assert told["maxmemory-policy"] == "volatile-ttl"


def test_a_server_of_the_users_keeps_its_own(planned):
    with EmbeddedServer() as server:
        client = redis.Redis.from_url(server.url)
        before = client.config_get("maxmemory*")
        planned(server.url, cache="redis", server_memory="24MiB", eviction="volatile-ttl")
        assert client.config_get("maxmemory*") == before


def test_the_near_tier_has_the_bound_of_the_strategy(planned):
    memo = open_memo(planned(cache="lru", near_memory="3MiB").memo)
    assert memo._near.max_bytes == 3 * 2**20
