"""A key that many ask for at once is computed once; a lease saves work and never stands in its way."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from dataflow.memo.base import LOST, WON, Entry, Found, Memo, Missed
from dataflow.memo.dictionary import DictBlobs, DictMemo
from dataflow.memo.leases import Leases, LocalLeases
from dataflow.memo.redis import RedisMemo
from dataflow.memo.sealed import SealedMemo
from dataflow.memo.sealing import Sealing
from dataflow.memo.server import EmbeddedServer
from dataflow.memo.spec import MemoSpec, close_memos, open_memo

SEALING = Sealing(secret=b"shared")


def key() -> bytes:
    return os.urandom(20)


def solve(memo: Memo, name: bytes, computed: list[int]) -> object:
    """What a worker does with one key."""
    (found,) = memo.lookup([name])
    if isinstance(found, Missed):
        (claim,) = memo.claim([name])
        if claim is LOST:
            (found,) = memo.wait([name])
        elif isinstance(claim, Found):
            found = claim
        if isinstance(found, Missed):
            computed.append(1)
            memo.store([Entry(name, "value", 1.0)])
            memo.release([name])
            return "value"
    return found.value


def test_one_wins_and_the_others_get_its_value(each_server: EmbeddedServer) -> None:
    one, other = (RedisMemo(each_server.url, SEALING, namespace="two") for _ in range(2))
    name = key()
    assert one.claim([name]) == [WON]
    assert other.claim([name]) == [LOST]
    one.store([Entry(name, "value", 1.0)])
    one.release([name])
    assert other.wait([name])[0].value == "value"  # type: ignore[union-attr]
    assert other.claim([name])[0].value == "value"  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", ["redis", "tiered", "dict", "lru"])
def test_many_who_ask_for_one_cold_key_compute_it_once(valkey: EmbeddedServer, kind: str) -> None:
    spec = MemoSpec(kind, valkey.url, b"shared", namespace="many")
    computed: list[int] = []
    names = [key() for _ in range(20)]
    ready = threading.Barrier(8)

    def ask(_: int) -> list[object]:
        memo = open_memo(spec)
        answers = []
        for name in names:
            ready.wait()
            answers.append(solve(memo, name, computed))
        return answers

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(8))) == [["value"] * 20] * 8
    close_memos()
    assert len(computed) == 20


def test_a_claim_that_comes_after_the_value_finds_the_value(valkey: EmbeddedServer) -> None:
    """Missed before another stored, claimed after it released: the race that a claim alone would lose."""
    slow, quick = (RedisMemo(valkey.url, SEALING, namespace="late") for _ in range(2))
    name = key()
    assert isinstance(slow.lookup([name])[0], Missed)
    assert solve(quick, name, []) == "value"
    (claim,) = slow.claim([name])
    assert isinstance(claim, Found)
    assert quick.claim([key()]) == [WON]
    quick.close()
    assert redis.Redis.from_url(valkey.url).exists(b"late:lease:" + name) == 0


def test_claims_are_one_round_trip_and_one_look_whatever_their_number(valkey: EmbeddedServer) -> None:
    memo = RedisMemo(valkey.url, SEALING, namespace="claims")
    before = memo.counters().get("round_trips", 0)
    assert memo.claim([key() for _ in range(100)]) == [WON] * 100
    assert memo.counters()["round_trips"] == before + 2
    memo.close()


def test_who_gives_up_delays_nobody() -> None:
    memo = DictMemo(SEALING)
    name = key()
    assert memo.claim([name]) == [WON]
    memo.release([name])
    assert memo.wait([name]) == [WON]
    assert memo.claim([name]) == [LOST]
    memo.close()


def hold(url: str, name: bytes, held: object) -> None:
    memo = open_memo(MemoSpec("redis", url, b"shared", namespace="killed", lease_seconds=0.3))
    memo.claim([name])
    held.set()  # type: ignore[attr-defined]
    threading.Event().wait()


def test_the_lease_of_a_killed_holder_ends_by_itself_and_not_before(valkey: EmbeddedServer) -> None:
    name = key()
    context = multiprocessing.get_context("spawn")
    held = context.Event()
    holder = context.Process(target=hold, args=(valkey.url, name, held), daemon=True)
    holder.start()
    assert held.wait(30)
    lease = b"killed:lease:" + name
    client = redis.Redis.from_url(valkey.url)
    renewed = 0
    while renewed < 2:  # it is renewed for as long as its holder lives
        before = client.pttl(lease)
        assert before != -2
        renewed += client.pttl(lease) > before
    memo = RedisMemo(valkey.url, SEALING, namespace="killed")
    assert memo.claim([name]) == [LOST]
    os.kill(holder.pid or 0, signal.SIGKILL)
    assert memo.wait([name]) == [WON]
    assert memo.claim([name]) == [LOST]
    assert 0 < memo.counters()["lease_wait_seconds"] < 30
    memo.close()
    holder.join()


def test_of_all_who_wait_for_a_holder_that_is_gone_one_computes() -> None:
    """They wait in threads; the one that takes over holds on until all others have looked again."""
    store, name, others = LocalLeases(), key(), 5
    memo = SealedMemo(DictBlobs(), SEALING, Leases(store))
    store.take([name], 1e9)
    looked = threading.Barrier(others + 1)

    def wait() -> object:
        looked.wait()
        (answer,) = memo.wait([name])
        if answer is WON:
            memo.store([Entry(name, "value", 1.0)])
            memo.release([name])
        return answer

    with ThreadPoolExecutor(others) as pool:
        waiting = [pool.submit(wait) for _ in range(others)]
        looked.wait()
        store.drop([name])  # killed
        answers = [one.result(60) for one in waiting]
    assert answers.count(WON) == 1
    assert sum(isinstance(one, Found) and one.value == "value" for one in answers) == others - 1


def test_two_who_give_up_one_after_the_other_hold_up_nobody() -> None:
    store, name = LocalLeases(), key()
    memo = SealedMemo(DictBlobs(), SEALING, Leases(store, sleep=lambda seconds: store.drop([name])))
    store.take([name], 1e9)
    store.take = lambda keys, seconds: [False]  # type: ignore[method-assign]  # another one is quicker each time
    assert memo.wait([name]) == [Missed("lease")]


def test_nobody_waits_longer_than_the_bound_for_a_holder_that_never_ends() -> None:
    now = [0.0]
    store = LocalLeases(clock=lambda: 0.0)

    def sleep(seconds: float) -> None:
        now[0] += seconds

    leases = Leases(store, wait_seconds=10, clock=lambda: now[0], sleep=sleep)
    memo = SealedMemo(DictBlobs(), SEALING, leases)
    name = key()
    store.take([name], 1e9)
    assert memo.claim([name]) == [LOST]
    assert memo.wait([name]) == [Missed("lease")]
    assert now[0] == pytest.approx(10)


def test_a_server_that_is_down_gives_every_claim_and_holds_nobody_up() -> None:
    memo = RedisMemo("redis://127.0.0.1:1", SEALING)
    names = [key(), key()]
    assert memo.claim(names) == [WON] * 2
    assert memo.wait(names) == [WON] * 2
    memo.release(names)


def test_what_is_closed_gives_its_leases_back(valkey: EmbeddedServer) -> None:
    memo, name = RedisMemo(valkey.url, SEALING, namespace="closing"), key()
    memo.claim([name])
    memo.close()
    assert redis.Redis.from_url(valkey.url).exists(b"closing:lease:" + name) == 0
