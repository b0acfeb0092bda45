from __future__ import annotations

import dataclasses
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from dataflow.errors import CacheError
from dataflow.memo.base import Entry, Found
from dataflow.memo.server import EmbeddedServer
from dataflow.memo.spec import KINDS, MemoSpec, close_memos, open_memo

URL = "redis://user:hush-hush@localhost/0"


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    close_memos()


def test_a_spec_shows_neither_secret_nor_password() -> None:
    shown = repr(MemoSpec("redis", URL, b"a very secret"))
    assert "very" not in shown
    assert "hush" not in shown
    assert "user" in shown


def test_a_spec_travels_to_workers() -> None:
    spec = MemoSpec("tiered", URL, b"secret", ttl_seconds=5)
    assert pickle.loads(pickle.dumps(spec)) == spec


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_can_be_opened(kind: str, valkey: EmbeddedServer) -> None:
    memo = open_memo(MemoSpec(kind, valkey.url, b"secret"))
    key = os.urandom(20)
    kept = memo.store([Entry(key, "v", 1.0)])
    assert isinstance(memo.lookup([key])[0], Found) == (kept == 1) == (kind != "none")


def test_all_threads_of_a_process_share_one_memo() -> None:
    spec = MemoSpec("lru", secret=b"secret")
    with ThreadPoolExecutor(8) as pool:
        memos = list(pool.map(lambda _: open_memo(spec), range(64)))
    assert len({id(memo) for memo in memos}) == 1
    assert open_memo(dataclasses.replace(spec, max_bytes=10_000)) is not memos[0]


def test_a_closed_memo_is_opened_anew() -> None:
    spec = MemoSpec("dict")
    first = open_memo(spec)
    close_memos()
    assert open_memo(spec) is not first


@pytest.mark.parametrize(
    "options",
    [
        {"kind": "memcached"},
        {"kind": "redis"},
        {"kind": "tiered", "url": URL},
        {"kind": "redis", "secret": b"s"},
        {"kind": "lru", "ttl_seconds": 0},
        {"kind": "lru", "tag": "models"},
    ],
)
def test_a_spec_that_makes_no_sense_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(CacheError):
        MemoSpec(**options)


def test_what_can_not_be_opened_is_refused() -> None:
    for spec in (
        MemoSpec("redis", "http://u:hush@host", b"s"),
        MemoSpec("lru", secret=b"s", payload="gzip"),
        MemoSpec("lru", secret=b"s", max_bytes=0),
    ):
        with pytest.raises(CacheError) as caught:
            open_memo(spec)
        assert "hush" not in str(caught.value)


def test_redis_is_imported_only_when_it_is_used() -> None:
    program = (
        "import sys; from dataflow.memo import MemoSpec, open_memo; open_memo(MemoSpec('lru', secret=b's'));"
        "print([m for m in ('redis', 'pyarrow', 'numpy', 'distributed') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    )  # fmt: skip
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("namespace", ["", " ", "a:b"])
def test_no_namespace_lies_inside_another(namespace):
    with pytest.raises(CacheError, match="without a colon"):
        MemoSpec("none", namespace=namespace)
