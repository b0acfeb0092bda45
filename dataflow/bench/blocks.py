"""Randomised complete blocks: each holds every arm once, in an order that favours none.

The orders are the rows of a Williams design with randomly named treatments, taken in random order: over as
many blocks as there are arms, each arm stands once at every position, and (for an even number of arms) comes
once right after every other. Fewer blocks are a random part of that, so that no arm has the same position
twice. See E. J. Williams, "Experimental designs balanced for the estimation of residual effects of
treatments", Australian Journal of Scientific Research A 2 (1949), 149-168.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

__all__ = ["block_order"]

T = TypeVar("T")


def block_order(arms: Sequence[T], block: int, seed: int) -> tuple[T, ...]:
    """The arms in the order of one block.

    Args:
        arms: in any fixed order.
        block: its number, from 0. After ``len(arms)`` blocks a new design begins.
        seed: the run's; equal seeds give equal orders.
    """
    count = len(arms)
    if not count:
        return ()
    design, row = divmod(block, count)
    generator = random.Random(f"{seed}/{design}")
    treatments = generator.sample(range(count), count)
    shift = generator.sample(range(count), count)[row]
    return tuple(arms[treatments[(step + shift) % count]] for step in _zigzag(count))


def _zigzag(count: int) -> list[int]:
    """0, 1, n-1, 2, n-2 and so on: neighbours differ by another amount each time."""
    low, high = iter(range(1, count)), iter(range(count - 1, 0, -1))
    return [0] + [next(low) if i % 2 else next(high) for i in range(1, count)]
