"""A server that fails in any way is a counted miss, and a batch is one round trip."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest
import redis

from dataflow.errors import CacheError
from dataflow.memo.base import Entry, Found, Missed
from dataflow.memo.blobs import Sealed
from dataflow.memo.connect import check_server
from dataflow.memo.redis import RedisBlobs, RedisMemo
from dataflow.memo.sealing import Sealing
from dataflow.memo.server import EmbeddedServer
from tests.support.servers import server_that

SEALING = Sealing(secret=b"shared")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def entries(count: int, size: int = 100) -> list[Entry]:
    return [Entry(os.urandom(20), os.urandom(size), 0.1) for _ in range(count)]


def values(answers: list[Found | Missed]) -> list[Any]:
    return [answer.value if isinstance(answer, Found) else answer for answer in answers]


def calls(client: redis.Redis, command: str) -> int:
    stats: Any = client.info("commandstats")
    return int(stats.get(f"cmdstat_{command}", {}).get("calls", 0))


def garbage_server(answer: bytes) -> contextlib.AbstractContextManager[str]:
    """A server that says the same to everything, then hangs up."""

    def serve(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(answer)

    return server_that(serve)


def test_a_batch_is_one_round_trip(each_server: EmbeddedServer) -> None:
    client = redis.Redis.from_url(each_server.url)
    memo = RedisMemo(each_server.url)
    batch = entries(128)
    client.config_resetstat()
    memo.store(batch)
    memo.lookup([e.key for e in batch] * 2)
    assert memo.counters()["round_trips"] == 2
    assert (calls(client, "mget"), calls(client, "get")) == (1, 0)
    assert (calls(client, "mset"), calls(client, "set")) == (1, 0)


def test_a_server_without_mset_is_given_values_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """As some proxies are, and servers on which it was renamed."""
    blobs, asked = RedisBlobs("redis://127.0.0.1:1"), []

    def ask(commands: Any, *, writing: bool = False) -> list[Any]:
        asked.append([command[0] for command in commands])
        return [redis.ResponseError("unknown command") if c[0] == "MSET" else True for c in commands]

    monkeypatch.setattr(blobs.wire, "ask", ask)
    items = [Sealed(os.urandom(20), b"value", None) for _ in range(3)]
    assert blobs.write(items) == blobs.write(items) == 3
    assert asked == [["MSET"], ["SET"] * 3, ["SET"] * 3]


def test_a_large_batch_is_asked_in_chunks_of_one_round_trip(valkey: EmbeddedServer) -> None:
    client = redis.Redis.from_url(valkey.url)
    memo = RedisMemo(valkey.url)
    batch = entries(600, size=20)
    memo.store(batch)
    before = memo.counters()["round_trips"]
    client.config_resetstat()
    assert values(memo.lookup([e.key for e in batch])) == [e.value for e in batch]
    assert memo.counters()["round_trips"] == before + 1
    assert calls(client, "mget") == 3


def test_a_batch_of_over_32_mb_is_written_in_two_round_trips_and_comes_back_whole() -> None:
    """Read in one: in more and more MGETs of fewer values, once it is known how large they are."""
    with EmbeddedServer() as server:
        client = redis.Redis.from_url(server.url)
        memo = RedisMemo(server.url, SEALING)
        batch = entries(34, size=2**20)
        assert memo.store(batch) == 34
        assert memo.counters()["round_trips"] == 2
        asked = []
        for _ in range(5):
            client.config_resetstat()
            assert values(memo.lookup([e.key for e in batch])) == [e.value for e in batch]
            asked.append(calls(client, "mget"))
        assert memo.counters()["round_trips"] == 2 + 5
        assert asked == sorted(asked)
        assert (asked[0], asked[-1]) == (1, 34)
        memo.close()


def test_values_live_as_long_as_they_are_told_give_or_take_a_tenth(valkey: EmbeddedServer) -> None:
    client = redis.Redis.from_url(valkey.url)
    batch = entries(50)
    RedisMemo(valkey.url, Sealing(ttl_seconds=1000)).store(batch)
    lives = [client.pttl(b"dataflow:" + e.key) / 1000 for e in batch]
    assert all(890 < life <= 1100 for life in lives)
    assert max(lives) - min(lives) > 50


def test_namespaces_do_not_see_each_other(valkey: EmbeddedServer) -> None:
    (entry,) = entries(1)
    RedisMemo(valkey.url, SEALING, namespace="one").store([entry])
    assert RedisMemo(valkey.url, SEALING, namespace="two").lookup([entry.key]) == [Missed("new")]
    assert values(RedisMemo(valkey.url, SEALING, namespace="one").lookup([entry.key])) == [entry.value]


def test_a_value_sealed_with_another_secret_is_told_from_a_forged_one(valkey: EmbeddedServer) -> None:
    (entry,) = entries(1)
    RedisMemo(valkey.url, Sealing(secret=b"attacker")).store([entry])
    memo = RedisMemo(valkey.url, SEALING)
    assert memo.lookup([entry.key]) == [Missed("secret")]
    assert memo.counters()["misses_secret"] == 1


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda data: data[:-1], "corrupt"),
        (lambda data: data[:10], "corrupt"),
        (lambda data: b"", "corrupt"),
        (lambda data: b"garbage" * 100, "corrupt"),
        (lambda data: data[:-1] + bytes([data[-1] ^ 1]), "forged"),
    ],
)
def test_a_damaged_value_is_a_counted_miss_and_is_mended(
    valkey: EmbeddedServer, damage: Callable[[bytes], bytes], reason: str
) -> None:
    client = redis.Redis.from_url(valkey.url)
    memo = RedisMemo(valkey.url)
    good, bad = batch = entries(2)
    memo.store(batch)
    name = b"dataflow:" + bad.key
    client.set(name, damage(client.get(name)))  # type: ignore[arg-type]
    assert values(memo.lookup([good.key, bad.key])) == [good.value, Missed(reason)]
    assert memo.counters()[f"misses_{reason}"] == 1
    memo.store([bad])
    assert values(memo.lookup([bad.key])) == [bad.value]


def test_values_swapped_between_keys_are_forged_misses(valkey: EmbeddedServer) -> None:
    client = redis.Redis.from_url(valkey.url)
    memo = RedisMemo(valkey.url)
    one, two = batch = entries(2)
    memo.store(batch)
    names = [b"dataflow:" + e.key for e in batch]
    first, second = client.mget(names)  # type: ignore[misc]
    client.mset({names[0]: second, names[1]: first})
    assert memo.lookup([one.key, two.key]) == [Missed("forged")] * 2


def test_a_key_of_another_type_is_a_miss_and_is_overwritten(each_server: EmbeddedServer) -> None:
    client = redis.Redis.from_url(each_server.url)
    memo = RedisMemo(each_server.url)
    (entry,) = entries(1)
    client.lpush(b"dataflow:" + entry.key, "a list")
    assert memo.lookup([entry.key]) == [Missed("new")]
    memo.store([entry])
    assert values(memo.lookup([entry.key])) == [entry.value]


def test_a_flushed_server_is_misses(valkey: EmbeddedServer) -> None:
    memo = RedisMemo(valkey.url, namespace="flushed")
    batch = entries(3)
    memo.store(batch)
    redis.Redis.from_url(valkey.url).flushall()
    assert memo.lookup([e.key for e in batch]) == [Missed("new")] * 3


def test_a_full_server_still_serves_what_it_has() -> None:
    with EmbeddedServer(max_bytes=8 * 2**20, policy="noeviction") as server:
        memo = RedisMemo(server.url)
        (small,) = entries(1)
        memo.store([small])
        for _ in range(6):
            memo.store(entries(4, size=2**20))
        counted = memo.counters()
        assert counted["refused_OutOfMemoryError"] > 0
        assert counted["rejected"] > 0
        assert values(memo.lookup([small.key])) == [small.value]


def test_an_evicting_server_only_ever_gives_right_values() -> None:
    with EmbeddedServer(max_bytes=6 * 2**20, policy="allkeys-random") as server:
        memo = RedisMemo(server.url)
        batch = entries(200, size=100_000)
        memo.store(batch)
        answers = values(memo.lookup([e.key for e in batch]))
        assert all(a in (e.value, Missed("new")) for a, e in zip(answers, batch, strict=True))
        assert Missed("new") in answers


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1", "unix:///nowhere/at/all", "rediss://127.0.0.1:1"])
def test_a_server_that_is_not_there_is_misses_and_then_left_alone(url: str) -> None:
    memo = RedisMemo(url, clock=Clock())
    for _ in range(10):
        assert memo.lookup([os.urandom(20)] * 2) == [Missed("down")] * 2
        assert memo.store(entries(1)) == 0
    counted = memo.counters()
    assert counted["round_trips"] == 6  # three look-ups and three stores, each with its own breaker
    assert counted["breaker_opened"] == 2
    assert counted["misses_down"] == 20


@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"+OK\r\n", b"$-1\r\n", b"*1\r\n:7\r\n",
     b"*1\r\n*1\r\n$1\r\na\r\n", b"-LOADING wait\r\n", b"\x00\xff" * 99,
     b":5\r\n", b"*-1\r\n", b"$99999999999\r\n", b"-ERR unknown command\r\n"],
)  # fmt: skip
def test_a_server_that_talks_nonsense_is_misses(answer: bytes) -> None:
    with garbage_server(answer) as url:
        memo = RedisMemo(url)
        (found,) = memo.lookup([os.urandom(20)])
        assert isinstance(found, Missed)
        assert memo.store(entries(1)) in (0, 1)  # "+OK" is what a server that kept it says
        memo.close()


@pytest.mark.parametrize("answer", [b":7\r\n", b"*1\r\n:1\r\n", b"*-1\r\n"])
def test_a_server_that_talks_nonsense_of_itself_is_one_clear_line(answer: bytes) -> None:
    with garbage_server(answer) as url, pytest.raises(CacheError, match="doesn't answer"):
        check_server(url)


def test_a_server_that_answers_byte_by_byte_is_waited_for_no_longer_than_the_bound() -> None:
    hung_up = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            connection.recv(65536)
            connection.sendall(b"*1\r\n$2000\r\n")
            for _ in range(2000):
                connection.sendall(b"x")
                hung_up.wait(0.01)
            connection.sendall(b"\r\n")

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    memo = RedisMemo(f"redis://127.0.0.1:{listener.getsockname()[1]}", answer_seconds=0.1)
    assert memo.lookup([bytes(20)]) == [Missed("down")]
    assert memo.counters()["errors_TimeoutError"] == 1
    memo.close()
    hung_up.set()
    thread.join()
    listener.close()


def test_a_stopped_server_is_misses_in_bounded_time_and_is_used_again() -> None:
    clock = Clock()
    with EmbeddedServer() as server:
        memo = RedisMemo(server.url, SEALING, socket_seconds=0.1, clock=clock)
        batch = entries(4)
        memo.store(batch)
        os.kill(server.pid, signal.SIGSTOP)
        try:
            for _ in range(20):
                assert memo.lookup([batch[0].key]) == [Missed("down")]
            assert memo.counters()["errors_TimeoutError"] == 3
            assert memo.counters()["skipped"] == 17
        finally:
            os.kill(server.pid, signal.SIGCONT)
        assert memo.lookup([batch[0].key]) == [Missed("down")]
        clock.now += 60
        assert values(memo.lookup([e.key for e in batch])) == [e.value for e in batch]


def test_a_killed_server_is_misses() -> None:
    with EmbeddedServer() as server:
        memo = RedisMemo(server.url)
        batch = entries(4)
        memo.store(batch)
        os.kill(server.pid, signal.SIGKILL)
        assert memo.lookup([e.key for e in batch]) == [Missed("down")] * 4
        assert memo.store(batch) == 0


def test_a_lost_connection_is_opened_again(valkey: EmbeddedServer) -> None:
    memo = RedisMemo(valkey.url)
    (entry,) = entries(1)
    memo.store([entry])
    redis.Redis.from_url(valkey.url).client_kill_filter(_type="normal", skipme=True)
    assert values(memo.lookup([entry.key])) == [entry.value]
    assert memo.counters()["errors"] == 0


def test_a_closed_memo_may_be_used_again(valkey: EmbeddedServer) -> None:
    memo = RedisMemo(valkey.url)
    (entry,) = entries(1)
    memo.store([entry])
    memo.close()
    assert values(memo.lookup([entry.key])) == [entry.value]


def test_many_threads_share_one_memo(valkey: EmbeddedServer) -> None:
    memo = RedisMemo(valkey.url)
    wrong: list[object] = []

    def work() -> None:
        for _ in range(20):
            batch = entries(10)
            memo.store(batch)
            if values(memo.lookup([e.key for e in batch])) != [e.value for e in batch]:
                wrong.append(batch)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert memo.counters()["hits"] == 8 * 20 * 10


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_has_connections_of_its_own(valkey: EmbeddedServer) -> None:
    memo = RedisMemo(valkey.url)
    batch = entries(50, size=10_000)
    memo.store(batch)
    right = [e.value for e in batch]

    def child() -> None:
        ok = all(values(memo.lookup([e.key for e in batch])) == right for _ in range(20))
        os._exit(0 if ok else 1)

    processes = [multiprocessing.get_context("fork").Process(target=child) for _ in range(2)]
    for process in processes:
        process.start()
    assert all(values(memo.lookup([e.key for e in batch])) == right for _ in range(20))
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
