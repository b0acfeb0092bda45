"""Servers that ask who is there: TLS with a certificate of one's own, and users with few rights."""

from __future__ import annotations

import os
import shutil
import subprocess
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from dataflow import Pipeline, run, stage
from dataflow.errors import CacheError
from dataflow.memo.admin import cache_stats, clear, generation, invalidate_stage, invalidate_tag
from dataflow.memo.base import Entry, Found, Missed
from dataflow.memo.connect import check_server
from dataflow.memo.launch import free_port
from dataflow.memo.redis import RedisMemo
from dataflow.memo.sealing import Sealing
from dataflow.memo.server import EmbeddedServer
from dataflow.memo.spec import close_memos
from dataflow.memo.words import befell

SEALING = Sealing(secret=b"shared")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CA of our own, and a certificate that it signed for 127.0.0.1."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl for redis over TLS: install it to run this test")
    folder = tmp_path_factory.mktemp("tls")
    (folder / "san").write_text("subjectAltName=IP:127.0.0.1")
    new = ["req", "-newkey", "rsa:2048", "-nodes", "-batch"]
    signs = ["-addext", "keyUsage=critical,keyCertSign,cRLSign"]  # Python 3.13 asks what a CA is for
    for command in (
        [*new, "-x509", "-days", "2", "-subj", "/CN=our own CA", *signs, "-keyout", "ca.key", "-out", "ca.crt"],
        [*new, "-subj", "/CN=redis", "-keyout", "redis.key", "-out", "redis.csr"],
        ["x509", "-req", "-days", "2", "-in", "redis.csr", "-CA", "ca.crt", "-CAkey", "ca.key",
         "-CAcreateserial", "-extfile", "san", "-out", "redis.crt"],
    ):  # fmt: skip
        subprocess.run(["openssl", *command], cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def tls_port(certificates: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    binary = shutil.which("redis-server")
    if binary is None:
        pytest.skip("no redis-server is installed")
    port = free_port()
    command = [
        binary, "--port", "0", "--tls-port", str(port), "--bind", "127.0.0.1", "--save", "", "--tls-auth-clients",
        "no", "--tls-cert-file", "redis.crt", "--tls-key-file", "redis.key", "--tls-ca-cert-file", "ca.crt",
    ]  # fmt: skip
    server = subprocess.Popen(command, cwd=certificates, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    for line in server.stdout:
        if "Ready to accept" in line:
            break
    yield port
    server.kill()
    server.wait()


def test_a_server_behind_tls_is_used_if_its_certificate_is_right(tls_port: int, certificates: Path) -> None:
    url = f"rediss://127.0.0.1:{tls_port}?ssl_ca_certs={certificates}/ca.crt"
    assert check_server(url)["redis_version"]
    memo, name = RedisMemo(url, SEALING), os.urandom(20)
    assert memo.store([Entry(name, "value", 1.0)]) == 1, {k: v for k, v in memo.counters().items() if v}
    assert isinstance(memo.lookup([name])[0], Found)
    invalidate_tag(url, "t")
    memo.close()


def test_a_server_whose_certificate_nobody_we_trust_signed_is_down(tls_port: int) -> None:
    url = f"rediss://127.0.0.1:{tls_port}"
    assert RedisMemo(url, SEALING).lookup([os.urandom(20)]) == [Missed("down")]
    with pytest.raises(CacheError, match="certificate"):
        check_server(url)


RIGHTS = "+mget +get +mset +set +del +pexpire +ping +info"


def let_in(admin: redis.Redis) -> None:
    admin.execute_command("ACL", "SETUSER", "worker", "on", ">pass word", "~mine:*", "-@all", *RIGHTS.split())


@pytest.fixture
def user(each_server: EmbeddedServer) -> Iterator[str]:
    """A URL of a user who may do what a run needs, in one namespace, and nothing else."""
    admin = redis.Redis.from_url(each_server.url)
    let_in(admin)
    connection = admin.connection_pool.connection_kwargs
    if "path" in connection:
        yield f"unix://worker:pass%20word@{connection['path']}"
    else:
        yield f"redis://worker:pass%20word@{connection['host']}:{connection['port']}"
    admin.execute_command("ACL", "DELUSER", "worker")


def test_a_user_needs_few_rights_to_run(user: str) -> None:
    memo = RedisMemo(user, Sealing(secret=b"shared", tag="t"), namespace="mine")
    name = os.urandom(20)
    (missed,) = memo.lookup([name])
    assert isinstance(missed, Missed)
    assert [claim.value for claim in memo.claim([name])] == ["won"]
    assert memo.store([Entry(name, "value", 1.0, missed.epoch)]) == 1
    memo.release([name])
    assert isinstance(memo.lookup([name])[0], Found)
    assert len(generation(user, "mine")) == 16
    invalidate_tag(user, "t", "mine")
    assert memo.lookup([name]) == [Missed("epoch")]
    assert memo.counters()["errors"] == 0
    memo.close()


def test_a_user_who_may_not_set_many_values_at_once_sets_them_one_by_one(
    user: str, each_server: EmbeddedServer
) -> None:
    admin = redis.Redis.from_url(each_server.url)
    admin.execute_command("ACL", "SETUSER", "worker", "-mset")
    memo = RedisMemo(user, SEALING, namespace="mine")
    entries = [Entry(os.urandom(20), number, 1.0) for number in range(10)]
    assert memo.store(entries[:5]) == memo.store(entries[5:]) == 5
    assert [found.value for found in memo.lookup([e.key for e in entries])] == list(range(10))  # type: ignore[union-attr]
    assert memo.counters()["round_trips"] == 4  # it asked for MSET once
    assert memo.counters().get("refused", 0) == 0
    memo.close()


def test_a_namespace_that_is_not_the_users_is_misses(user: str) -> None:
    memo, name = RedisMemo(user, SEALING, namespace="theirs"), os.urandom(20)
    assert memo.store([Entry(name, "value", 1.0)]) == 0
    assert memo.lookup([name]) == [Missed("down")]
    assert memo.counters()["errors_NoPermissionError"] == 1
    memo.close()


def test_what_needs_more_rights_says_so_without_the_password(user: str) -> None:
    for refused in (cache_stats, clear, lambda url, name: invalidate_stage(url, "chunk", name)):
        with pytest.raises(CacheError) as caught:
            refused(user, "mine")
        assert "pass" not in str(caught.value).replace("pass word", "pass") or "***" in str(caught.value)
        assert "pass word" not in str(caught.value)


@pytest.fixture
def admin(tls_port: int, certificates: Path) -> Iterator[redis.Redis]:
    """Who may do everything on the server behind TLS, where the worker is let in too."""
    client = redis.Redis.from_url(f"rediss://127.0.0.1:{tls_port}?ssl_ca_certs={certificates}/ca.crt")
    let_in(client)
    yield client
    client.execute_command("ACL", "DELUSER", "worker")
    client.flushall()
    client.close()
    close_memos()


@pytest.fixture
def tls_user(admin: redis.Redis, tls_port: int, certificates: Path) -> str:
    return f"rediss://worker:pass%20word@127.0.0.1:{tls_port}?ssl_ca_certs={certificates}/ca.crt"


@stage
def spell(data: bytes) -> list[str]:
    return list(data.decode())


def go(url: str, corpus: str, **options: Any) -> Any:
    """A run of which everything that could be noted is noted."""
    options = {"cache": "redis", "namespace": "mine", "batching": "fixed:2", "admission": False, **options}
    return run(Pipeline(spell), corpus, cluster="inline", redis_url=url, **options)


TEXTS = [f"document {number}" for number in range(20)]


def nowhere(tmp_path: Path, *words: str) -> bool:
    """Whether none of the words is in a file that a run wrote."""
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    return not any(word.encode() in data for data in written for word in words)


def test_a_run_over_tls_as_a_user_of_few_rights_hits_the_second_time_and_notes_no_password(
    tls_user: str,
    write_corpus: Any,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level("DEBUG")
    corpus = write_corpus(*TEXTS)
    expected = {o.document: o.value for o in go(tls_user, corpus, cache="none")}
    for caches in ({}, {"redis": 20}):
        with go(tls_user, corpus) as running:
            assert {o.document: o.value for o in running} == expected
        assert running.summary.caches == caches
        assert running.summary.counters.get("errors", 0) == 0
    with go(tls_user, corpus, output=tmp_path / "out") as running:
        assert sum(outcome.cache == "redis" for outcome in running) == 20
    assert len(list((tmp_path / "out").rglob("*.parquet"))) > 0
    shown = caplog.text + "".join(capfd.readouterr()) + repr(running) + repr(running.summary)
    for word in ("pass word", "pass%20word"):
        assert word not in shown
        assert nowhere(tmp_path / "out", word)


def test_a_wrong_password_ends_a_run_before_it_begins_in_a_line_without_it(
    tls_user: str,
    write_corpus: Any,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level("DEBUG")
    wrong = tls_user.replace("pass%20word", "hush%20hush")
    with pytest.raises(CacheError, match=r"refuses: .*check the user, the password") as caught:
        go(wrong, write_corpus(*TEXTS), output=tmp_path / "out")
    shown = "".join(traceback.format_exception(caught.value))
    assert "\n" not in str(caught.value)
    for word in ("hush hush", "hush%20hush"):
        assert word not in shown + caplog.text + "".join(capfd.readouterr())
    assert not (tmp_path / "out").exists()


def test_a_user_who_is_shut_out_in_the_middle_of_a_run_costs_only_the_hits(
    tls_user: str, admin: redis.Redis, write_corpus: Any
) -> None:
    corpus = write_corpus(*TEXTS)
    expected = {o.document: o.value for o in go(tls_user, corpus)}
    values = {}
    with go(tls_user, corpus) as running:
        for number, outcome in enumerate(running):
            values[outcome.document] = outcome.value
            if number == 5:
                admin.execute_command("ACL", "DELUSER", "worker")
    counted = running.summary.counters
    assert values == expected
    assert 6 <= running.summary.caches["redis"] < 20
    assert running.summary.caches["redis"] + counted["misses_down"] == 20
    assert counted["errors_AuthenticationError"] > 0
    said = " / ".join(befell(counted))
    assert "AuthenticationError" in said
    assert "pass" not in said
