"""Servers that ask who is there: TLS with a certificate of one's own, and users with few rights."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from dataflow.errors import CacheError
from dataflow.memo.admin import cache_stats, clear, generation, invalidate_stage, invalidate_tag
from dataflow.memo.base import Entry, Found, Missed
from dataflow.memo.connect import check_server
from dataflow.memo.launch import free_port
from dataflow.memo.redis import RedisMemo
from dataflow.memo.sealing import Sealing
from dataflow.memo.server import EmbeddedServer

SEALING = Sealing(secret=b"shared")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CA of our own, and a certificate that it signed for 127.0.0.1."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl for redis over TLS: install it to run this test")
    folder = tmp_path_factory.mktemp("tls")
    (folder / "san").write_text("subjectAltName=IP:127.0.0.1")
    new = ["req", "-newkey", "rsa:2048", "-nodes", "-batch"]
    for command in (
        [*new, "-x509", "-days", "2", "-subj", "/CN=our own CA", "-keyout", "ca.key", "-out", "ca.crt"],
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


RIGHTS = "+mget +get +set +del +pexpire +ping +info"


@pytest.fixture
def user(each_server: EmbeddedServer) -> Iterator[str]:
    """A URL of a user who may do what a run needs, in one namespace, and nothing else."""
    admin = redis.Redis.from_url(each_server.url)
    admin.execute_command("ACL", "SETUSER", "worker", "on", ">pass word", "~mine:*", "-@all", *RIGHTS.split())
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
