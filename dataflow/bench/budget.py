"""How many blocks a run has time for, and how long it will still take."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from dataflow.bench.suites import Suite

__all__ = ["Progress", "blocks_that_fit"]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a benchmark is.

    Attributes:
        done: trials that have ended.
        total: trials there will be; an estimate until the first block has ended.
        arm: the arm at work, such as ``cache=redis warm``.
        block: its block, from 1.
        blocks: how many there will be.
        seconds_left: an estimate; ``None`` before there is one.
    """

    done: int
    total: int
    arm: str
    block: int
    blocks: int
    seconds_left: float | None


def blocks_that_fit(suite: Suite, block_seconds: Sequence[float], max_seconds: float | None = None) -> int:
    """How many blocks to run, those that have ended included.

    Args:
        suite: its bounds hold. Where its first block has phases that others lack, only a second one tells.
        block_seconds: what each block took so far; one at least.
        max_seconds: what all blocks may take together; the suite's own if left out.
    """
    seconds = suite.seconds if max_seconds is None else max_seconds
    apart = 1 if suite.once else 0
    if len(block_seconds) <= apart:
        return suite.most_blocks
    typical = statistics.fmean(block_seconds[apart:])
    left = seconds - sum(block_seconds[:apart])
    fit = apart + int(left / typical) if typical > 0 else suite.most_blocks
    return max(suite.least_blocks, min(suite.most_blocks, fit))
