"""Chaos: the real pipeline under faults, and the proof that its output is that of an undisturbed run.

    python tests/chaos/chaos.py --seed 7 --rounds 30

Each round runs `dataflow run` as a user does, injects faults when its manifest has grown to a moment that the
seed decides, resumes it where it was ended, and compares the output with an undisturbed run's: every document
once, with the same status, error and chunks. The exit status is 1 where a document was lost, doubled or changed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import secrets
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from random import Random

import outputs
import storm
from faults import FAULTS
from rounds import Plan, Result, Undisturbed, plan_rounds, play
from scene import Scene

_HEAD = ("round", "cluster", "cache", "batch", "files", "faults", "runs", "lost", "doubled", "equal", "s")


def main(arguments: Sequence[str] | None = None) -> int:
    """Play the rounds, print the table; returns the exit status."""
    given = _parser().parse_args(arguments)
    seed = given.seed if given.seed is not None else secrets.randbelow(10_000)
    names = given.faults.split(",") if given.faults else None
    plans = plan_rounds(seed, given.rounds or len(FAULTS) + 6, names)
    plans = [p for p in plans if given.only is None or p.number == given.only]
    print(f"chaos: seed {seed}, {len(plans)} rounds over {given.documents} documents", flush=True)
    results = []
    with tempfile.TemporaryDirectory(prefix="chaos-") as base:
        undisturbed = calm_run(Path(base), seed, given.documents, poison=given.poison)
        _line(_HEAD)
        for plan in plans:
            result = play(plan, undisturbed, Path(base, f"round-{plan.number}"))
            results.append(result)
            _show(result)
            if given.results:
                _save(given.results, seed, results)
    return _conclude(seed, given, results)


def calm_run(base: Path, seed: int, documents: int, *, poison: int) -> Undisturbed:
    """Generate a corpus and run it with nothing happening."""
    from workloads.mixed import corpus

    (base / "corpus").mkdir()
    corpus(base / "corpus", documents=documents, seed=seed)
    for number in range(poison):
        (base / "corpus" / "0" / f"poison-{number}.txt").write_text(storm.POISON)
    (base / "calm").mkdir()
    total = documents + poison
    scene = Scene(base / "calm", base / "corpus", total, 0, "processes", "none", "adaptive", Random(seed))
    with contextlib.closing(scene):
        scene.start()
        if scene.wait() != 0:
            raise SystemExit(f"the undisturbed run failed:\n{scene.said}")
    rows = outputs.read_rows(scene.output)
    if len({outputs.name(r) for r in rows}) != total or len(rows) != total:
        raise SystemExit(f"the undisturbed run has {len(rows)} rows for {total} documents")
    return Undisturbed(scene.corpus, rows, sum(p.stat().st_size for p in scene.output.glob("*.parquet")))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--seed", type=int, help="decides the corpus, the faults and their moments; random if left out"
    )
    parser.add_argument(
        "--rounds", type=int, help="how many; by default each fault once, then six storms of several"
    )
    parser.add_argument("--documents", type=int, default=90, help="size of the corpus (default: %(default)s)")
    parser.add_argument(
        "--poison", type=int, default=1, help="documents that end their process (default: %(default)s)"
    )
    parser.add_argument("--only", type=int, metavar="ROUND", help="play this round alone")
    parser.add_argument("--faults", metavar="NAME,...", help=f"of {', '.join(FAULTS)}; all by default")
    parser.add_argument("--results", type=Path, metavar="FOLDER", help="keep a JSON record there")
    return parser


def _show(result: Result) -> None:
    plan, difference = result.plan, result.difference
    faults = ", ".join(f"{n} x{count}" for n, count in result.injected.items())
    lost, doubled = (len(difference.lost), len(difference.doubled)) if difference else ("?", "?")
    files = "storm" if plan.stormy else "local"
    equal = "yes" if result.survived else "NO"
    place = (plan.cluster, plan.cache, plan.batch, files)
    _line((plan.number, *place, faults, result.drivers, lost, doubled, equal, f"{result.seconds:.0f}"))
    if not result.survived:
        print(f"      {result.trouble or difference}", flush=True)


def _line(cells: Sequence[object]) -> None:
    widths = (5, 11, 5, 8, 5, 56, 4, 4, 7, 5, 4)
    print("  ".join(f"{c!s:<{w}}" for c, w in zip(cells, widths, strict=True)).rstrip(), flush=True)


def _conclude(seed: int, given: argparse.Namespace, results: list[Result]) -> int:
    injected = sum(count for r in results for count in r.injected.values())
    missed = [
        f"{n} in round {r.plan.number}" for r in results for n, count in r.injected.items() if not count
    ]
    survived = sum(r.survived for r in results)
    differences = [r.difference for r in results if r.difference]
    lost, doubled = (sum(len(getattr(d, what)) for d in differences) for what in ("lost", "doubled"))
    print(
        f"\n{injected} faults injected in {len(results)} rounds, {survived} rounds survived; "
        f"documents lost: {lost}, doubled: {doubled}"
    )
    for name in missed:
        print(f"not injected: {name}")
    for result in results:
        if not result.survived:
            print(f"again: {_again(seed, given, result.plan)}")
    return 0 if survived == len(results) else 1


def _again(seed: int, given: argparse.Namespace, plan: Plan) -> str:
    faults = f" --faults {given.faults}" if given.faults else ""
    return (
        f"python tests/chaos/chaos.py --seed {seed} --rounds {plan.number + 1} --only {plan.number} "
        f"--documents {given.documents} --poison {given.poison}{faults}"
    )


def _save(folder: Path, seed: int, results: list[Result]) -> None:
    """Keep the record after each round: a later one may take this program along."""
    folder.mkdir(parents=True, exist_ok=True)
    record = {
        "seed": seed,
        "at": datetime.now().astimezone().isoformat(),
        "rounds": [asdict(r) for r in results],
    }
    (folder / f"chaos-{seed}.json").write_text(json.dumps(record, indent=1), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
