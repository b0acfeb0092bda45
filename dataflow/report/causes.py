"""The sections that say why: memory, batch sizes, the cache, and where the workers' time goes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dataflow.report.caching import lookup_seconds, what_it_did
from dataflow.report.data import memory_lines, node_seconds, typical_trial
from dataflow.report.layout import by_group, column, empty, strips
from dataflow.report.markup import Html, Section, escape, heading, script_json, table
from dataflow.report.numbers import amount, finite, megabytes, percent, seconds
from dataflow.report.palette import colours
from dataflow.report.plots import Picture, Value, lines, pairs, points, stacks
from dataflow.report.results import Results
from dataflow.report.summary import Arm, groups_of

__all__ = ["batches", "cache", "memory", "worker_time"]

_UNEXPLAINED = "unexplained"


def memory(results: Results) -> Section:
    """Peak by strategy, and every process of a trial over time."""
    lead = "Resident memory of all processes together; Redis is counted apart. Lower is better."
    section = strips(
        "memory", "Memory", lead, results.arms, column("peak_rss_bytes", 1e-6), "peak memory, MB"
    )
    typical = [(arm, trial) for arm in results.arms if (trial := typical_trial(arm))]
    found = memory_lines(results.tables["resources"], [trial["trial"] for _, trial in typical])
    several = len(groups_of(results.arms)) > 1
    choices = [
        (f"{arm.group.label}: {arm.label}" if several else arm.label, found[trial["trial"]])
        for arm, trial in typical
        if trial["trial"] in found
    ]
    if choices:
        section.body += [heading("Memory over time"), *_memory_over_time(choices)]
    return section


def _memory_over_time(choices: Sequence[tuple[str, Sequence[Any]]]) -> list[Html | Picture]:
    """A picture of the first choice, and the data of all, for the page's script to put in its place."""
    shades = colours(sorted({line.process for _, found in choices for line in found}))
    data = [
        {
            "xs": [line.seconds for line in found],
            "ys": [line.megabytes for line in found],
            "name": [line.process for line in found],
            "colour": [shades[line.process] for line in found],
        }
        for _, found in choices
    ]
    options = "".join(f'<option value="{i}">{escape(label)}</option>' for i, (label, _) in enumerate(choices))
    picker = f'<label>Trial with the median peak of <select id="memory-trial">{options}</select></label>'
    store = f'<script type="application/json" id="memory-data">{script_json(data)}</script>'
    picture = lines(data[0], "seconds since the trial began", "resident memory, MB", "MB")
    return [Html(picker + store), picture, Html('<ul class="legend" id="memory-legend"></ul>')]


def batches(results: Results) -> Section:
    """Speed and overhead against the documents in a batch."""
    lead = "Small batches pay for scheduling again and again; large ones leave workers idle at the end."
    section = Section("batches", "Batch size", lead)
    nodes = node_seconds(results.tables["stages"], results.tables["batches"])
    for name, arms in by_group(results.arms):
        members = _varied(arms, "batching")
        speed = _against_batch(members, column("documents_per_second"), "documents/s")
        share = _against_batch(
            members, lambda row: _overhead_percent(row, nodes), "overhead, percent of worker time"
        )
        if len(members) > 1 and (speed or share):
            section.body += [*name, *filter(None, (speed, share))]
    return section if section.body else empty(section, "This run varied no batch size.")


def _against_batch(arms: Sequence[Arm], value: Value, axis: str) -> Picture | None:
    rows = [
        {"name": arm.label, "x": x, "y": y}
        for arm in arms
        for row in arm.trials
        if (x := finite(row.get("batch_documents_mean")) or 0) > 0 and (y := finite(value(row))) is not None
    ]
    return points(rows, "documents in a batch, mean", axis, colours([arm.label for arm in arms]))


def cache(results: Results) -> Section:
    """Cold against warm, hits, and the time they saved."""
    lead = (
        "Cold: the cache is empty. Warm: the same documents. Other phases: after that edit. Time saved is net of "
        "lookups and stores. Stale: differs from a run with no cache. Recomputed: in vain, to what it was before."
    )
    section = Section("cache", "Cache", lead)
    columns = (
        "strategy",
        "hit rate",
        "from memory",
        "from Redis",
        "documents/s",
        "look-up a document",
        "net time saved",
        "Redis peak",
        "stale",
        "recomputed",
    )
    for name, arms in by_group(results.arms):
        cached = [arm for arm in arms if arm.hit_rate is not None]
        if cached:
            picture = pairs(_cold_and_warm(cached), ("cold", "warm"), "documents/s")
            section.body += [
                *name,
                *filter(None, (picture,)),
                table(columns, (_cache_row(arm) for arm in cached)),
                *what_it_did(results, cached),
            ]
    return section if section.body else empty(section, "This run used no cache.")


def _cold_and_warm(arms: Sequence[Arm]) -> list[tuple[str, float, float]]:
    speeds = {(arm.strategy, arm.phase): arm.documents_per_second for arm in arms}
    found = [
        (s, speeds.get((s, "cold")), speeds.get((s, "warm")))
        for s in dict.fromkeys(arm.strategy for arm in arms)
    ]
    return [(s, cold, warm) for s, cold, warm in found if cold and warm]


def _cache_row(arm: Arm) -> list[str]:
    return [
        arm.label, percent(arm.hit_rate), f"{arm.total('hits_lru'):,.0f}", f"{arm.total('hits_redis'):,.0f}",
        amount(arm.documents_per_second), seconds(lookup_seconds(arm)), seconds(arm.median("seconds_saved")),
        megabytes(arm.median("redis_peak_bytes")), _checked(arm, "stale"),
        _checked(arm, "recomputed"),
    ]  # fmt: skip


def _checked(arm: Arm, column: str) -> str:
    known = [row[column] for row in arm.trials if row.get(column) is not None]
    return f"{sum(known):,}" if known else "not checked"


def worker_time(results: Results) -> Section:
    """Seconds by node, and what no node explains."""
    lead = "Worker-seconds of a mean trial, by node. What no node explains is scheduling and waiting."
    section = Section("worker-time", "Where the workers' time goes", lead)
    nodes = node_seconds(results.tables["stages"], results.tables["batches"])
    names = list(dict.fromkeys(name for found in nodes.values() for name in found))
    shades = {**colours(names), _UNEXPLAINED: "#B8BCC2"}
    for name, arms in by_group(results.arms):
        known = [arm for arm in arms if any(row["trial"] in nodes for row in arm.trials)]
        parts = {
            n: [_mean(nodes.get(r["trial"], {}).get(n) for r in arm.trials) for arm in known] for n in names
        }
        parts[_UNEXPLAINED] = [
            max(0.0, _mean(row.get("overhead_seconds") for row in arm.trials)) for arm in known
        ]
        if picture := stacks([arm.label for arm in known], parts, shades, "worker-seconds"):
            section.body += [*name, picture]
    return section if section.body else empty(section, "This run left no seconds by node.")


def _varied(arms: Sequence[Arm], factor: str) -> list[Arm]:
    return [arm for arm in arms if arm.factor == factor or arm.strategy == "base"]


def _overhead_percent(row: Mapping[str, Any], nodes: Mapping[int, Mapping[str, float]]) -> float | None:
    overhead, explained = finite(row.get("overhead_seconds")), sum(nodes.get(row["trial"], {}).values())
    if overhead is None or not overhead + explained:
        return None
    return max(0.0, 100.0 * overhead / (overhead + explained))


def _mean(values: Iterable[float | None]) -> float:
    known = [number for value in values if (number := finite(value)) is not None]
    return sum(known) / len(known) if known else 0.0
