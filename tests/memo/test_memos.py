"""Every memo passes one check."""

from __future__ import annotations

import os
from collections.abc import Callable

from dataflow.memo.base import Entry, Memo, Missed
from dataflow.memo.dictionary import DictMemo
from dataflow.memo.lru import LruMemo
from dataflow.memo.near import Near
from dataflow.memo.none import NoMemo
from dataflow.memo.redis import RedisBlobs, RedisMemo
from dataflow.memo.sealed import SealedMemo
from dataflow.memo.sealing import Sealing
from dataflow.memo.server import EmbeddedServer

Check = Callable[[Callable[[], Memo]], None]


def test_the_dictionary_is_a_memo(check_memo: Check) -> None:
    check_memo(DictMemo)


def test_the_lru_is_a_memo(check_memo: Check) -> None:
    check_memo(LruMemo)


def test_each_server_is_a_memo(check_memo: Check, each_server: EmbeddedServer) -> None:
    check_memo(lambda: RedisMemo(each_server.url))


def test_two_tiers_are_a_memo(check_memo: Check, each_server: EmbeddedServer) -> None:
    check_memo(lambda: SealedMemo(RedisBlobs(each_server.url), near=Near()))


def test_compressed_values_are_a_memo(check_memo: Check) -> None:
    check_memo(lambda: DictMemo(Sealing(payload="lz4")))
    check_memo(lambda: DictMemo(Sealing(payload="zstd")))


def test_values_with_a_life_are_a_memo(check_memo: Check, each_server: EmbeddedServer) -> None:
    check_memo(lambda: RedisMemo(each_server.url, Sealing(ttl_seconds=60)))


def test_no_memo_misses_and_keeps_nothing() -> None:
    memo = NoMemo()
    key = os.urandom(20)
    assert isinstance(memo, Memo)
    assert memo.store([Entry(key, 1, 1.0)]) == 0
    assert memo.lookup([key, key]) == [Missed("off")] * 2
    assert memo.counters()["misses"] == 2
