"""Which arms can be told from the best: paired log ratios over blocks, and sign flips of whole blocks. Pure.

The statistic is the largest |t| over all arms, and its distribution comes from flipping the signs of whole blocks, so
that the chance of calling any equal arm slower stays below :data:`ALPHA` however many there are: P. H. Westfall and
S. S. Young, "Resampling-based multiple testing", Wiley 1993. The best is taken from the same blocks, which favours it:
what is called slower by little may owe that to chance.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dataflow.report.summary import BLOCKS_FOR_A_VERDICT

__all__ = ["ALPHA", "BEST", "INCONCLUSIVE", "INDISTINGUISHABLE", "SLOWER", "Standing", "standings"]

ALPHA = 0.05
BEST, SLOWER = "best", "slower"
INDISTINGUISHABLE, INCONCLUSIVE = "indistinguishable", "inconclusive"

_MOST_BLOCKS = 12  # all flips of more would take long; the first ones are as good as any


@dataclass(frozen=True)
class Standing:
    """How one arm stands to the best.

    Attributes:
        name: the arm's.
        ratios: its speed over the best's, a block each.
        verdict: ``best``; ``slower``; ``indistinguishable``, no difference was found; ``inconclusive``, so few
            blocks can find none.
    """

    name: str
    ratios: tuple[float, ...]
    verdict: str


def standings(speeds: Mapping[str, Mapping[int, float]]) -> list[Standing]:
    """How each arm stands to the best, which comes first, by falling speed.

    Args:
        speeds: a speed above 0 by block, for each arm; blocks that not all have are left out.
    """
    if not speeds:
        return []
    blocks = sorted(set.intersection(*(set(found) for found in speeds.values())))[:_MOST_BLOCKS]
    if not blocks:
        return [Standing(name, (), INCONCLUSIVE) for name in speeds]
    logs = {name: [math.log(found[b]) for b in blocks] for name, found in speeds.items()}
    order = sorted(logs, key=lambda name: -statistics.fmean(logs[name]))
    best = order[0]
    differences = {n: [a - b for a, b in zip(logs[n], logs[best], strict=True)] for n in order[1:]}
    chances = _chances(differences)
    found = [Standing(best, (1.0,) * len(blocks), BEST)]
    for name, values in differences.items():
        ratios = tuple(math.exp(d) for d in values)
        found.append(Standing(name, ratios, _verdict(chances[name], len(blocks))))
    return found


def _verdict(chance: float, blocks: int) -> str:
    if blocks < BLOCKS_FOR_A_VERDICT:
        return INCONCLUSIVE
    return SLOWER if chance <= ALPHA else INDISTINGUISHABLE


def _chances(differences: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """For each arm, how often flipped signs give some arm as large a statistic as its own."""
    seen = {name: _statistic(values) for name, values in differences.items()}
    blocks = len(next(iter(differences.values()), ()))
    as_large = dict.fromkeys(seen, 0)
    flips = list(itertools.product((1, -1), repeat=max(0, blocks - 1)))  # all signs turned is the same again
    for flip in flips:
        signs = (1, *flip)
        largest = max(
            (_statistic([s * v for s, v in zip(signs, d, strict=True)]) for d in differences.values()),
            default=0.0,
        )
        for name, own in seen.items():
            as_large[name] += largest >= own - 1e-12
    return {name: count / len(flips) for name, count in as_large.items()}


def _statistic(values: Sequence[float]) -> float:
    """|mean| over root mean square: grows with |t|, and needs no variance above 0."""
    square = math.fsum(v * v for v in values)
    return abs(math.fsum(values)) / math.sqrt(len(values) * square) if square else 0.0
