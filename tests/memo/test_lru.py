from __future__ import annotations

import os
import threading
from collections.abc import Callable

import pytest

from dataflow.errors import CacheError
from dataflow.memo.base import Entry, Found, Missed
from dataflow.memo.dictionary import DictBlobs, DictMemo
from dataflow.memo.lru import LruMemo
from dataflow.memo.near import Near
from dataflow.memo.sealed import SealedMemo
from dataflow.memo.sealing import Sealing


def entries(count: int, size: int) -> list[Entry]:
    return [Entry(os.urandom(20), os.urandom(size), 0.0) for _ in range(count)]


def test_it_never_holds_more_than_its_bound() -> None:
    near = Near(100_000)
    memo = SealedMemo(DictBlobs(), near=near)
    for entry in entries(300, 1000):
        memo.store([entry])
        assert near.used_bytes() <= 100_000
    assert memo.counters()["evicted"] > 200


def test_what_was_used_last_stays() -> None:
    memo = LruMemo(20_000)
    used, *others = entries(50, 1000)
    memo.store([used])
    for other in others:
        memo.store([other])
        assert isinstance(memo.lookup([used.key])[0], Found)
    assert memo.lookup([others[0].key]) == [Missed("new")]


def test_a_value_larger_than_the_bound_evicts_nothing() -> None:
    memo = LruMemo(10_000)
    small, large = entries(1, 100) + entries(1, 50_000)
    memo.store([small])
    assert memo.store([large]) == 0
    assert isinstance(memo.lookup([small.key])[0], Found)
    assert memo.counters()["rejected"] == 1


def test_a_bound_of_nothing_is_refused() -> None:
    with pytest.raises(CacheError, match="cache=none"):
        LruMemo(0)


def test_many_threads_share_it() -> None:
    memo = LruMemo(200_000)
    wrong: list[object] = []

    def work() -> None:
        for _ in range(50):
            batch = entries(10, 1000)
            memo.store(batch)
            for entry, answer in zip(batch, memo.lookup([e.key for e in batch]), strict=True):
                if isinstance(answer, Found) and answer.value != entry.value:
                    wrong.append(entry)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert memo.counters()["hits"] + memo.counters()["misses"] == 8 * 50 * 10


def test_what_the_far_tier_had_is_kept_near() -> None:
    secret = Sealing(secret=b"s")
    far = DictBlobs()
    (entry,) = entries(1, 100)
    DictMemo(secret, far.mapping).store([entry])
    memo = SealedMemo(far, secret, near=Near())
    tiers = [memo.lookup([entry.key])[0] for _ in range(2)]
    assert [answer.tier for answer in tiers if isinstance(answer, Found)] == ["dict", "lru"]


@pytest.mark.parametrize("value", [{"chunks": ["one", "two"]}, ["a", ["b"]], "text", (1, [2]), 7])
def test_what_the_far_tier_had_is_each_callers_own_from_the_first_time_on(value: object) -> None:
    """It is held encoded until it is asked for again, then as it is where it can be: no caller sees another's."""
    far = DictBlobs()
    entry = Entry(os.urandom(20), value, 0.0)
    DictMemo(Sealing(secret=b"s"), far.mapping).store([entry])
    memo = SealedMemo(far, Sealing(secret=b"s"), near=Near())
    for _ in range(4):
        (answer,) = memo.lookup([entry.key])
        assert isinstance(answer, Found)
        assert answer.value == value
        spoil_in_place(answer.value)


def spoil_in_place(value: object) -> None:
    if isinstance(value, dict):
        for member in value.values():
            spoil_in_place(member)
        value.clear()
    elif isinstance(value, list | tuple):
        for member in value:
            spoil_in_place(member)
        if isinstance(value, list):
            value.clear()


def test_the_bound_holds_when_what_was_held_encoded_takes_more_as_it_is() -> None:
    far, near, sealing = DictBlobs(), Near(60_000), Sealing(secret=b"s")
    many = [Entry(os.urandom(20), ["x"] * 100, 0.0) for _ in range(60)]
    DictMemo(sealing, far.mapping).store(many)
    memo = SealedMemo(far, sealing, near=near)
    for _ in range(3):
        for entry in many:
            assert isinstance(memo.lookup([entry.key])[0], Found)
            assert near.used_bytes() <= 60_000


@pytest.mark.parametrize("spoil", [lambda blob: blob[:-1], lambda blob: blob[:-1] + b"\0\0"])
def test_what_has_no_right_seal_never_comes_near(spoil: Callable[[bytes], bytes]) -> None:
    far, near = DictBlobs(), Near()
    memo = SealedMemo(far, Sealing(secret=b"s"), near=near)
    (entry,) = entries(1, 100)
    memo.store([entry])
    near.clear()
    far.mapping[entry.key] = spoil(far.mapping[entry.key])
    assert memo.lookup([entry.key]) == [Missed("corrupt")]
    assert near.get([entry.key]) == {}
    assert entry.key not in far.mapping


def test_what_is_near_ends_when_its_life_does() -> None:
    now = [1000.0]
    far, sealing = DictBlobs(), Sealing(secret=b"s", ttl_seconds=60, now=lambda: now[0])
    memo = SealedMemo(far, sealing, near=Near())
    (entry,) = entries(1, 100)
    memo.store([entry])
    now[0] = 1050.0
    assert isinstance(memo.lookup([entry.key])[0], Found)
    now[0] = 1070.0
    assert memo.lookup([entry.key]) == [Missed("expired")]


def test_what_is_near_still_answers_when_the_store_has_lost_it() -> None:
    far = DictBlobs()
    memo = SealedMemo(far, near=Near())
    (entry,) = entries(1, 100)
    memo.store([entry])
    far.mapping.clear()
    (answer,) = memo.lookup([entry.key])
    assert isinstance(answer, Found)
    assert (answer.value, answer.tier) == (entry.value, "lru")


def test_a_value_over_the_limit_is_counted_and_not_kept() -> None:
    memo = DictMemo(Sealing(max_value_bytes=1000))
    (entry,) = entries(1, 2000)
    assert memo.store([entry]) == 0
    assert memo.counters()["rejected_too_large"] == 1
