"""What the cache did, arm by arm: by tier, why documents missed, what it was worth, and what befell the server."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dataflow.errors import counted
from dataflow.measure.caching import counters_of
from dataflow.memo.words import MISSES, befell, not_kept, parts_of
from dataflow.report.data import ServerLine, server_lines, typical_trial
from dataflow.report.markup import Html, escape, heading, paragraph, table
from dataflow.report.numbers import NOTHING, amount, megabytes, seconds
from dataflow.report.palette import colours
from dataflow.report.plots import Picture, lines
from dataflow.report.results import Results
from dataflow.report.summary import Arm

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["lookup_seconds", "what_it_did"]

_TIERS = {"lru": "worker memory", "redis": "Redis", "spill": "files"}


@dataclass(frozen=True)
class Done:
    """What the cache of one arm did, over all its trials."""

    label: str
    trials: int
    counters: Mapping[str, float]

    def mean(self, *names: str) -> float:
        """The sum of some counters in a mean trial."""
        return sum(self.counters.get(name, 0.0) for name in names) / self.trials


def what_it_did(results: Results, arms: Sequence[Arm]) -> list[Html | Picture]:
    """Tables of what the cache did under each arm, and the server's memory over time."""
    found = _done(results.tables["cache"], arms)
    body: list[Html | Picture] = []
    if found:
        note = "Numbers are those of a mean trial. A key that one tier hasn't got is asked of the next."
        body += [heading("What the cache did"), paragraph(note, "note"), _by_tier(found)]
        body += _misses(found)
        body += [heading("What it was worth"), table(_WORTH, map(_worth_row, found))]
        body += _befell(found)
    return body + _server(results, arms)


def lookup_seconds(arm: Arm) -> float | None:
    """Seconds that looking up one document took; ``None`` where none was looked up."""
    asked = arm.total("hits") + arm.total("misses")
    return arm.total("lookup_seconds") / asked if asked and arm.median("lookup_seconds") is not None else None


def _done(cache: pa.Table, arms: Sequence[Arm]) -> list[Done]:
    by_trial: dict[int, list[Mapping[str, Any]]] = {}
    for row in cache.to_pylist():
        by_trial.setdefault(row["trial"], []).append(row)
    found = []
    for arm in arms:
        known = [by_trial[row["trial"]] for row in arm.trials if row.get("trial") in by_trial]
        if known:
            found.append(Done(arm.label, len(known), counters_of(row for rows in known for row in rows)))
    return found


def _by_tier(found: Sequence[Done]) -> Html:
    columns = ("strategy", "tier", "documents found", "keys asked for", "read", "look-up of a key", "evicted")
    rows = [
        (
            done.label, _TIERS.get(tier, tier), _number(done.mean(f"hits_{tier}")), _number(done.mean(f"asked_{tier}")),
            megabytes(done.mean(f"bytes_read_{tier}")), _a_key(done, tier), _number(done.mean(f"evicted_{tier}")),
        )
        for done in found
        for tier in _tiers(done)
    ]  # fmt: skip
    return table(columns, rows, 2)


def _number(value: float) -> str:
    """A count; a mean of counts has digits behind its point only where it needs them."""
    return f"{value:,.0f}" if value == int(value) else amount(value)


def _tiers(done: Done) -> list[str]:
    asked = parts_of(done.counters, "asked_")
    return [*(tier for tier in _TIERS if tier in asked), *sorted(asked.keys() - _TIERS.keys())]


def _a_key(done: Done, tier: str) -> str:
    asked, spent = done.counters.get(f"asked_{tier}", 0.0), done.counters.get(f"lookup_seconds_{tier}", 0.0)
    return _short(spent / asked) if asked else NOTHING


def _short(value: float) -> str:
    return f"{amount(value * 1e6)} us" if value < 1e-3 else seconds(value)


def _misses(found: Sequence[Done]) -> list[Html]:
    reasons = sorted({reason for done in found for reason in parts_of(done.counters, "misses_")})
    if not reasons:
        return []
    columns = ("strategy", *(MISSES.get(reason, reason) for reason in reasons))
    rows = [(done.label, *(_number(done.mean(f"misses_{reason}")) for reason in reasons)) for done in found]
    return [heading("Why documents weren't found"), table(columns, rows)]


_WORTH = ("strategy", "computing spared", "looking up", "storing", "waiting for others", "saved, net")


def _worth_row(done: Done) -> tuple[str, ...]:
    spent = ("lookup_seconds", "digest_seconds"), ("store_seconds",), ("lease_wait_seconds",)
    return (
        done.label,
        seconds(done.mean("compute_seconds_saved")),
        *(seconds(done.mean(*names)) for names in spent),
        seconds(done.mean("net_seconds_saved")),
    )


def _befell(found: Sequence[Done]) -> list[Html]:
    """What went wrong with the server, and what couldn't be kept, in words; over all trials of an arm."""
    sentences = [
        f"{done.label}, {counted(done.trials, 'trial')}: {sentence}."
        for done in found
        for sentence in (*befell(done.counters), *not_kept(done.counters))
    ]
    if not sentences:
        return [
            paragraph("No call to a server failed, none was skipped, and every value could be kept.", "note")
        ]
    items = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
    return [
        heading("What befell the server, and what wasn't kept"),
        Html(f'<ul class="notes">{items}</ul>'),
    ]


def _server(results: Results, arms: Sequence[Arm]) -> list[Html | Picture]:
    """Its memory over time in a typical trial of each arm, and what that came to."""
    typical = [(arm, trial["trial"]) for arm in arms if (trial := typical_trial(arm))]
    found = server_lines(results.tables["resources"], [trial for _, trial in typical])
    known = [(arm, found[trial]) for arm, trial in typical if trial in found]
    if not known:
        return []
    shades = colours([arm.label for arm, _ in known])
    data: dict[str, list[Any]] = {
        "xs": [line.seconds for _, line in known],
        "ys": [line.megabytes for _, line in known],
        "name": list(shades),
        "colour": list(shades.values()),
    }
    picture = lines(
        data,
        "seconds since the trial began",
        "memory of the server's data, MB",
        "MB",
        name="server",
        of="strategy",
    )
    columns = ("strategy", "data, peak", "resident, peak", "fragmentation at the end", "keys evicted")
    return [
        heading("The server's memory over time"),
        dataclasses.replace(picture, legend=shades),
        table(columns, [_server_row(arm, line) for arm, line in known]),
    ]


def _server_row(arm: Arm, line: ServerLine) -> tuple[str, ...]:
    ratio = NOTHING if line.fragmentation is None else f"{line.fragmentation:.2f}"
    peaks = (megabytes(arm.median(name)) for name in ("redis_used_peak_bytes", "redis_peak_bytes"))
    return (arm.label, *peaks, ratio, f"{arm.total('redis_evicted'):,.0f}")
