"""Whatever befalls the server in the middle of a real run on processes, the outputs are those of no cache."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from dataflow import Pipeline, run, stage
from dataflow.engine.clusters import open_cluster
from dataflow.graph.work import BatchResult
from dataflow.memo.server import EmbeddedServer
from dataflow.memo.words import befell

DOCUMENTS = 120


@stage
def extract(data: bytes) -> str:
    return data.decode() * 50


@stage
def chunk(text: str) -> list[str]:
    return [text[i : i + 100] for i in range(0, len(text), 100)]


PIPELINE = Pipeline(extract, chunk)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with open_cluster("processes", 2) as opened:
        yield opened.client


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    for number in range(DOCUMENTS):
        (folder / f"{number:03}.txt").write_text(f"document {number} " * (1 + number % 9))
        os.utime(folder / f"{number:03}.txt", (1e9, 1e9))
    return folder


@pytest.fixture(scope="module")
def expected(corpus: Path) -> dict[str, Any]:
    return {o.document: o.value for o in run(PIPELINE, str(corpus), cluster="inline")}


def go(client: Any, corpus: Path, url: str, at: dict[int, Callable[[], object]], **options: Any) -> Any:
    """One run, with something done after so many outcomes; returns its values and its summary."""
    options = {"cache": "tiered", "freshness": "stat", "batching": "fixed:3", "admission": False, **options}
    values = {}
    with run(PIPELINE, str(corpus), cluster=client, redis_url=url, **options) as running:
        for number, outcome in enumerate(running):
            assert (outcome.status, outcome.attempts) == ("ok", 1)  # nothing of the server ends a batch
            values[outcome.document] = outcome.value
            if number in at:
                at.pop(number)()
    return values, running.summary


def test_a_server_that_is_killed(cluster: Any, corpus: Path, expected: dict[str, Any]) -> None:
    with EmbeddedServer() as server:
        values, summary = go(cluster, corpus, server.url, {20: lambda: os.kill(server.pid, signal.SIGKILL)})
    assert values == expected
    assert summary.counters["misses_down"] > 0
    assert "no connection" in " / ".join(befell(summary.counters))


def until(seconds: float, ended: Callable[[], bool], urls: list[str]) -> Iterator[str]:
    """A corpus that goes on with the same documents until something has happened, for so long at most."""
    limit = time.monotonic() + seconds
    yield from urls
    while not ended() and time.monotonic() < limit:
        yield from urls


WATCHED = ("breaker_", "skipped_")


def test_a_server_that_is_stopped_and_goes_on(cluster: Any, corpus: Path, expected: dict[str, Any]) -> None:
    """It is stopped until a worker leaves look-ups alone; the run lasts until one has found it well again."""
    seen: Counter[str] = Counter()
    documents = until(120, lambda: seen["breaker_closed"] > 0, list(expected))
    options = {"cache": "redis", "freshness": "stat", "batching": "fixed:3", "admission": False}
    with EmbeddedServer() as server:
        stopped = going_on = False

        def see(result: BatchResult) -> None:
            seen.update({name: int(n) for name, n in result.counters.items() if name.startswith(WATCHED)})

        with run(
            PIPELINE, documents, cluster=cluster, redis_url=server.url, on_batch=see, **options
        ) as running:
            for number, outcome in enumerate(running):
                assert outcome.value == expected[outcome.document]
                if number == 20:
                    os.kill(server.pid, signal.SIGSTOP)
                    stopped = True
                elif stopped and not going_on and seen["skipped_reads"]:
                    os.kill(server.pid, signal.SIGCONT)
                    going_on = True
        warm, after = go(cluster, corpus, server.url, {})
    counters = running.summary.counters
    assert counters["errors_TimeoutError"] >= 3
    assert counters["breaker_opened"] > 0
    assert counters["breaker_closed"] > 0
    assert counters["skipped_reads"] > 0
    said = " / ".join(befell(counters))
    assert re.search(r"\d+ calls? to the server failed: \d+ TimeoutError \(no answer in time\)", said)
    assert re.search(r"was left alone (once|\d+ times) after .*, and found well again (once|\d+ times)", said)
    assert re.search(r"\d+ look-ups? .*skipped meanwhile", said)
    assert warm == expected
    assert after.total == DOCUMENTS


@pytest.mark.parametrize("cache", ["redis", "tiered"])
def test_a_server_that_is_flushed_again_and_again(
    cluster: Any, corpus: Path, expected: dict[str, Any], valkey: EmbeddedServer, cache: str
) -> None:
    flush = redis.Redis.from_url(valkey.url).flushall
    for _ in range(2):
        at = dict.fromkeys(range(5, 110, 10), flush)
        assert go(cluster, corpus, valkey.url, at, cache=cache)[0] == expected


@pytest.mark.parametrize("policy", ["noeviction", "allkeys-random"])
def test_a_server_that_is_full(cluster: Any, corpus: Path, expected: dict[str, Any], policy: str) -> None:
    with EmbeddedServer(max_bytes=3 * 2**20, policy=policy) as server:
        fill = redis.Redis.from_url(server.url)
        with pytest.raises(redis.ResponseError) if policy == "noeviction" else threading.Lock():
            for number in range(40):
                fill.set(f"other:{number}", os.urandom(100_000))
        options = {"cache": "redis"}
        assert go(cluster, corpus, server.url, {}, **options)[0] == expected
        values, summary = go(cluster, corpus, server.url, {}, **options)
    assert values == expected
    if policy == "noeviction":
        assert summary.counters["refused_OutOfMemoryError"] > 0
        assert "(the server is full)" in " / ".join(befell(summary.counters))


def test_a_server_whose_every_value_is_damaged(
    cluster: Any, corpus: Path, expected: dict[str, Any], valkey: EmbeddedServer
) -> None:
    client = redis.Redis.from_url(valkey.url)
    options = {"cache": "redis", "namespace": "damaged"}
    go(cluster, corpus, valkey.url, {}, **options)
    keys = [k for k in client.scan_iter(match="damaged:*", count=1000) if k != b"damaged:generation"]
    data = client.mget(keys)
    for number, (key, value) in enumerate(zip(keys, data, strict=True)):  # type: ignore[arg-type]
        broken = [value[:-1], b"", bytes(len(value)), value[:-1] + bytes([value[-1] ^ 1]), data[number - 1]]  # type: ignore[index]
        client.set(key, broken[number % 5])
    values, summary = go(cluster, corpus, valkey.url, {}, **options)
    assert values == expected
    assert summary.caches == {}
    counted = summary.counters
    assert counted["misses_corrupt"] + counted["misses_forged"] == DOCUMENTS
    assert go(cluster, corpus, valkey.url, {}, **options)[1].caches == {"redis": DOCUMENTS}


def test_connections_that_are_cut_in_the_middle(
    cluster: Any, corpus: Path, expected: dict[str, Any], valkey: EmbeddedServer
) -> None:
    client = redis.Redis.from_url(valkey.url)
    at = {n: lambda: client.client_kill_filter(_type="normal", skipme=True) for n in range(3, 110, 7)}
    assert go(cluster, corpus, valkey.url, at, cache="redis", namespace="cut")[0] == expected


def test_a_warm_batch_is_one_command_of_the_server(
    cluster: Any, corpus: Path, expected: dict[str, Any], valkey: EmbeddedServer
) -> None:
    """Counted by the server itself, on worker processes that ask it for nothing else."""
    client = redis.Redis.from_url(valkey.url)
    options = {"cache": "redis", "namespace": "counted", "batching": "fixed:40"}
    go(cluster, corpus, valkey.url, {}, **options)
    client.config_resetstat()
    values, summary = go(cluster, corpus, valkey.url, {}, **options)
    calls = {k: v["calls"] for k, v in client.info("commandstats").items()}  # type: ignore[union-attr]
    assert values == expected
    assert summary.caches == {"redis": DOCUMENTS}
    assert calls["cmdstat_mget"] == summary.counters["round_trips"] == DOCUMENTS / 40
    assert "cmdstat_set" not in calls


@pytest.mark.parametrize("payload", ["lz4", "zstd"])
def test_compressed_values_are_found_again_and_take_less(
    cluster: Any, corpus: Path, expected: dict[str, Any], valkey: EmbeddedServer, payload: str
) -> None:
    client = redis.Redis.from_url(valkey.url)
    held = {}
    for kind in ("raw", payload):
        options = {"cache": "redis", "namespace": f"{kind}-for-{payload}", "payload": kind}
        cold, first = go(cluster, corpus, valkey.url, {}, **options)
        warm, second = go(cluster, corpus, valkey.url, {}, **options)
        assert cold == warm == expected
        assert (first.caches, second.caches) == ({}, {"redis": DOCUMENTS})
        names = list(client.scan_iter(match=f"{options['namespace']}:*", count=1000))
        held[kind] = sum(client.strlen(name) for name in names)
    assert held[payload] < held["raw"] / 2


def test_two_clusters_on_one_server_share_what_they_know(
    cluster: Any, corpus: Path, expected: dict[str, Any], valkey: EmbeddedServer
) -> None:
    options = {"cache": "tiered", "namespace": "shared"}
    go(cluster, corpus, valkey.url, {}, **options)
    with open_cluster("processes", 1) as other:
        values, summary = go(other.client, corpus, valkey.url, {}, **options)
    assert values == expected
    assert summary.caches == {"redis": DOCUMENTS}


@stage
def slow(data: bytes) -> int:
    """Leaves a line for each time it is called."""
    import time

    folder, name = os.environ["DATAFLOW_TEST_CALLS"], data.decode()
    with open(os.path.join(folder, name), "a") as file:
        file.write("called\n")
    time.sleep(0.05)
    return len(name)


def tell(folder: str) -> None:
    os.environ["DATAFLOW_TEST_CALLS"] = folder


def test_one_cold_key_that_many_workers_ask_for_is_computed_once(
    cluster: Any, valkey: EmbeddedServer, tmp_path: Path
) -> None:
    """Forty copies of each document, a batch each: on two workers, and in two runs at the same time."""
    calls, corpus = tmp_path / "calls", tmp_path / "corpus"
    calls.mkdir()
    corpus.mkdir()
    for number in range(40):
        (corpus / f"{number}.txt").write_text(f"document-{number % 2}")
    cluster.run(tell, str(calls))
    results: list[list[Any]] = []

    def ask() -> None:
        options = {"cache": "redis", "namespace": "flight", "batching": "fixed:1", "admission": False}
        found = run(Pipeline(slow), str(corpus), cluster=cluster, redis_url=valkey.url, **options)
        results.append([outcome.value or outcome.error for outcome in found])

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [[10] * 40] * 2
    assert {path.name: path.read_text() for path in calls.iterdir()} == {
        "document-0": "called\n",
        "document-1": "called\n",
    }


@stage
def held(data: bytes) -> int:
    """Says who is at it; the first of all is until it is killed. Of a document that names a folder, that is."""
    import threading
    from pathlib import Path

    folder = Path(data.decode())
    if not folder.is_dir():
        return len(data)
    with open(folder / "computing", "a") as file:
        file.write(f"{os.getpid()}\n")
    try:
        os.close(os.open(folder / "first", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return 0
    (folder / "holder").write_text(str(os.getpid()))
    os.close(os.open(folder / "begun", os.O_WRONLY))  # a pipe: waits for the one who will kill it
    threading.Event().wait()
    return -1


def kill_holder_once_another_waits(monitor: Any, folder: Path) -> None:
    """The server itself says when somebody looks whether the lease is still held."""
    while True:
        command = monitor.next_command()["command"]
        if command.startswith("MGET orphan:lease:"):
            break
    os.close(os.open(folder / "begun", os.O_RDONLY))
    os.kill(int((folder / "holder").read_text()), signal.SIGKILL)


def test_a_worker_that_is_killed_while_others_wait_for_its_value_costs_no_document(
    cluster: Any, valkey: EmbeddedServer, tmp_path: Path
) -> None:
    folder, documents = tmp_path / "folder", tmp_path / "corpus"
    folder.mkdir()
    documents.mkdir()
    os.mkfifo(folder / "begun")
    for number in range(2):
        (documents / f"{number}.txt").write_text(str(folder))
    for number in range(2, 20):
        (documents / f"{number}.txt").write_text("x" * number)
    options = {"cache": "redis", "namespace": "orphan", "batching": "fixed:1", "admission": False}
    with redis.Redis.from_url(valkey.url, socket_timeout=60).monitor() as monitor:
        killer = threading.Thread(target=kill_holder_once_another_waits, args=(monitor, folder), daemon=True)
        killer.start()
        with run(Pipeline(held), str(documents), cluster=cluster, redis_url=valkey.url, **options) as running:
            found = sorted((Path(o.document).stem, o.status, o.value) for o in running)
        killer.join()
    assert found == sorted((str(n), "ok", n if n > 1 else 0) for n in range(20))
    first, *others = (folder / "computing").read_text().split()
    assert first == (folder / "holder").read_text()
    assert others
    assert first not in others
    assert running.summary.counters["lease_waits"] >= 1
    assert not list(redis.Redis.from_url(valkey.url).scan_iter(match="orphan:lease:*"))


class Garbler:
    """A proxy before a server on a Unix socket, which alters what the server says from its nth answer on.

    It may hang up after each answer that it altered, so that nobody waits for the rest of it.
    """

    def __init__(
        self, path: Path, after: int, alter: Callable[[bytes, bytes], bytes], hang_up: bool = False
    ) -> None:
        self._path, self._after, self._alter, self._hang_up = str(path), after, alter, hang_up
        self._lock = threading.Lock()
        self._answers, self._before = 0, b""
        self.altered = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> str:
        self._begin(self._accept)
        return f"redis://127.0.0.1:{self._listener.getsockname()[1]}"

    def __exit__(self, *_: object) -> None:
        for one in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for one in (self._listener, *self._sockets):
            one.close()

    def _begin(self, what: Callable[..., None], *args: object) -> None:
        self._threads.append(threading.Thread(target=what, args=args, daemon=True))
        self._threads[-1].start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                asking, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._path)
                self._sockets += [asking, server]
                self._begin(self._pass_on, asking, server, lambda data: data)
                self._begin(self._pass_on, server, asking, self._altered)

    def _pass_on(
        self, source: socket.socket, target: socket.socket, change: Callable[[bytes], bytes]
    ) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(2**20):
                target.sendall(change(data))
                if self._hang_up and self.altered and source.family == socket.AF_UNIX:
                    break
        for one in (source, target):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _altered(self, data: bytes) -> bytes:
        with self._lock:
            self._answers += 1
            if self._answers <= self._after:
                if data.startswith(b"*"):
                    self._before = data
                return data
            self.altered += 1
            return self._alter(data, self._before)


NOISE = random.Random(7)
GARBAGE: dict[str, Callable[[bytes, bytes], bytes]] = {
    "noise": lambda data, before: NOISE.randbytes(len(data)),
    "noise before the answer": lambda data, before: NOISE.randbytes(40) + data,
    "noise after the answer": lambda data, before: data + NOISE.randbytes(40),
    "half the answer and noise": lambda data, before: data[: len(data) // 2] + NOISE.randbytes(len(data)),
    "the answer twice": lambda data, before: data + data,
    "an earlier answer": lambda data, before: before,
    "an earlier answer before it": lambda data, before: before + data,
}
# What follows a whole answer isn't taken for the next one.
HARMLESS = ("noise after the answer", "the answer twice")


@pytest.mark.parametrize("kind", GARBAGE)
def test_a_server_that_answers_garbage_from_some_answer_on(
    cluster: Any, corpus: Path, expected: dict[str, Any], valkey: EmbeddedServer, kind: str
) -> None:
    options = {"cache": "redis", "namespace": f"garbled-{kind}"}
    assert go(cluster, corpus, valkey.url, {}, **options)[0] == expected
    garbler = Garbler(valkey.folder / "s", 12, GARBAGE[kind], hang_up=kind not in HARMLESS)
    with garbler as url:
        values, summary = go(cluster, corpus, url, {}, **options)
    assert garbler.altered > 0
    assert values == expected
    assert summary.caches["redis"] > 0
    assert kind in HARMLESS or summary.caches["redis"] < DOCUMENTS
    counted = summary.counters
    reasons = {name: n for name, n in counted.items() if name.startswith("misses_") and n}
    assert sum(reasons.values()) + summary.caches["redis"] == DOCUMENTS
    assert reasons.keys() <= {"misses_down", "misses_corrupt", "misses_forged"}
    again, after = go(cluster, corpus, valkey.url, {}, **options)
    assert (again, after.caches) == (expected, {"redis": DOCUMENTS})
