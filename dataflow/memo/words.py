"""The memo's counters in plain words: why documents missed, what befell the server, and what isn't kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dataflow.errors import counted

__all__ = ["MISSES", "befell", "missed", "not_kept", "parts_of"]

#: Why a document wasn't found, by the reason that is counted.
MISSES = {
    "new": "not there",
    "expired": "expired",
    "epoch": "tag invalidated",
    "corrupt": "damaged",
    "forged": "altered",
    "secret": "sealed with another secret",
    "codec": "of an unknown form",
    "too_large": "too large",
    "spill": "spilled file gone",
    "failure": "failure not kept any more",
    "off": "server left alone",
    "down": "as the server was away",
}

_ERRORS = {
    "TimeoutError": "no answer in time",
    "ConnectionError": "no connection",
    "OutOfMemoryError": "the server is full",
    "ReadOnlyError": "the server is read-only",
    "NoPermissionError": "its user has no right to it",
    "BusyLoadingError": "the server was still loading",
}
_REJECTED = {
    "too_large": "larger than a kept value may be",
    "no_epoch": "the server couldn't tell the tag's epoch",
}


def parts_of(counters: Mapping[str, float], prefix: str) -> dict[str, int]:
    """What follows the prefix in counters' names, with their numbers, the largest first."""
    found = {
        name.removeprefix(prefix): int(n) for name, n in counters.items() if name.startswith(prefix) and n
    }
    return dict(sorted(found.items(), key=lambda part: -part[1]))


def missed(counters: Mapping[str, float]) -> list[str]:
    """How many documents weren't found, a phrase for each reason; last that the server was away."""
    found = parts_of(counters, "misses_")
    reasons = sorted(found, key=lambda reason: reason == "down")
    return [f"{found[reason]} {MISSES.get(reason, reason)}" for reason in reasons]


def befell(counters: Mapping[str, float]) -> list[str]:
    """What befell the server, a sentence each without its full stop; nothing where it was well all the time."""
    return [*_failed(counters), *_left_alone(counters), *_refused(counters), *_files(counters)]


def not_kept(counters: Mapping[str, float]) -> Iterator[str]:
    """Values that the memo doesn't keep, and what to return instead; a sentence each without its full stop."""
    for why, number in parts_of(counters, "uncacheable_").items():
        yield f"{counted(number, 'value')} not kept: {why}"
    for reason, number in parts_of(counters, "rejected_").items():
        yield f"{counted(number, 'value')} not kept: {_REJECTED.get(reason, reason)}"


def _failed(counters: Mapping[str, float]) -> Iterator[str]:
    errors = parts_of(counters, "errors_")
    if errors:
        yield f"{counted(sum(errors.values()), 'call')} to the server failed: {_by_error(errors)}"


def _left_alone(counters: Mapping[str, float]) -> Iterator[str]:
    opened, closed = (int(counters.get(f"breaker_{name}", 0)) for name in ("opened", "closed"))
    skipped = parts_of(counters, "skipped_")
    if opened:
        again = f"found well again {_times(closed)}" if closed else "not found well again"
        yield f"the server was left alone {_times(opened)} after three failures in a row, and {again}"
    if skipped:
        reads, writes = skipped.get("reads", 0), skipped.get("writes", 0)
        whose = [counted(reads, "look-up") if reads else "", counted(writes, "write") if writes else ""]
        verb = "was" if reads + writes == 1 else "were"
        yield f"{' and '.join(filter(None, whose))} of a batch {verb} skipped meanwhile"


def _refused(counters: Mapping[str, float]) -> Iterator[str]:
    refused = parts_of(counters, "refused_")
    if refused:
        yield f"the server refused to store {counted(sum(refused.values()), 'value')}: {_by_error(refused)}"


def _files(counters: Mapping[str, float]) -> Iterator[str]:
    errors = parts_of(counters, "spill_errors_")
    if errors:
        yield f"{counted(sum(errors.values()), 'call')} for spilled files failed: {_by_error(errors)}"


def _by_error(errors: Mapping[str, int]) -> str:
    return ", ".join(
        f"{n} {name} ({_ERRORS[name]})" if name in _ERRORS else f"{n} {name}" for name, n in errors.items()
    )


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"
