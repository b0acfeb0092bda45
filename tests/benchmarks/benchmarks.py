"""Benchmarks: ratios within one run, every arm in turn (A B C A B C ...), medians with the least and the most.

    python tests/benchmarks/benchmarks.py --share 0.1 --repeats 2      # does it run?
    python tests/benchmarks/benchmarks.py --million                    # all of it, on a quiet machine

Nothing here is a test of time: the exit status is 1 only where two arms' outputs differ. Raw samples go to
results/benchmarks-TIME.json after each section.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

import corpora
import peers
import work
from commands import measure_commands, timed
from tables import spread, table

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent

CHUNKSIZES = {"pages": (16, 64, 256), "manuals": (1, 4, 16)}
OTHER_CHUNKSIZES = (1, 8, 64)
BATCHINGS = ("adaptive", "fixed:8", "fixed:64")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the sections; returns the exit status."""
    given = _parser().parse_args(arguments)
    record: dict[str, Any] = {"at": datetime.now().astimezone().isoformat(), "arguments": sys.argv[1:]}
    record |= {"cores": _cores(), "workers": given.workers}
    equal = True
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as base:
        for name in given.sections.split(","):
            print(f"\n== {name}", flush=True)
            record[name] = SECTIONS[name](given, Path(base))
            equal = equal and all(c.get("equal", True) for c in record[name].values() if isinstance(c, dict))
            _save(given.results, record)
    return 0 if equal else 1


def throughput(given: argparse.Namespace, base: Path) -> dict[str, Any]:
    """Every peer on the same documents, against serial CPU seconds / cores."""
    arms = given.arms.split(",") if given.arms else list(peers.ARMS)
    for arm in [a for a in arms if not peers.is_installed(a)]:
        print(f"  {arm}: not installed (python -m pip install --group peers)")
    arms = ["serial", *(a for a in arms if a != "serial" and peers.is_installed(a))]
    found = {}
    for name, folder in _folders(given, base):
        sizes = {a: _best_chunksize(given, base, a, name, folder) for a in arms if peers.ARMS[a].tuned}
        samples: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for _ in range(given.repeats):
            for arm in arms:
                samples[arm].append(_measure_arm(given, base, arm, folder, sizes.get(arm, 0)))
        found[name] = _tell_throughput(given, name, folder, samples)
    return found


def _folders(given: argparse.Namespace, base: Path) -> list[tuple[str, Path]]:
    if given.corpus:
        return [("corpus", given.corpus.absolute())]
    made = ((n, base / n) for n in ("pages", "manuals"))
    return [
        (n, p if p.exists() else corpora.generate(n, p, share=given.share, seed=given.seed)) for n, p in made
    ]


def _best_chunksize(given: argparse.Namespace, base: Path, arm: str, name: str, folder: Path) -> int:
    if given.chunksize:
        return int(given.chunksize)
    sizes = CHUNKSIZES.get(name, OTHER_CHUNKSIZES)
    tried = {s: _measure_arm(given, base, arm, folder, s)["seconds"] for s in sizes}
    return min(tried, key=lambda size: tried[size])


def _measure_arm(
    given: argparse.Namespace, base: Path, arm: str, folder: Path, chunksize: int
) -> dict[str, Any]:
    """One arm, in processes that are there for it alone: nobody else's heartbeats take its time."""
    output = base / f"output-{arm}"
    command = ["peers.py", "--arm", arm, "--corpus", folder, "--output", output]
    try:
        return _child([*command, "--workers", given.workers, "--chunksize", chunksize])
    finally:
        shutil.rmtree(output, ignore_errors=True)


def _tell_throughput(
    given: argparse.Namespace, name: str, folder: Path, samples: dict[str, list[dict[str, Any]]]
) -> dict[str, Any]:
    documents = len(work.list_files(folder))
    ideals = [s["cpu_seconds"] / given.workers for s in samples["serial"]]
    digests = {arm: {s["digest"] for s in some} for arm, some in samples.items()}
    equal = len(set().union(*digests.values())) == 1
    rows = []
    for arm, some in samples.items():
        # Each trial against the serial loop of its own turn: what else the machine does hits both.
        shares = [i / s["seconds"] for i, s in zip(ideals, some, strict=True)]
        seconds = spread([s["seconds"] for s in some])
        same = "yes" if digests[arm] == digests["serial"] else "NO"
        rows.append((arm, some[0]["chunksize"] or "-", seconds, spread(shares), same))
    each = 1000 * median(s["cpu_seconds"] for s in samples["serial"]) / documents
    print(
        f"  {name}: {documents} documents of {each:.2f} ms CPU, {given.workers} workers; ideal {median(ideals):.2f} s"
    )
    print(table(("arm", "chunk", "seconds", "share of ideal", "same output"), rows), flush=True)
    return {"documents": documents, "samples": dict(samples), "equal": equal}


def tail(given: argparse.Namespace, base: Path) -> dict[str, Any]:
    """Idle workers at the end of a run on a heavy-tailed corpus, and what scheduling costs."""
    corpus = corpora.generate("tail", base / "tail", share=given.share, seed=given.seed)
    samples: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for _ in range(given.repeats):
        for batching in BATCHINGS:
            arguments = {"corpus": str(corpus), "batching": batching, "workers": given.workers}
            samples[batching].append(_shape("tail", arguments))
    columns = ("seconds", "idle_end_share", "between_share", "driver_cpu_share")
    rows = [
        (
            b,
            spread([s["seconds"] for s in some]),
            *(spread([100 * s[c] for s in some], ".1f") for c in columns[1:]),
        )
        for b, some in samples.items()
    ]
    head = ("batching", "seconds", "idle at the end %", "between batches %", "driver CPU % of work")
    print(table(head, rows), flush=True)
    return {"samples": dict(samples)}


def scale(given: argparse.Namespace, base: Path) -> dict[str, Any]:
    """Seconds a document, and memory of driver and scheduler, from a thousand documents to a million."""
    most = 1_000_000 if given.million else 100_000
    sizes = [n for n in (1_000, 10_000, 100_000, 1_000_000) if n <= max(1_000, most * min(1.0, given.share))]
    samples: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for _ in range(given.repeats if not given.million else 1):
        for size in sizes:
            samples[size].append(_shape("scale", {"documents": size, "workers": given.workers}))
    base_size = 10_000 if 10_000 in samples else sizes[0]
    rows = [
        (f"{size:,}", *_scale_cells(some, samples[base_size]))
        for size, some in samples.items()
    ]  # fmt: skip
    head = (
        "documents",
        "us a document",
        f"x of {base_size:,}",
        "driver us a document",
        "RSS before",
        "highest",
        "after",
    )
    print(table(head, rows), flush=True)
    return {"samples": {str(size): some for size, some in samples.items()}}


def _scale_cells(some: list[dict[str, Any]], reference: list[dict[str, Any]]) -> list[str]:
    each = [1e6 * s["seconds_a_document"] for s in some]
    ratio = median(each) / (1e6 * median(s["seconds_a_document"] for s in reference))
    cpu = [1e6 * s["driver_cpu_seconds"] / s["documents"] for s in some]
    memory = [
        median(s["rss_bytes"][moment] for s in some) / 2**20 for moment in ("before", "highest", "after")
    ]
    return [spread(each, ".0f"), f"{ratio:.2f}", spread(cpu, ".0f"), *(f"{m:.0f} MiB" for m in memory)]


def small(given: argparse.Namespace, base: Path) -> dict[str, Any]:
    """Import, command line, and the ledger's note."""
    commands = {
        "python": ["-c", "pass"],
        "import dataflow": ["-c", "import dataflow"],
        "dataflow --help": ["-m", "dataflow", "--help"],
        "dataflow run --help": ["-m", "dataflow", "run", "--help"],
    }
    samples: dict[str, list[dict[str, float]]] = defaultdict(list)
    for _ in range(max(3, given.repeats)):
        for name, command in commands.items():
            samples[name].append(timed(command))
    rows = [
        (n, *(spread([s[k] for s in some]) for k in ("seconds", "cpu_seconds")))
        for n, some in samples.items()
    ]
    print(table(("start", "seconds", "CPU seconds"), rows))
    notes = [_shape("ledger", {"notes": 100_000})["seconds_a_note"] for _ in range(given.repeats)]
    print(f"  a note in the ledger: {spread([1e6 * n for n in notes])} us", flush=True)
    return {"samples": dict(samples), "ledger": notes}


def commands(given: argparse.Namespace, base: Path) -> dict[str, Any]:
    """Whole commands, from a cold start to the prompt."""
    arms = [a for a in (given.arms.split(",") if given.arms else peers.ARMS) if a in peers.ARMS]
    return {
        name: measure_commands(
            folder, base, workers=given.workers, chunksize=given.chunksize or CHUNKSIZES.get(name, OTHER_CHUNKSIZES)[1],
            repeats=given.repeats, arms=arms,
        )
        for name, folder in _folders(given, base)
    }  # fmt: skip


def _shape(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    return _child(["shapes.py", name, json.dumps(arguments)])


def _child(command: Sequence[object]) -> dict[str, Any]:
    script, *arguments = map(str, command)
    done = subprocess.run(
        [sys.executable, str(HERE / script), *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{script} {' '.join(arguments)} failed:\n{done.stderr[-3000:]}")
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def _save(folder: Path, record: dict[str, Any]) -> None:
    """Keep the samples after each section: a later one may fail."""
    folder.mkdir(parents=True, exist_ok=True)
    stamp = datetime.fromisoformat(record["at"]).strftime("%Y%m%d-%H%M%S")
    path = folder / f"benchmarks-{stamp}.json"
    path.write_text(json.dumps(record, indent=1), encoding="utf-8")
    print(f"  samples: {path}", flush=True)


def cache(given: argparse.Namespace, base: Path) -> dict[str, Any]:
    """What a warm batch costs beside a bare MGET, other libraries' look-ups, and stages too cheap to keep."""
    found = {}
    for name, folder in _folders(given, base):
        arguments = {"corpus": str(folder), "batch": 128, "repeats": 2 * given.repeats}
        found[f"warm {name}"] = one = _child(["caching.py", "warm", json.dumps(arguments)])
        number, size = one["documents"], one["value_bytes"]
        print(
            f"  warm, {name}: {number} documents of {size:,.0f} bytes, "
            f"{one['mgets']:.2f} MGETs a batch in one round trip"
        )
        _tell_arms(one["seconds"], "mget", number)
        _tell_speed_up(one["seconds"])
    for library in [n for n in ("cashews", "diskcache", "joblib") if not importlib.util.find_spec(n)]:
        print(f"  {library}: not installed (python -m pip install --group peers)")
    values = max(100, round(20_000 * min(1.0, given.share)))
    arguments = {"values": values, "value_bytes": 3_600, "batch": 128, "repeats": given.repeats}
    found["libraries"] = one = _child(["caching.py", "libraries", json.dumps(arguments)])
    print(f"  look-ups of {values} values of 3,600 bytes")
    _tell_arms(one["seconds"], "dataflow lru", values)
    for documents in sorted({max(100, round(n * min(1.0, given.share))) for n in (1_000, 3_000, 10_000)}):
        arguments = {"documents": documents, "workers": given.workers, "repeats": 4 * given.repeats}
        found[f"cheap {documents}"] = one = _child(["caching.py", "cheap", json.dumps(arguments)])
        print(f"  a stage of microseconds, cold, {documents} documents")
        _tell_arms(one["seconds"], "none", documents)
    documents = max(100, round(2_000 * min(1.0, given.share)))
    arguments = {"documents": documents, "repeats": 2 * given.repeats}
    found["cheap commands"] = one = _child(["caching.py", "cheap_commands", json.dumps(arguments)])
    print(f"  the same by whole commands, {documents} documents")
    _tell_arms(one["seconds"], "none", documents)
    return found


def _tell_arms(seconds: dict[str, list[float]], reference: str, number: int) -> None:
    """Each arm a document, and against one of them within the same turn."""
    rows = [
        (
            arm,
            spread([1e6 * s / number for s in some], ".1f"),
            spread([s / r for s, r in zip(some, seconds[reference], strict=False)]),
        )
        for arm, some in seconds.items()
    ]
    print(table(("arm", "us each", f"x of {reference}"), rows), flush=True)


def _tell_speed_up(seconds: dict[str, list[float]]) -> None:
    """How many times faster than cold the same documents are when they are known."""
    cold = median(seconds["cold"])
    for arm, where in (("near", "in the worker"), ("far", "on the server")):
        print(f"  known {where}: {spread([cold / s for s in seconds[arm]], '.0f')} times faster than cold")


SECTIONS = {
    "small": small,
    "commands": commands,
    "throughput": throughput,
    "tail": tail,
    "scale": scale,
    "cache": cache,
}


def _cores() -> int:
    sys.path[:0] = [str(ROOT)]
    from dataflow.engine.specs import usable_cores

    return usable_cores()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--corpus", type=Path, help="a folder of documents of yours, instead of pages and manuals"
    )
    parser.add_argument("--workers", type=int, default=_cores())
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--share", type=float, default=1.0, help="of the documents; 20 takes the ideal over 20 seconds"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--arms", help=f"of {', '.join(peers.ARMS)}; all by default")
    parser.add_argument(
        "--chunksize", type=int, help="for the arms that want one, instead of each one's best"
    )
    parser.add_argument("--sections", default=",".join(SECTIONS), help="default: %(default)s")
    parser.add_argument("--million", action="store_true", help="go on to a million documents")
    parser.add_argument("--results", type=Path, default=ROOT / "results")
    return parser


if __name__ == "__main__":
    sys.exit(main())
