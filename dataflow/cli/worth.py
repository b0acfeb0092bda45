"""What a run's cache was worth, in a line or two."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from dataflow.memo.admin import net_seconds_saved

if TYPE_CHECKING:
    from dataflow.engine.running import Summary

__all__ = ["cache_lines"]

_PREFIX = "misses_"
_REASONS = {
    "new": "not there",
    "expired": "expired",
    "epoch": "tag invalidated",
    "corrupt": "damaged",
    "forged": "altered or sealed with another secret",
    "codec": "of an unknown form",
    "too_large": "too large",
    "spill": "spilled file gone",
    "failure": "failure not kept any more",
    "off": "server left alone",
}


def cache_lines(summary: Summary) -> Iterator[str]:
    """How many documents each tier answered, the net seconds saved, and why the others were computed.

    Nothing, for a run that asked no cache.
    """
    counters = summary.counters
    missed = _missed(counters)
    bypassed = int(counters.get("bypassed", 0))
    if summary.caches or missed or bypassed:
        tiers = [f"{n} from {tier}" for tier, n in summary.caches.most_common()] or ["nothing found"]
        yield f"cache: {', '.join(tiers)}; {_saved(net_seconds_saved(counters))}"
    if missed or bypassed:
        by_count = sorted(missed.items(), key=lambda found: -found[1])
        reasons = [f"{n} {_REASONS.get(reason, reason)}" for reason, n in by_count if reason != "down"]
        reasons += [f"{missed['down']} as the server was away"] if "down" in missed else []
        reasons += [f"{bypassed} not asked for, as computing is cheaper"] if bypassed else []
        yield f"cache misses: {', '.join(reasons)}"


def _missed(counters: Mapping[str, float]) -> dict[str, int]:
    return {
        name.removeprefix(_PREFIX): int(n) for name, n in counters.items() if name.startswith(_PREFIX) and n
    }


def _saved(seconds: float) -> str:
    return f"{seconds:.2f} s saved, net" if seconds >= 0 else f"{-seconds:.2f} s lost, net"
