"""An invalidated tag is never served again: not by another worker, not after a race, not after an eviction."""

from __future__ import annotations

import dataclasses
import os
import threading

import pytest
import redis

from dataflow.errors import CacheError
from dataflow.memo.admin import invalidate_tag
from dataflow.memo.base import Entry, Found, Memo, Missed
from dataflow.memo.dictionary import DictMemo
from dataflow.memo.redis import RedisMemo
from dataflow.memo.sealing import Sealing
from dataflow.memo.server import EmbeddedServer
from dataflow.memo.spec import MemoSpec, close_memos, open_memo

TAGGED = Sealing(secret=b"shared", tag="models")


def key() -> bytes:
    return os.urandom(20)


def entry(memo: Memo, name: bytes, value: object) -> Entry:
    """An entry for a key that has just been missed."""
    (missed,) = memo.lookup([name])
    assert isinstance(missed, Missed)
    return Entry(name, value, 1.0, missed.epoch)


def tiered(server: EmbeddedServer, namespace: str, worker: int) -> Memo:
    """The memo of another worker: its near tier is its own."""
    spec = MemoSpec(
        "tiered", server.url, b"shared", tag="models", namespace=namespace, max_bytes=10**6 + worker
    )
    return open_memo(spec)


@pytest.fixture(autouse=True)
def closed():  # type: ignore[no-untyped-def]
    yield
    close_memos()


def calls(server: EmbeddedServer) -> int:
    stats = redis.Redis.from_url(server.url).info("commandstats")
    own = ("info", "config|resetstat", "client|setinfo", "select", "auth", "hello")
    return sum(v["calls"] for k, v in stats.items() if k.removeprefix("cmdstat_") not in own)


def test_what_was_stored_under_a_tag_is_found_until_the_tag_is_invalidated() -> None:
    memo, name = DictMemo(TAGGED), key()
    memo.store([entry(memo, name, "old")])
    assert isinstance(memo.lookup([name])[0], Found)
    memo.invalidate_tag("another")
    assert isinstance(memo.lookup([name])[0], Found)
    memo.invalidate_tag("models")
    assert memo.lookup([name]) == [Missed("epoch")]
    memo.store([entry(memo, name, "new")])
    assert memo.lookup([name])[0].value == "new"  # type: ignore[union-attr]


def test_the_near_copies_of_other_workers_follow_at_their_next_batch(each_server: EmbeddedServer) -> None:
    one, other = (tiered(each_server, "near", i) for i in range(2))
    name = key()
    one.store([entry(one, name, "old")])
    assert [other.lookup([name])[0].tier for _ in range(2)] == ["redis", "lru"]  # type: ignore[union-attr]
    invalidate_tag(each_server.url, "models", "near")
    for memo in (one, other):
        assert memo.lookup([name]) == [Missed("epoch")]
    one.store([entry(one, name, "new")])
    assert other.lookup([name])[0].value == "new"  # type: ignore[union-attr]


def test_a_bump_of_a_million_entries_is_one_command(valkey: EmbeddedServer) -> None:
    client = redis.Redis.from_url(valkey.url)
    memo = RedisMemo(valkey.url, TAGGED, namespace="bump")
    names = [key() for _ in range(300)]
    missed = memo.lookup(names)
    memo.store([Entry(n, "v", 1.0, m.epoch) for n, m in zip(names, missed, strict=True)])  # type: ignore[union-attr]
    client.config_resetstat()
    memo.invalidate_tag("models")
    assert calls(valkey) == 1
    assert memo.lookup(names) == [Missed("epoch")] * 300


def test_an_entry_that_races_a_bump_is_born_stale(each_server: EmbeddedServer) -> None:
    memo, other = (RedisMemo(each_server.url, TAGGED, namespace="race") for _ in range(2))
    name = key()
    computed_before = entry(memo, name, "made of what was true before")
    other.invalidate_tag("models")
    memo.store([computed_before])
    assert memo.lookup([name]) == other.lookup([name]) == [Missed("epoch")]


def test_no_reader_ever_sees_a_value_from_before_a_bump_that_it_came_after(valkey: EmbeddedServer) -> None:
    """Writers store the truth as they saw it; whoever reads after a bump sees nothing older than the bump."""
    name, truth, stale = key(), [0], list[tuple[int, int]]()
    stop = threading.Event()

    def write(worker: int) -> None:
        memo = tiered(valkey, "concurrent", worker)
        while not stop.is_set():
            (found,) = memo.lookup([name])
            if isinstance(found, Missed):
                memo.store([Entry(name, truth[0], 1.0, found.epoch)])

    threads = [threading.Thread(target=write, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    reader = tiered(valkey, "concurrent", 9)
    for number in range(1, 300):
        truth[0] = number
        reader.invalidate_tag("models")
        (found,) = reader.lookup([name])
        if isinstance(found, Found) and found.value < number:
            stale.append((found.value, number))
    stop.set()
    for thread in threads:
        thread.join()
    assert stale == []
    (last,) = reader.lookup([name])
    assert isinstance(last, Missed) or last.value == 299


def test_an_evicted_epoch_brings_nothing_back(each_server: EmbeddedServer) -> None:
    client = redis.Redis.from_url(each_server.url)
    memo, name = RedisMemo(each_server.url, TAGGED, namespace="evicted"), key()
    memo.store([entry(memo, name, "first")])
    memo.invalidate_tag("models")
    client.delete("evicted:epoch:models")
    assert memo.lookup([name]) == [Missed("epoch")]
    assert len(client.get("evicted:epoch:models")) == 16  # type: ignore[arg-type]


@pytest.mark.parametrize("garbage", [b"", b"1", b"x" * 17])
def test_an_epoch_that_is_none_is_replaced(valkey: EmbeddedServer, garbage: bytes) -> None:
    client = redis.Redis.from_url(valkey.url)
    memo, name = RedisMemo(valkey.url, TAGGED, namespace="garbled"), key()
    memo.store([entry(memo, name, "v")])
    client.set("garbled:epoch:models", garbage)
    assert memo.lookup([name]) == [Missed("epoch")]
    memo.store([entry(memo, key(), "v")])
    assert len(client.get("garbled:epoch:models")) == 16  # type: ignore[arg-type]


def test_a_near_copy_is_not_believed_while_the_epoch_can_not_be_asked_for() -> None:
    with EmbeddedServer() as server:
        memo, name = tiered(server, "gone", 0), key()
        memo.store([entry(memo, name, "v")])
        assert isinstance(memo.lookup([name])[0], Found)
        server.stop()
        assert memo.lookup([name]) == [Missed("down")]
        assert memo.store([Entry(name, "v", 1.0, b"")]) == 0
        with pytest.raises(CacheError, match="Try again"):
            memo.invalidate_tag("models")


def test_a_batch_with_a_tag_is_one_round_trip_even_where_all_is_near(valkey: EmbeddedServer) -> None:
    memo = tiered(valkey, "trips", 0)
    names = [key() for _ in range(50)]
    missed = memo.lookup(names)
    memo.store([Entry(n, "v", 1.0, m.epoch) for n, m in zip(names, missed, strict=True)])  # type: ignore[union-attr]
    before = memo.counters()["round_trips"]
    assert all(isinstance(found, Found) and found.tier == "lru" for found in memo.lookup(names))
    assert memo.counters()["round_trips"] == before + 1


def test_an_entry_without_an_epoch_is_not_kept_under_a_tag() -> None:
    memo = DictMemo(TAGGED)
    assert memo.store([Entry(key(), "computed nobody knows when", 1.0)]) == 0
    assert memo.counters()["rejected_no_epoch"] == 1


def test_what_was_stored_for_ever_is_still_too_old_for_a_run_with_a_ttl() -> None:
    now = [1000.0]
    mapping: dict[bytes, bytes] = {}
    forever = DictMemo(Sealing(secret=b"s", now=lambda: now[0]), mapping)
    bounded = DictMemo(Sealing(secret=b"s", ttl_seconds=60, now=lambda: now[0]), mapping)
    name = key()
    forever.store([Entry(name, "v", 1.0)])
    now[0] += 50
    assert isinstance(bounded.lookup([name])[0], Found)
    now[0] += 20
    assert isinstance(forever.lookup([name])[0], Found)
    assert bounded.lookup([name]) == [Missed("expired")]


def test_a_later_value_with_a_shorter_life_ends_neither_the_tag_nor_what_it_ended(
    each_server: EmbeddedServer,
) -> None:
    client = redis.Redis.from_url(each_server.url)
    memo = RedisMemo(each_server.url, TAGGED, namespace="lives")
    old, kept, short = key(), key(), key()
    memo.store([entry(memo, old, "before")])
    memo.invalidate_tag("models")
    memo.store([entry(memo, kept, "long")])
    memo.store([dataclasses.replace(entry(memo, short, "brief"), ttl_seconds=0.05)])
    (name,) = [one for one in client.keys("lives:*") if client.pttl(one) != -1]
    client.delete(name)  # as if its time were over

    assert client.pttl("lives:epoch:models") == -1
    assert memo.lookup([short]) == [Missed("new")]
    assert memo.lookup([kept])[0].value == "long"  # type: ignore[union-attr]
    assert memo.lookup([old]) == [Missed("epoch")]


def test_a_value_with_a_shorter_life_ends_by_itself() -> None:
    now = [1000.0]
    memo = DictMemo(Sealing(secret=b"s", tag="models", ttl_seconds=1000, now=lambda: now[0]))
    long, short = key(), key()
    memo.store([entry(memo, long, "long")])
    memo.store([dataclasses.replace(entry(memo, short, "brief"), ttl_seconds=10)])
    now[0] += 20
    assert memo.lookup([short]) == [Missed("expired")]
    assert memo.lookup([long])[0].value == "long"  # type: ignore[union-attr]
