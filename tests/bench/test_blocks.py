from __future__ import annotations

from itertools import pairwise

import pytest

from dataflow.bench.blocks import block_order

ARMS = [f"arm {i}" for i in range(8)]


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 17])
def test_every_block_holds_every_arm_once(count):
    arms = list(range(count))
    for block in range(2 * count + 1):
        assert sorted(block_order(arms, block, seed=1)) == arms


@pytest.mark.parametrize("count", [2, 5, 8])
def test_over_as_many_blocks_as_arms_each_stands_once_at_every_position(count):
    blocks = [block_order(range(count), b, seed=3) for b in range(count)]
    for position in range(count):
        assert sorted(block[position] for block in blocks) == list(range(count))


def test_over_as_many_blocks_as_arms_each_comes_once_right_after_every_other():
    neighbours = [pair for b in range(8) for pair in pairwise(block_order(ARMS, b, seed=5))]
    assert len(set(neighbours)) == len(neighbours) == 8 * 7


def test_the_same_seed_gives_the_same_order_and_another_seed_another():
    def order(seed):
        return [block_order(ARMS, b, seed) for b in range(10)]

    assert order(1) == order(1)
    assert order(1) != order(2)


def test_a_new_design_begins_when_one_is_used_up():
    first, second = ([block_order(ARMS, b + at, seed=0) for b in range(8)] for at in (0, 8))
    assert first != second


def test_no_arms_make_an_empty_block():
    assert block_order([], 0, seed=0) == ()
