"""Whole commands on the same documents, from a cold start to the prompt: what a user of each waits for."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import peers
from tables import spread, table
from work import ROOT, digest_of, list_files

__all__ = ["measure_commands", "timed"]

HERE = Path(__file__).resolve().parent
_REFERENCE = "dataflow run"
_PEERS = ("serial", "pool", "joblib", "joblib-chunks", "ray", "datatrove")


def measure_commands(
    corpus: Path, base: Path, *, workers: int, chunksize: int, repeats: int, arms: Sequence[str] = _PEERS
) -> dict[str, Any]:
    """Our command and a script of each peer, in turn.

    Returns:
        ``documents``, ``samples`` (seconds by command), and whether all outputs are ``equal``.
    """
    commands = _commands(corpus, workers, chunksize, arms)
    samples: dict[str, list[float]] = defaultdict(list)
    digests = set()
    for repeat in range(repeats):
        for number, (name, command) in enumerate(commands.items()):
            output = (
                base / f"whole-{corpus.name}-{repeat}-{number}"
            )  # datatrove remembers what it has done by its name
            samples[name].append(timed([*command, "--output", str(output)])["seconds"])
            digests.add(digest_of(str(output)))
            shutil.rmtree(output)
    documents, equal = len(list_files(corpus)), len(digests) == 1
    rows = [
        (name, spread(some), spread([s / r for s, r in zip(some, samples[_REFERENCE], strict=True)]))
        for name, some in samples.items()
    ]
    print(f"  {corpus.name}: {documents} documents, all outputs the same: {'yes' if equal else 'NO'}")
    print(table(("command", "seconds", f"x of {_REFERENCE}"), rows), flush=True)
    return {"documents": documents, "samples": dict(samples), "equal": equal}


def _commands(corpus: Path, workers: int, chunksize: int, arms: Sequence[str]) -> dict[str, list[str]]:
    given = ["--corpus", str(corpus)]
    on_workers = ["--cluster", "processes", "--workers", str(workers)]
    commands = {_REFERENCE: ["-m", "dataflow", "run", *given]}
    commands[f"{_REFERENCE} --cluster processes"] = ["-m", "dataflow", "run", *given, *on_workers]
    sizes = ["--workers", str(workers), "--chunksize", str(chunksize)]
    for arm in _PEERS:
        if arm in arms and peers.is_installed(arm):
            commands[f"a script with {arm}"] = [
                str(HERE / "peers.py"),
                "--whole",
                "--arm",
                arm,
                *given,
                *sizes,
            ]
    return commands


def timed(command: Sequence[str]) -> dict[str, float]:
    """Run a Python command to its end; wall seconds, and CPU seconds with those of the processes it waited for.

    Raises:
        SystemExit: it failed.
    """
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed")
    return {"seconds": time.perf_counter() - started, "cpu_seconds": used.ru_utime + used.ru_stime}
