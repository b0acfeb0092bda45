"""What a run's cache was worth and what befell it, in a few lines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dataflow.errors import counted
from dataflow.memo.admin import net_seconds_saved
from dataflow.memo.words import befell, missed, not_kept

if TYPE_CHECKING:
    from dataflow.engine.running import Summary

__all__ = ["cache_lines"]


def cache_lines(summary: Summary) -> Iterator[str]:
    """How many documents each tier answered, the net seconds saved, why the others were computed, and what befell.

    Nothing, for a run that asked no cache.
    """
    counters = summary.counters
    reasons = missed(counters)
    bypassed = int(counters.get("bypassed", 0))
    if summary.caches or reasons or bypassed:
        tiers = [f"{n} from {tier}" for tier, n in summary.caches.most_common()] or ["nothing found"]
        yield f"cache: {', '.join(tiers)}; {_saved(net_seconds_saved(counters))}"
    if reasons or bypassed:
        reasons += [f"{bypassed} not asked for, as computing is cheaper"] if bypassed else []
        yield f"cache misses: {', '.join(reasons)}"
    other_code = int(counters.get("other_code", 0))
    if other_code:
        yield (
            f"cache: {counted(other_code, 'document')} computed by workers that hold other code than this process, "
            "and not kept: restart the workers"
        )
    for sentence in (*befell(counters), *not_kept(counters)):
        yield f"cache: {sentence}"


def _saved(seconds: float) -> str:
    return f"{seconds:.2f} s saved, net" if seconds >= 0 else f"{-seconds:.2f} s lost, net"
