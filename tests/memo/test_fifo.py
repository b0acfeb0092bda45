from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from dataflow.memo.fifo import Fifo


def key(number: int) -> bytes:
    return number.to_bytes(20, "big")


def test_one_pass_over_a_large_corpus_does_not_wash_out_what_is_in_use() -> None:
    store: Fifo[bytes] = Fifo(100_000)
    used = [key(i) for i in range(50)]
    store.put([(k, bytes(1000)) for k in used])
    store.get(used)
    for number in range(1000, 11_000):
        store.put([(key(number), bytes(1000))])
    assert len(store.get(used)) == 50


def test_what_comes_back_soon_after_it_went_goes_to_the_main_queue() -> None:
    store: Fifo[bytes] = Fifo(10_000)
    store.put([(key(i), bytes(1000)) for i in range(12)])  # two have gone, and are remembered
    assert store.get([key(0)]) == {}
    store.put([(key(0), bytes(1000))])
    store.put([(key(i), bytes(1000)) for i in range(100, 140)])
    assert store.get([key(0)]) == {key(0): bytes(1000)}


def test_skewed_use_is_served_better_than_by_recency_alone() -> None:
    from collections import OrderedDict

    rng = random.Random(7)
    # A tenth of the keys gets half of the look-ups; the rest are scans.
    asked = [rng.randrange(60) if rng.random() < 0.5 else rng.randrange(100, 5000) for _ in range(20_000)]
    store, recent, ours, theirs = Fifo[bytes](60_000), OrderedDict[int, None](), 0, 0
    for number in asked:
        if not store.get([key(number)]):
            store.put([(key(number), bytes(1000))])
        else:
            ours += 1
        theirs += number in recent
        recent[number] = None
        recent.move_to_end(number)
        if len(recent) > 60:
            recent.popitem(last=False)
    assert ours > 1.3 * theirs


@given(st.lists(st.tuples(st.sampled_from("gprd"), st.integers(0, 30), st.integers(0, 400)), max_size=200))
def test_it_keeps_its_bound_and_its_books_whatever_is_done(steps: list[tuple[str, int, int]]) -> None:
    store, latest = Fifo[bytes](1000, overhead_bytes=10), dict[int, bytes]()
    for step, number, size in steps:
        if step == "g":
            assert store.get([key(number)]).get(key(number), latest.get(number)) == latest.get(number)
        elif step == "p":
            latest[number] = bytes([number]) * size
            store.put([(key(number), latest[number])])
        elif step == "r":
            known = store.get([key(number)])
            evicted, _ = store.replace([(key(number), bytes([number]) * size)])
            latest[number] = bytes([number]) * size if known else latest.get(number, b"")
            assert evicted or bool(store.get([key(number)])) == bool(known)
        else:
            store.discard([key(number)])
        held = store.get([key(n) for n in range(31)]).values()
        assert store.used_bytes == sum(len(data) + 10 for data in held) <= 1000
        assert len(store) == len(held)
