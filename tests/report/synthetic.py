"""A run's folder made of invented numbers: what the report's tests read."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dataflow.measure.caching import cache_rows
from dataflow.measure.tables import ResultsFolder

#: A file's name that tries to become a script, an image, and a terminal's command.
HOSTILE = (
    "</script><script>document.title='owned'</script>"
    "<img src=x onerror=\"document.title='owned'\">\x1b[2J.pdf"
)

#: A type whose name would be HTML.
HOSTILE_KIND = "uncacheable_a value of type <img src=x> can't be kept"

#: Strategy, factor, level, phase, documents a second, megabytes, documents a batch.
ARMS: tuple[tuple[str, str, str, str, float, float, float], ...] = (
    ("base", "", "", "", 420, 510, 48),
    ("twin", "twin", "base", "", 420, 510, 48),
    ("serial", "baseline", "serial", "", 260, 140, 0),
    ("pool", "baseline", "pool", "", 440, 420, 64),
    ("cache=lru", "cache", "lru", "cold", 410, 560, 48),
    ("cache=lru", "cache", "lru", "warm", 2900, 600, 48),
    ("cache=redis", "cache", "redis", "cold", 385, 530, 48),
    ("cache=redis", "cache", "redis", "warm", 1900, 540, 48),
    ("batching=fixed:1", "batching", "fixed:1", "", 95, 505, 1),
    ("batching=fixed:16", "batching", "fixed:16", "", 350, 508, 16),
    ("batching=fixed:256", "batching", "fixed:256", "", 330, 640, 240),
    ("batching=bytes:1MiB", "batching", "bytes:1MiB", "", 395, 520, 31),
    ("cluster=threads", "cluster", "threads", "", 240, 260, 48),
    ("cluster=processes", "cluster", "processes", "", 425, 520, 48),
    ("collect=gather", "collect", "gather", "", 400, 690, 48),
    ("collect=ordered", "collect", "ordered", "", 415, 515, 48),
)
ERRORS = (
    ("failed", "PdfError", "the file isn't a PDF, or its cross-reference table is damaged"),
    ("failed", "EmptyDocument", "the file is empty"),
    ("quarantined", "WorkerDied", "signal 11 while in stage extract"),
)


def make_run(
    root: Path, *, blocks: int = 3, arms: Sequence = ARMS, documents: int = 60, wrong: str = "", seed: int = 0
) -> Path:
    """Write a run and return its folder. Arms called ``wrong`` give other results than the serial loop."""
    chance = random.Random(seed)
    folder = ResultsFolder.create(root, "mixed", "local")
    folder.write_json("run.json", _run(folder.run_id))
    trial = 0
    for block in range(blocks):
        for position, arm in enumerate(chance.sample(list(arms), len(arms))):
            _trial(folder, chance, trial, block, position, arm, documents, wrong)
            trial += 1
    folder.save()
    return folder.path


def _run(run_id: str) -> dict:
    return {
        "run_id": run_id,
        "command": "dataflow bench --cluster local --workload mixed --seed 0",
        "seed": 0,
        "workload": "mixed",
        "corpus": HOSTILE,
        "environment": {
            "machine": {
                "system": "Linux-6.1",
                "processor": "A processor",
                "cores": 2,
                "memory_bytes": 8_000_000_000,
            },
            "python": {"version": "3.11.9"},
            "versions": {"dask": "2026.8.0", "pyarrow": "26.0.1"},
            "commit": {"id": "0123abc", "dirty": False},
        },
    }


def _trial(folder, chance, trial, block, position, arm, documents, wrong):
    strategy, factor, level, phase, speed, megabytes, batch = arm
    speed *= chance.gauss(1, 0.04)
    wall = documents / speed
    failed, quarantined = 3, 1
    warm, redis, serial = phase == "warm", level == "redis", strategy == "serial"
    hits = (documents - 4) if warm else 0
    peak = int(megabytes * 1e6 * chance.gauss(1, 0.02))
    folder.append("trials", [{
        "trial": trial, "suite": "quick", "workload": "mixed", "scenario": "mixed", "strategy": strategy,
        "factor": factor, "level": level, "phase": phase, "block": block, "position": position,
        "cluster": "local", "workers": 1 if serial else 2, "threads": 1 if serial else 2,
        "cache": level if factor == "cache" else "none",
        "batching": "adaptive", "collect": "as_completed", "fuse": True, "documents": documents,
        "ok": documents - failed - quarantined, "failed": failed, "quarantined": quarantined,
        "success_rate": (documents - 4) / documents, "bytes_in": documents * 90_000,
        "bytes_out": documents * 9_000, "wall_seconds": wall, "cpu_seconds": 1.8 * wall,
        "documents_per_second": speed,
        "first_result_seconds": wall / 9, "latency_p50_seconds": 1.6 / speed,
        "latency_p95_seconds": 5 / speed,
        "latency_p99_seconds": 9 / speed, "hits": hits, "misses": documents - hits if phase else 0,
        "hit_rate": hits / documents if phase else None, "hits_lru": 0 if redis else hits,
        "hits_redis": hits if redis else 0, "seconds_saved": 1.9 if warm else -0.02 if phase else None,
        "lookup_seconds": 0.012 if phase else None, "redis_evicted": 7 if redis else None,
        "redis_used_peak_bytes": 12_000_000 if redis else None,
        "batches": int(documents / batch) if batch else 0, "batch_documents_mean": batch or None,
        "peak_rss_bytes": peak, "mean_cpu_percent": 180.0, "redis_peak_bytes": 31_000_000 if redis else None,
        "overhead_seconds": wall * (1.5 / (1 + batch / 6) + 0.05), "ideal_seconds": documents / 520,
        "efficiency": speed / 520, "output_digest": "ab12", "matches_serial": strategy != wrong,
        "steal_percent": 0.4, "load": 0.8, "probe_seconds": 0.1,
        "started": datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=trial * 3),
    }])  # fmt: skip
    _details(folder, chance, trial, wall, documents, peak, warm, redis)
    if phase:
        folder.append("cache", cache_rows(trial, _counters(documents, hits, redis), 7 if redis else None))


def _counters(documents, hits, redis):
    tier = "redis" if redis else "lru"
    counters = {f"hits_{tier}": hits, f"asked_{tier}": documents, f"lookup_seconds_{tier}": documents * 1e-5,
                f"bytes_read_{tier}": hits * 9_000, "lookup_seconds": 0.012, "digest_seconds": 0.003,
                "compute_seconds_saved": hits * 0.04, "misses_new": documents - hits,
                "store_seconds": 0.02}  # fmt: skip
    if redis:
        counters |= {"errors": 3, "errors_TimeoutError": 3, "breaker_opened": 1, "breaker_closed": 1,
                     "skipped_reads": 5, HOSTILE_KIND: 2}  # fmt: skip
    return counters


def _details(folder, chance, trial, wall, documents, peak, warm, redis):
    work = {"probe": 0.1, "lookup": 0.02, "extract": 0.9, "chunk": 0.3, "store": 0.03, "write": 0.15}
    if warm:
        work |= {"extract": 0.05, "chunk": 0.0, "lookup": 0.2}
    folder.append("stages", [{"trial": trial, "node": n, "seconds": s * wall} for n, s in work.items()])
    folder.append("batches", [
        {"trial": trial, "batch": b, "worker": f"w:{b % 2}", "documents": 10, "bytes": 900_000,
         "seconds": 0.2, "cpu_seconds": 0.2, "started_seconds": b * 0.1, "probe_seconds": 0.02,
         "compute_seconds": 0.15}
        for b in range(6)
    ])  # fmt: skip
    bad = {5: ERRORS[0], 6: ERRORS[0], 9: ERRORS[1], 11: ERRORS[2]}
    rows = []
    for i in range(documents):
        status, kind, error = bad.get(i, ("ok", None, None))
        name = HOSTILE if i == 5 else f"corpus/document-{i:04d}.pdf"
        rows.append({
            "trial": trial, "document": name, "position": i, "media_type": "application/pdf",
            "size_bytes": 90_000,
            "status": status, "error_type": kind, "error": error and f"{error}: {name}", "attempts": 1,
            "seconds": chance.expovariate(300), "characters": 4_000, "batch": i // 10,
        })  # fmt: skip
    folder.append("documents", rows)
    names = {"driver": 0.28, "worker-0": 0.36, "worker-1": 0.33, **({"redis": 0.03} if redis else {})}
    folder.append("resources", [
        {"trial": trial, "at_seconds": wall * i / 40, "process": name, "process_id": 100, "cpu_percent": 90.0,
         "cpu_seconds": wall * i / 40,
         "rss_bytes": int(peak * share * (0.7 + 0.3 * i / 40) * chance.gauss(1, 0.01)),
         **({"used_memory_bytes": 250_000 * i, "evicted_keys": i // 6, "fragmentation_ratio": 1.31}
            if name == "redis" else {})}
        for name, share in names.items() for i in range(41)
    ])  # fmt: skip
