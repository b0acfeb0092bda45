from __future__ import annotations

import dataclasses
import os
import time
from pathlib import Path
from typing import Any

import pytest

from dataflow import Pipeline, run, stage
from dataflow.corpus import list_corpus
from dataflow.errors import CacheError
from dataflow.memo.admin import (
    cache_stats,
    clear,
    generation,
    invalidate_stage,
    invalidate_tag,
    net_seconds_saved,
)
from dataflow.memo.chain import chain_of, marks
from dataflow.memo.clear import clear_namespace
from dataflow.memo.explain import Reason, explain
from dataflow.memo.sealed import SealedMemo
from dataflow.memo.secret import cache_secret
from dataflow.memo.server import EmbeddedServer
from dataflow.memo.spec import MemoSpec, close_memos, open_memo
from dataflow.strategy import Freshness


def extract(data: bytes) -> str:
    return data.decode()


def chunk(text: str) -> list[str]:
    return text.split()


PIPELINE = Pipeline(extract, chunk)


@pytest.fixture(autouse=True)
def closed(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    monkeypatch.setenv("DATAFLOW_CACHE_KEY", "a key of the tests, long enough")
    yield
    close_memos()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write(tmp_path / "corpus" / "a.txt", "some words", 100)


def write(path: Path, text: str, age: float) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    os.utime(path, (time.time() - age,) * 2)
    return path


def go(server: EmbeddedServer, file: Path, pipeline: Pipeline = PIPELINE, **options: Any) -> list[Any]:
    options = {"freshness": "stat", "cache": "redis", "admission": False, **options}
    return list(run(pipeline, str(file.parent), cluster="inline", redis_url=server.url, **options))


def why(
    server: EmbeddedServer,
    file: Path,
    pipeline: Pipeline = PIPELINE,
    freshness: str = "stat",
    namespace: str = "",
) -> list[str]:
    return [reason.part for reason in reasons(server, file, pipeline, freshness, namespace)]


def reasons(
    server: EmbeddedServer, file: Path, pipeline: Pipeline, freshness: str, namespace: str
) -> list[Reason]:
    fresh = Freshness.parse(freshness)
    spec = MemoSpec("redis", server.url, cache_secret(), namespace=namespace, tag=fresh.tag)
    chain, _ = chain_of(pipeline, fresh.tag)
    (document,) = [d for d in list_corpus(str(file.parent)) if d.url == str(file)]
    return explain(open_memo(spec), chain, document, fresh)


def test_each_part_of_a_key_that_changed_is_named(each_server: EmbeddedServer, file: Path) -> None:
    place = {"namespace": "why"}
    assert why(each_server, file, **place) == ["new"]
    go(each_server, file, **place)
    assert why(each_server, file, **place) == ["hit"]
    write(file, "some words", 50)
    assert why(each_server, file, **place) == ["hit", "state"]
    assert why(each_server, file, Pipeline(extract, stage(version="2")(chunk)), **place) == ["code"]
    assert why(each_server, file, Pipeline(extract), **place) == ["stages"]
    write(file, "other words", 40)
    assert why(each_server, file, **place) == ["content"]
    assert why(each_server, file, Pipeline(stage(version="2")(extract), chunk), **place) == [
        "content",
        "code",
    ]
    (content,) = reasons(each_server, file, PIPELINE, "stat", "why")
    assert content.before != content.now
    assert "content" in content.text


def test_an_invalidated_tag_is_named(valkey: EmbeddedServer, file: Path) -> None:
    place = {"freshness": "tag:models", "namespace": "whytag"}
    go(valkey, file, **place)
    assert why(valkey, file, **place) == ["hit"]
    invalidate_tag(valkey.url, "models", "whytag")
    assert why(valkey, file, **place) == ["epoch"]
    assert [o.cache for o in go(valkey, file, **place)] == [None]
    assert why(valkey, file, **place) == ["hit"]


def test_a_value_that_was_evicted_is_told_from_one_that_never_was(valkey: EmbeddedServer, file: Path) -> None:
    import redis

    go(valkey, file, freshness="content", namespace="whygone")
    chain, _ = chain_of(PIPELINE)
    (document,) = list_corpus(str(file))
    from dataflow.memo.keys import digest

    redis.Redis.from_url(valkey.url).delete(b"whygone:" + chain.full(document, digest(b"some words")))
    assert why(valkey, file, freshness="content", namespace="whygone") == ["evicted"]


def test_what_the_first_stage_sees_of_a_document_is_a_part_too(valkey: EmbeddedServer, file: Path) -> None:
    def dated(data: bytes, document: Any) -> float:
        return float(document.modified)

    pipeline = Pipeline(stage(document_fields=["modified"])(dated))
    go(valkey, file, pipeline, freshness="content", namespace="whyparam")
    write(file, "some words", 40)
    assert why(valkey, file, pipeline, "content", "whyparam") == ["parameters"]


def test_a_stage_is_invalidated_with_all_that_it_had_a_part_in(
    each_server: EmbeddedServer, file: Path
) -> None:
    def other(data: bytes) -> int:
        return len(data)

    place = {"namespace": "stages", "cache": "tiered"}
    for pipeline in (PIPELINE, Pipeline(other)):
        go(each_server, file, pipeline, **place)
    assert [o.cache for o in go(each_server, file, **place)] == ["lru"]
    assert invalidate_stage(each_server.url, "chunk", "stages") >= 2
    assert [o.cache for o in go(each_server, file, Pipeline(other), **place)] == [
        "redis"
    ]  # the near tier is new
    assert [o.cache for o in go(each_server, file, **place)] == [None]
    assert [o.cache for o in go(each_server, file, **place)] == ["lru"]


def test_clearing_leaves_other_namespaces_alone_and_no_worker_goes_on_with_what_it_had(
    each_server: EmbeddedServer, file: Path
) -> None:
    for name in ("mine", "theirs"):
        go(each_server, file, namespace=name, cache="tiered")
    assert clear(each_server.url, "mine") > 0
    assert cache_stats(each_server.url, "mine")["entries"] == 0
    assert [o.cache for o in go(each_server, file, namespace="mine", cache="tiered")] == [None]
    assert [o.cache for o in go(each_server, file, namespace="theirs", cache="tiered")] == ["lru"]


def test_statistics_count_the_namespace_alone(each_server: EmbeddedServer, file: Path) -> None:
    go(each_server, file, namespace="stats", freshness="tag:models")
    stats = cache_stats(each_server.url, "stats")
    assert stats["entries"] >= 3
    assert stats["entry_bytes"] > 3 * 148
    assert stats["tags"] == ["models"]
    assert stats["leases"] == 0
    assert stats["used_memory_bytes"] > 0
    assert cache_stats(each_server.url, "nobody")["entries"] == 0


def test_a_generation_lasts_until_something_is_invalidated_by_hand(valkey: EmbeddedServer) -> None:
    first = generation(valkey.url, "gen")
    assert generation(valkey.url, "gen") == first
    invalidate_stage(valkey.url, "chunk", "gen")
    assert generation(valkey.url, "gen") != first


def test_every_stage_has_marks_of_its_own_that_show_in_those_of_its_pipeline() -> None:
    whole = int.from_bytes(marks(("extract", "chunk")), "big")
    for name in ("extract", "chunk"):
        own = int.from_bytes(marks((name,)), "big")
        assert own & whole == own
    assert marks(("extract",)) != marks(("chunk",))


def test_what_a_memo_was_worth_is_what_it_saved_less_what_it_took() -> None:
    counters = {
        "compute_seconds_saved": 10.0,
        "lookup_seconds": 1.0,
        "memo_lookup_seconds": 0.5,
        "store_seconds": 2.0,
        "lease_wait_seconds": 0.5,
        "digest_seconds": 0.25,
        "hits": 5.0,
    }
    assert net_seconds_saved(counters) == 6.25


def test_a_namespace_inside_another_is_refused_before_anything_is_asked(valkey: EmbeddedServer) -> None:
    import redis

    calls: list[Any] = [generation, cache_stats, clear, clear_namespace]
    calls += [
        lambda url, name: invalidate_tag(url, "x", name),
        lambda url, name: invalidate_stage(url, "x", name),
    ]
    for call in calls:
        with pytest.raises(CacheError, match=r"namespace 'a:b' must be a name without a colon"):
            call(valkey.url, "a:b")
    assert not list(redis.Redis.from_url(valkey.url).scan_iter(match="a:b*"))


@pytest.mark.parametrize("freshness", ["content", "stat"])
def test_a_value_that_is_too_large_is_told_from_one_that_was_evicted(
    valkey: EmbeddedServer, file: Path, monkeypatch: pytest.MonkeyPatch, freshness: str
) -> None:
    monkeypatch.setattr("dataflow.memo.sealed.SealedMemo._encoded", small(SealedMemo._encoded))
    place = {"freshness": freshness, "namespace": f"whylarge{freshness}"}
    go(valkey, write(file, "many words " * 200, 100), **place)
    (reason,) = reasons(valkey, file, PIPELINE, freshness, place["namespace"])
    assert reason.part == "uncacheable"
    assert "over the limit of 1,000 bytes" in reason.text


def small(real: Any) -> Any:
    """Values of more than 1,000 bytes aren't kept."""

    def encoded(self: SealedMemo, entries: Any) -> Any:
        self._sealing = dataclasses.replace(self._sealing, max_value_bytes=1000)
        return real(self, entries)

    return encoded
