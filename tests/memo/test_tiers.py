"""What a look-up took is told by the tier that it was spent in."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dataflow.memo.base import Entry
from dataflow.memo.dictionary import DictBlobs, DictMemo
from dataflow.memo.lru import LruMemo
from dataflow.memo.near import Near
from dataflow.memo.sealed import SealedMemo
from dataflow.memo.sealing import Sealing
from dataflow.memo.spill import SpillFolder, SpillingBlobs


class SlowBlobs(DictBlobs):
    """A store that takes 20 ms."""

    def read(self, keys):  # type: ignore[no-untyped-def]
        import time

        time.sleep(0.02)
        return super().read(keys)


def entries(count: int, size: int = 100) -> list[Entry]:
    return [Entry(os.urandom(20), os.urandom(size), 0.5) for _ in range(count)]


def test_keys_seconds_and_bytes_are_those_of_the_tier_that_was_asked() -> None:
    kept, sealing = entries(5), Sealing()
    blobs = SlowBlobs()
    SealedMemo(blobs, sealing).store(kept)
    memo = SealedMemo(blobs, sealing, near=Near())
    keys = [entry.key for entry in kept]
    memo.lookup(keys[:2])
    before = memo.counters()
    memo.lookup([*keys, os.urandom(20)])
    after = memo.counters()
    found = {name: after[name] - before.get(name, 0.0) for name in after}
    assert (found["asked_lru"], found["asked_dict"]) == (6, 4)
    assert (found["hits_lru"], found["hits_dict"], found["misses_new"]) == (2, 3, 1)
    assert found["bytes_read_lru"] + found["bytes_read_dict"] == found["bytes_read"] == 5 * 248
    assert found["bytes_read_lru"] == 2 * 248
    assert found["lookup_seconds_dict"] >= 0.02 > found["lookup_seconds_lru"] > 0
    shares = found["lookup_seconds_dict"] + found["lookup_seconds_lru"]
    assert shares == pytest.approx(found["lookup_seconds"])


@pytest.mark.parametrize("memo", [LruMemo(), DictMemo()], ids=["lru", "dict"])
def test_a_memo_of_one_tier_asks_it_for_all(memo: SealedMemo) -> None:
    kept = entries(3)
    memo.store(kept)
    memo.lookup([*(entry.key for entry in kept), os.urandom(20)])
    counters = memo.counters()
    assert counters[f"asked_{memo.name}"] == 4
    assert counters[f"lookup_seconds_{memo.name}"] == counters["lookup_seconds"]
    assert counters[f"bytes_read_{memo.name}"] == counters["bytes_read"]
    assert [name for name in counters if name.startswith("asked_")] == [f"asked_{memo.name}"]


def test_with_a_tag_the_epoch_is_the_stores_time_though_every_value_is_near() -> None:
    sealing, kept = Sealing(tag="models"), entries(2)
    memo = SealedMemo(DictBlobs(), sealing, near=Near())
    (missed, _) = memo.lookup([entry.key for entry in kept])
    memo.store([Entry(e.key, e.value, 0.0, missed.epoch) for e in kept])  # type: ignore[union-attr]
    before = memo.counters()
    memo.lookup([entry.key for entry in kept])
    after = memo.counters()
    assert after["hits_lru"] == 2
    assert after["asked_dict"] == before["asked_dict"]
    assert after["lookup_seconds_dict"] > before["lookup_seconds_dict"]


def test_reading_a_spilled_file_is_a_tier_of_its_own(tmp_path: Path) -> None:
    small, large = *entries(1, 10), *entries(1, 5000)
    memo = SealedMemo(SpillingBlobs(DictBlobs(), SpillFolder(str(tmp_path)), 1000))
    memo.store([small, large])
    memo.lookup([small.key, large.key])
    counters = memo.counters()
    assert (counters["asked_dict"], counters["asked_spill"]) == (2, 1)
    assert (counters["hits_dict"], counters["hits_spill"]) == (1, 1)
    assert (counters["bytes_read_dict"], counters["bytes_read_spill"]) == (158, 5148)
    shares = counters["lookup_seconds_dict"] + counters["lookup_seconds_spill"]
    assert min(counters["lookup_seconds_dict"], counters["lookup_seconds_spill"]) > 0
    assert shares == pytest.approx(counters["lookup_seconds"])


def test_waiting_for_another_worker_is_not_reading() -> None:
    """What is read while waiting is counted as reading alone: the two add up to the time it took."""
    import time

    from dataflow.memo.leases import Leases, LocalLeases

    store, (entry,) = LocalLeases(), entries(1)
    store.take([entry.key], 60)
    memo = SealedMemo(SlowBlobs(), leases=Leases(store, wait_seconds=0.0))
    started = time.perf_counter()
    memo.wait([entry.key])
    whole, counters = time.perf_counter() - started, memo.counters()
    assert counters["lookup_seconds"] >= 0.02
    assert counters["lookup_seconds"] + counters["lease_wait_seconds"] <= whole
