"""Where nothing can be in the memo yet, a few documents say whether it has to do with the others."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from dataflow import Pipeline, run, stage
from dataflow.graph import admit
from dataflow.graph.plan import forget_learnt
from dataflow.graph.work import Item
from dataflow.memo.chain import chain_of
from dataflow.memo.server import EmbeddedServer
from dataflow.memo.spec import close_memos

DOCUMENTS = 400
SIZES = [8, 16, 32, 64, 128]  # of the first pieces; the last one has the other 152 documents


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer() as started:
        yield started


@pytest.fixture
def folder(tmp_path: Path) -> str:
    for number in range(DOCUMENTS):
        (tmp_path / f"{number:04}.txt").write_text(f"text {number:04}")
    return str(tmp_path)


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    forget_learnt()
    yield
    close_memos()


@pytest.fixture
def take(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """What computing a document is said to take, by its place; all else as nothing."""
    seconds: dict[str, float] = {}

    def said(item: Item, *_: object) -> float:
        return item.recalled_seconds + seconds.get("from", 0.0) * (item.position >= seconds.get("place", 0))

    monkeypatch.setattr(admit, "worth", said)
    monkeypatch.setattr("dataflow.graph.retain.worth", said)
    monkeypatch.setattr(admit, "_TOO_CHEAP_SECONDS", 0.0)
    monkeypatch.setattr(admit, "_NONE_DEAR_SECONDS", 0.0)
    return seconds


def size(data: bytes) -> int:
    return len(data)


def same(found: int) -> int:
    return found


def other(data: bytes) -> int:
    return len(data) + 1


def go(folder: str, server: EmbeddedServer, *stages: Any, **options: Any) -> Any:
    given = {"cache": "redis", "batching": f"fixed:{DOCUMENTS}", "cluster": "inline", **options}
    if given["cache"] != "lru":
        given.setdefault("redis_url", server.url)
    started = run(Pipeline(*stages or (size,)), folder, **given)
    outcomes = list(started)
    assert [outcome.value for outcome in outcomes] == [outcomes[0].value] * DOCUMENTS
    return started.summary


@pytest.mark.parametrize("cache", ["redis", "tiered", "lru"])
def test_of_cheap_documents_eight_are_asked_for_and_none_is_kept(folder, server, take, cache):
    counted = go(folder, server, cache=cache, namespace=f"cheap-{cache}").counters
    assert counted["misses_new"] == SIZES[0]
    assert counted["bypassed"] == DOCUMENTS - SIZES[0]
    assert counted.get("stored", 0) == 0


@pytest.mark.parametrize("cache", ["redis", "tiered", "lru"])
def test_of_dear_documents_all_are_kept_and_then_found_in_one_round_trip(folder, server, take, cache):
    take |= {"from": 0.01}
    options = {"cache": cache, "namespace": f"dear-{cache}"}
    cold = go(folder, server, **options).counters
    assert cold["stored"] == cold["misses_new"] == DOCUMENTS
    warm = go(folder, server, **options)
    assert sum(warm.caches.values()) == DOCUMENTS
    assert warm.counters.get("round_trips", 0) <= 1


def test_dear_documents_after_the_first_ones_are_noticed_after_as_many_again(folder, server, take):
    """Eight say nothing of four hundred: of what comes next, more are looked at each time."""
    take |= {"from": 0.01, "place": SIZES[0]}
    counted = go(folder, server, namespace="after").counters
    assert counted["stored"] == DOCUMENTS - SIZES[0] - SIZES[1]
    assert go(folder, server, namespace="after").caches == {"redis": DOCUMENTS - SIZES[0] - SIZES[1]}


@pytest.mark.parametrize("cache", ["redis", "tiered", "lru"])
def test_what_an_earlier_run_in_this_process_has_learnt_neednt_be_tried(folder, server, take, cache):
    go(folder, server, cache=cache, namespace=f"first-{cache}")
    counted = go(folder, server, cache=cache, namespace=f"second-{cache}").counters
    assert counted["bypassed"] == DOCUMENTS
    assert counted.get("misses_new", 0) == 0


def test_it_is_not_believed_for_long(folder, server, take):
    """The first batch shows that the documents have become dear."""
    go(folder, server, namespace="then")
    take |= {"from": 0.01}
    assert go(folder, server, namespace="now", batching="fixed:300").counters["stored"] == DOCUMENTS - 300


def test_a_run_that_keeps_everything_teaches_nothing(folder, server, take):
    go(folder, server, namespace="all", admission=False)
    assert go(folder, server, namespace="then all").counters["misses_new"] == SIZES[0]


def test_of_other_code_nothing_was_learnt(folder, server, take):
    go(folder, server, namespace="code")
    assert go(folder, server, other, namespace="code").counters["misses_new"] == SIZES[0]


def slow(data: bytes) -> int:
    time.sleep(0.003)
    return len(data)


def test_after_an_edit_of_one_stage_of_two_the_whole_batch_is_asked_for(folder, server):
    """What the other one has kept is to be found."""
    go(folder, server, slow, stage(same), namespace="edit")
    edited = go(folder, server, slow, stage(version="2")(same), namespace="edit").counters
    assert edited["misses_new"] == DOCUMENTS
    assert edited["recalled_slow"] > DOCUMENTS / 2


def test_another_pipeline_on_the_same_server_is_new_there(folder, server, take):
    take |= {"from": 0.01}
    go(folder, server, namespace="two")
    take |= {"from": 0.0}
    assert go(folder, server, other, namespace="two").counters["misses_new"] == SIZES[0]


def test_a_tag_has_its_own_beginning(folder, server, take):
    take |= {"from": 0.01}
    for _ in range(2):
        summary = go(folder, server, namespace="tag", freshness="tag:mine")
    assert summary.caches == {"redis": DOCUMENTS}
    take |= {"from": 0.0}
    forget_learnt()
    assert go(folder, server, namespace="tag", freshness="tag:other").counters["misses_new"] == SIZES[0]


def test_a_mark_that_was_evicted_costs_a_few_round_trips(folder, server, take):
    take |= {"from": 0.01}
    go(folder, server, namespace="evicted")
    chain, _ = chain_of(Pipeline(size))
    assert redis.Redis.from_url(server.url).delete(*(b"evicted:" + key for key in chain.marks())) == 1
    forget_learnt()  # as another process
    warm = go(folder, server, namespace="evicted")
    assert warm.caches == {"redis": DOCUMENTS}
    assert warm.counters["round_trips"] == len(SIZES) + 1


def test_a_user_who_may_not_ask_whether_there_is_a_mark_asks_for_all(folder, server, take):
    client = redis.Redis.from_url(server.url)
    rights = "+mget +get +mset +set +del +pexpire +ping +info"
    client.execute_command("ACL", "SETUSER", "few", "on", ">pw", "~acl:*", "-@all", *rights.split())
    path = client.connection_pool.connection_kwargs["path"]
    summary = go(folder, server, namespace="acl", redis_url=f"unix://few:pw@{path}")
    assert summary.counters["misses_new"] == DOCUMENTS
