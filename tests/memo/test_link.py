"""A run's commands over plain sockets: the same answers and exceptions as by redis-py, which isn't imported."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import redis

from dataflow.errors import CacheError
from dataflow.memo import link
from dataflow.memo.connect import Patience
from dataflow.memo.link import link_to
from dataflow.memo.server import EmbeddedServer
from tests.support.servers import server_that

COMMANDS: list[link.Command] = [
    ("PING",),
    ("SET", b"text", "a text"),
    ("SET", b"text", b"never", "NX"),
    ("MSET", b"one", bytes(range(256)), b"two", b""),
    ("MGET", b"one", b"absent", b"two"),
    ("EXISTS", b"one", b"absent"),
    ("PEXPIRE", b"one", 1000),
    ("DEL", b"one", b"two"),
    ("LPUSH", b"text", b"x"),
    ("NONSENSE",),
]


def told(answer: Any) -> Any:
    return (type(answer), str(answer)) if isinstance(answer, Exception) else answer


def test_answers_are_those_that_redis_py_gets(each_server: EmbeddedServer) -> None:
    plain, other = link_to(each_server.url), link_to(each_server.url)
    by_client = link._ByClient(link.client_of(each_server.url))
    asked = [[told(a) for a in one.ask(COMMANDS)] for one in (plain, other)]
    theirs = [told(a) for a in by_client.ask(COMMANDS)]
    assert asked[0] == asked[1]
    assert asked[0][0] == b"PONG"
    assert asked[0][4] == [bytes(range(256)), None, b""]
    assert asked[0][-2:] == theirs[-2:]
    assert issubclass(asked[0][-1][0], redis.ResponseError)
    for one in (plain, other, by_client):
        one.close()


def test_the_user_the_password_and_the_database_of_a_url_are_used() -> None:
    with EmbeddedServer(tcp=True) as server:
        admin = redis.Redis.from_url(server.url)
        admin.execute_command("ACL", "SETUSER", "me", "on", ">p@ss/word", "~*", "+@all")
        port = admin.connection_pool.connection_kwargs["port"]
        me = link_to(f"redis://me:p%40ss%2Fword@127.0.0.1:{port}/0")
        assert me.ask([("ACL", "WHOAMI")]) == [b"me"]
        for url, error in (
            (f"redis://me:wrong@127.0.0.1:{port}", redis.AuthenticationError),
            (f"{server.url}/7", redis.ResponseError),
        ):
            with pytest.raises(error):
                link_to(url).ask([("PING",)])
        (refused,) = link_to(f"redis://127.0.0.1:{port}").ask([("PING",)])
        assert isinstance(refused, redis.AuthenticationError)
        me.close()


@pytest.mark.parametrize(
    "url",
    ["rediss://host", "redis://host?protocol=3", "unix:///s?db=0&socket_timeout=1", "redis://user@host", "redis://host#1"],
)  # fmt: skip
def test_what_a_url_may_ask_for_besides_is_left_to_redis_py(url: str) -> None:
    assert isinstance(link_to(url), link._ByClient)


def test_without_hiredis_it_is_redis_py(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hiredis", None)
    assert isinstance(link_to("redis://host"), link._ByClient)


@pytest.mark.parametrize("url", ["http://host", "redis://host/name", "redis://host:port"])
def test_what_is_no_url_of_redis_is_said_at_once(url: str) -> None:
    with pytest.raises(CacheError):
        link_to(url)


def test_a_connection_that_the_server_has_closed_is_replaced_and_the_question_asked_again(
    valkey: EmbeddedServer,
) -> None:
    one = link_to(valkey.url)
    one.ask([("SET", b"k", b"v")])
    redis.Redis.from_url(valkey.url).client_kill_filter(_type="normal", skipme=True)
    assert one.ask([("GET", b"k")]) == [b"v"]
    one.close()


def test_a_server_that_hangs_up_each_time_is_asked_twice() -> None:
    seen: list[bytes] = []
    with (
        server_that(lambda connection: seen.append(connection.recv(100))) as url,
        pytest.raises(ConnectionError),
    ):
        link_to(url).ask([("PING",)])
    assert len(seen) == 2


def test_what_nobody_asked_for_is_nobodys_answer() -> None:
    """It lies on the connection, and the next question would take it for its own."""

    def serve(connection: socket.socket) -> None:
        while connection.recv(100):
            connection.sendall(b"$3\r\nown\r\n$5\r\nalien\r\n")

    with server_that(serve) as url:
        one = link_to(url)
        for _ in range(3):
            with contextlib.suppress(ValueError):  # where both came at once
                assert one.ask([("GET", b"k")]) == [b"own"]
        one.close()


@pytest.mark.parametrize("answer", [b"?", b"$-5\r\n", b"*x\r\n"])
def test_what_is_no_redis_is_an_error(answer: bytes) -> None:
    def serve(connection: socket.socket) -> None:
        connection.recv(100)
        connection.sendall(answer)

    with server_that(serve) as url, pytest.raises((ValueError, OSError)):
        link_to(url).ask([("GET", b"k")])


def test_a_stopped_server_is_waited_for_once() -> None:
    with EmbeddedServer() as server:
        one = link_to(server.url, Patience(socket_seconds=0.1))
        one.ask([("PING",)])
        os.kill(server.pid, signal.SIGSTOP)
        with pytest.raises(TimeoutError):
            one.ask([("PING",)])
        os.kill(server.pid, signal.SIGCONT)
        assert one.ask([("ECHO", b"again")]) == [b"again"]
        one.close()


def test_threads_share_its_connections(valkey: EmbeddedServer) -> None:
    one, wrong = link_to(valkey.url), []

    def ask(number: int) -> None:
        for _ in range(200):
            if one.ask([("ECHO", b"%d" % number)] * 3) != [b"%d" % number] * 3:
                wrong.append(number)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    one.close()


def test_a_forked_process_opens_its_own(valkey: EmbeddedServer) -> None:
    one = link_to(valkey.url)
    (mine,) = one.ask([("CLIENT", "ID")])
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(writing, b"%d" % one.ask([("CLIENT", "ID")])[0])
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert int(os.read(reading, 100)) != mine
    assert one.ask([("CLIENT", "ID")]) == [mine]
    os.close(reading)
    os.close(writing)
    one.close()


def test_sixty_four_megabytes_go_there_and_back() -> None:
    with EmbeddedServer(max_bytes=512 * 2**20) as server:
        one, value = link_to(server.url), os.urandom(2**25)
        assert one.ask([("SET", b"a", value), ("SET", b"b", value)]) == [b"OK", b"OK"]
        assert one.ask([("MGET", b"a", b"b")]) == [[value, value]]
        one.close()


PROGRAM = """
import sys
from dataflow import Pipeline, run, stage

@stage
def size(data: bytes) -> int:
    return len(data)

if __name__ == "__main__":
    for _ in range(2):
        found = [outcome.cache for outcome in run(Pipeline(size), sys.argv[1], cache="tiered", cluster="inline")]
    print(sorted({"redis", "asyncio", "valkey", "ssl"} & set(sys.modules)), set(found))
"""


def test_a_run_with_an_embedded_server_imports_no_client(tmp_path: Path) -> None:
    """Each of its processes would take longer to import it than for a hundred documents."""
    (tmp_path / "script.py").write_text(PROGRAM)
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "a.txt").write_text("a")
    done = subprocess.run(
        [sys.executable, "script.py", "corpus"], capture_output=True, text=True, check=True, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": ":".join(p for p in sys.path if p), "REDIS_URL": ""},
    )  # fmt: skip
    assert done.stdout.strip() == "[] {None}"
