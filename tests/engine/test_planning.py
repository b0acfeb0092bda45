"""From the strategy to what the workers get: the cache's server and its bounds."""

import contextlib

import pytest
import redis

from dataflow import Pipeline, Strategy
from dataflow.engine.planning import begin_server, plan_for, stage_ids
from dataflow.errors import CacheError
from dataflow.memo.connect import client_of
from dataflow.memo.server import EmbeddedServer
from dataflow.memo.spec import close_memos, open_memo


def decode(data: bytes) -> str:
    return data.decode()


def plan_with(stack, strategy, url):
    ids, _ = stage_ids(Pipeline(decode), strategy)
    server = begin_server(stack, strategy, url, [])
    return plan_for(stack, Pipeline(decode), strategy, ids, None, None, server, (), "dataflow", None)


@pytest.fixture
def planned():
    with contextlib.ExitStack() as stack:

        def plan(url=None, **choices):
            strategy = Strategy(**choices)
            return plan_with(stack, strategy, url)

        yield plan
        close_memos()


def test_the_server_of_a_run_has_the_limit_and_the_policy_of_its_strategy(planned, monkeypatch):
    monkeypatch.delenv("REDIS_URL", raising=False)
    plan = planned(cache="redis", server_memory="24MiB", eviction="volatile-ttl")
    told = client_of(plan.memo.url).config_get("maxmemory*")
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


def test_spilled_files_are_trimmed_when_a_run_ends(tmp_path, monkeypatch):
    (tmp_path / "ab").mkdir()
    spilled = tmp_path / "ab" / "abc.spill"
    spilled.write_bytes(bytes(3000))
    monkeypatch.setenv("DATAFLOW_SPILL_URL", str(tmp_path))
    monkeypatch.setenv("DATAFLOW_SPILL_LIMIT", "2kB")
    with EmbeddedServer() as server, contextlib.ExitStack() as stack:
        strategy = Strategy(cache="redis")
        plan_with(stack, strategy, server.url)
        assert spilled.exists()
        stack.close()
        assert not spilled.exists()
        monkeypatch.setenv("DATAFLOW_SPILL_LIMIT", "much")
        with pytest.raises(CacheError, match="DATAFLOW_SPILL_LIMIT"):
            plan_with(stack, strategy, server.url)
