from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import Any

import fsspec
import pytest
import redis

from dataflow import Pipeline, run, stage
from dataflow.memo.base import Entry, Found, Missed
from dataflow.memo.dictionary import DictBlobs
from dataflow.memo.sealed import SealedMemo
from dataflow.memo.sealing import Sealing
from dataflow.memo.server import EmbeddedServer
from dataflow.memo.spec import MemoSpec, close_memos, open_memo
from dataflow.memo.spill import SpillFolder, SpillingBlobs

SEALING = Sealing(secret=b"shared")


def memo_in(folder: object, blobs: DictBlobs | None = None) -> SealedMemo:
    return SealedMemo(SpillingBlobs(blobs or DictBlobs(), SpillFolder(str(folder)), 1000), SEALING)


def entry(size: int) -> Entry:
    return Entry(os.urandom(20), os.urandom(size), 0.5)


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_large_value_is_a_file_and_a_small_one_is_not(tmp_path: Path) -> None:
    blobs = DictBlobs()
    memo, small, large = memo_in(tmp_path, blobs), entry(100), entry(5000)
    assert memo.store([small, large]) == 2
    assert len(blobs.mapping[large.key]) < 200
    (file,) = files(tmp_path)
    assert file.suffix == ".spill"
    assert [f.value for f in memo.lookup([small.key, large.key])] == [small.value, large.value]  # type: ignore[union-attr]
    assert memo.counters()["spilled"] == 1
    assert memo.counters()["spilled_bytes"] > 5000


def test_the_server_holds_a_pointer_and_other_workers_follow_it(
    valkey: EmbeddedServer, tmp_path: Path
) -> None:
    for kind in ("redis", "tiered"):
        spec = MemoSpec(
            kind,
            valkey.url,
            b"shared",
            namespace=f"spill-{kind}",
            spill_url=tmp_path.as_uri(),
            spill_bytes=1000,
        )
        large = entry(100_000)
        open_memo(spec).store([large])
        assert redis.Redis.from_url(valkey.url).strlen(f"spill-{kind}:".encode() + large.key) < 200
        close_memos()
        assert open_memo(spec).lookup([large.key])[0].value == large.value  # type: ignore[union-attr]
        close_memos()


def test_any_file_system_of_fsspec_will_do() -> None:
    url = f"memory://spill-{uuid.uuid4().hex}"
    memo, large = memo_in(url), entry(5000)
    memo.store([large])
    assert memo.lookup([large.key])[0].value == large.value  # type: ignore[union-attr]
    assert len(fsspec.filesystem("memory").find(url)) == 1


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda file: file.unlink(), "spill"),
        (lambda file: file.write_bytes(file.read_bytes()[:-1]), "corrupt"),
        (lambda file: file.write_bytes(b""), "corrupt"),
        (lambda file: file.write_bytes(os.urandom(file.stat().st_size)), "corrupt"),
    ],
)
def test_a_file_that_is_missing_or_damaged_is_a_counted_miss_and_written_anew(
    tmp_path: Path, damage: object, reason: str
) -> None:
    memo, large = memo_in(tmp_path), entry(5000)
    memo.store([large])
    damage(files(tmp_path)[0])  # type: ignore[operator]
    assert memo.lookup([large.key]) == [Missed(reason)]
    assert memo.counters()[f"misses_{reason}"] == 1
    memo.store([large])
    assert isinstance(memo.lookup([large.key])[0], Found)


def test_a_pointer_to_the_file_of_another_key_is_a_forged_miss(tmp_path: Path) -> None:
    blobs = DictBlobs()
    memo, one, other = memo_in(tmp_path, blobs), entry(5000), entry(5000)
    memo.store([one, other])
    blobs.mapping[one.key] = blobs.mapping[other.key]
    assert memo.lookup([one.key, other.key])[0] == Missed("forged")


def test_a_folder_that_can_not_be_written_keeps_nothing_and_hurts_nobody(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    memo, small, large = memo_in(tmp_path / "file"), entry(10), entry(5000)
    assert memo.store([small, large]) == 1
    assert isinstance(memo.lookup([small.key])[0], Found)
    assert memo.lookup([large.key]) == [Missed("new")]
    assert memo.counters()["spill_errors"] == 1


def test_equal_values_are_one_file_whenever_and_under_whatever_key_they_are_stored(tmp_path: Path) -> None:
    value = os.urandom(5000)
    for _ in range(3):
        memo_in(tmp_path).store([Entry(os.urandom(20), value, 0.5, ttl_seconds=9.0)])
    assert len(files(tmp_path)) == 1


def test_the_oldest_files_go_first_until_the_rest_fits(tmp_path: Path) -> None:
    memo, entries = memo_in(tmp_path), [entry(5000) for _ in range(4)]
    for age, one in enumerate(entries):
        before = set(files(tmp_path))
        memo.store([one])
        (new,) = set(files(tmp_path)) - before
        os.utime(new, (1e9 + age, 1e9 + age))
    assert SpillFolder(str(tmp_path)).trim(11_000) == 2
    assert [type(answer) for answer in memo.lookup([e.key for e in entries])] == [
        Missed,
        Missed,
        Found,
        Found,
    ]


def test_a_value_that_looks_like_a_pointer_is_a_value(tmp_path: Path) -> None:
    memo = memo_in(tmp_path)
    memo.store([Entry(bytes(20), b"DFs2" + bytes(28), 0.5)])
    (found,) = memo.lookup([bytes(20)])
    assert isinstance(found, Found)
    assert found.value == b"DFs2" + bytes(28)


def test_clearing_removes_spilled_files_and_no_others(tmp_path: Path) -> None:
    memo_in(tmp_path).store([entry(5000), entry(5000)])
    (tmp_path / "thesis.txt").write_text("years of work")
    assert SpillFolder(str(tmp_path)).clear() == 2
    assert files(tmp_path) == [tmp_path / "thesis.txt"]


@stage
def enlarge(data: bytes) -> bytes:
    return data * 150_000


def test_a_runs_large_values_are_files_and_one_that_was_removed_is_computed_again(
    valkey: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From one process to another; the third document is small enough for the server."""
    (tmp_path / "corpus").mkdir()
    for number, text in enumerate(("document", "another document", "x")):
        (tmp_path / "corpus" / f"{number}.txt").write_text(text)
    spill = tmp_path / "spill"
    monkeypatch.setenv("DATAFLOW_SPILL_URL", spill.as_uri())

    def go(cluster: str, cache: str = "redis") -> tuple[dict[str, object], Any]:
        options = {"cache": cache, "namespace": "spilling", "admission": False, "batching": "fixed:2"}
        corpus = str(tmp_path / "corpus")
        with run(
            Pipeline(enlarge), corpus, cluster=cluster, workers=1, redis_url=valkey.url, **options
        ) as running:
            return {o.document: (o.status, o.value) for o in running}, running.summary

    expected = go("inline", "none")[0]
    cold, summary = go("inline")
    assert (cold, summary.caches) == (expected, {})
    assert (summary.counters["spilled"], len(files(spill))) == (2, 2)
    client = redis.Redis.from_url(valkey.url)
    assert sum(client.strlen(key) for key in client.scan_iter(match="spilling:*", count=1000)) < 2**18
    warm, summary = go("processes")
    assert (warm, summary.caches) == (expected, {"spill": 2, "redis": 1})
    files(spill)[0].unlink()
    mended, summary = go("inline")
    assert (mended, summary.caches) == (expected, {"spill": 1, "redis": 1})
    assert summary.counters["misses_spill"] == 1
    assert go("inline")[1].caches == {"spill": 2, "redis": 1}
