from __future__ import annotations

import pytest

from dataflow.bench.budget import blocks_that_fit
from dataflow.bench.suites import SUITES

QUICK = SUITES["quick"]


@pytest.mark.parametrize(
    ("block_seconds", "blocks"),
    [
        (QUICK.seconds / 4, 4),
        (QUICK.seconds / 4 + 0.1, 3),
        (1.0, QUICK.most_blocks),
        (10 * QUICK.seconds, QUICK.least_blocks),
        (0.0, QUICK.most_blocks),
    ],
)
def test_as_many_blocks_as_fit_within_the_suites_bounds(block_seconds, blocks):
    assert blocks_that_fit(QUICK, [block_seconds]) == blocks


def test_the_users_own_limit_takes_the_place_of_the_suites():
    assert blocks_that_fit(QUICK, [10.0], max_seconds=35.0) == 3


def test_a_first_block_with_phases_of_its_own_says_nothing_about_the_others():
    batching = SUITES["batching"]
    assert blocks_that_fit(batching, [60.0], max_seconds=100.0) == batching.most_blocks
    assert blocks_that_fit(batching, [60.0, 9.0, 11.0], max_seconds=100.0) == 5
