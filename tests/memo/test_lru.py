from __future__ import annotations

import os
import threading

import pytest

from dataflow.errors import CacheError
from dataflow.memo.base import Entry, Found, Missed
from dataflow.memo.dictionary import DictBlobs, DictMemo
from dataflow.memo.lru import LruBlobs, LruMemo
from dataflow.memo.sealed import Sealing
from dataflow.memo.tiered import TieredMemo


def entries(count: int, size: int) -> list[Entry]:
    return [Entry(os.urandom(20), os.urandom(size), 0.0) for _ in range(count)]


def test_it_never_holds_more_than_its_bound() -> None:
    blobs = LruBlobs(100_000)
    memo = TieredMemo(blobs, DictBlobs())
    for entry in entries(300, 1000):
        memo.store([entry])
        assert blobs.used_bytes() <= 100_000
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
    memo = TieredMemo(LruBlobs(), far, secret)
    tiers = [memo.lookup([entry.key])[0] for _ in range(2)]
    assert [answer.tier for answer in tiers if isinstance(answer, Found)] == ["dict", "lru"]


def test_a_damaged_near_copy_is_forgotten() -> None:
    sealing = Sealing(secret=b"s")
    near, far = DictBlobs(), DictBlobs()
    memo = TieredMemo(near, far, sealing)
    (entry,) = entries(1, 100)
    memo.store([entry])
    near.mapping[entry.key] = near.mapping[entry.key][:-1]
    assert memo.lookup([entry.key]) == [Missed("corrupt")]
    assert entry.key not in near.mapping


def test_a_value_over_the_limit_is_counted_and_not_kept() -> None:
    memo = DictMemo(Sealing(max_value_bytes=1000))
    (entry,) = entries(1, 2000)
    assert memo.store([entry]) == 0
    assert memo.counters()["rejected_too_large"] == 1
