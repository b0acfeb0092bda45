"""The benchmark: everything opened once, then blocks of trials in random order, each saved as it ends."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dataflow.bench.blocks import block_order
from dataflow.bench.budget import Progress, blocks_that_fit
from dataflow.bench.choice import chosen_arms
from dataflow.bench.equipment import open_equipment
from dataflow.bench.material import find_material
from dataflow.bench.pictures import PICTURED
from dataflow.bench.preparation import prepare, scenes
from dataflow.bench.rig import OpenRig, Rig
from dataflow.bench.suites import ENGINE, Arm, Suite
from dataflow.errors import counted, one_line
from dataflow.graph.scratch import scratch_folder
from dataflow.measure.environment import describe_environment
from dataflow.measure.tables import ResultsFolder
from dataflow.workload import Workload

__all__ = ["Experiment", "Progress", "bench"]

_MOST_ERRORS = 2  # an arm that failed as often isn't tried again


def bench(
    workload: Workload,
    *,
    suite: str = "quick",
    cluster: Any = "local",
    workers: int | None = None,
    corpus: str | None = None,
    documents: int | None = None,
    seed: int = 0,
    results: str | Path = "results",
    redis_url: str | None = None,
    blocks: int | None = None,
    max_seconds: float | None = None,
    progress: Callable[[Progress], None] | None = None,
    say: Callable[[str], None] = print,
    **overrides: Any,
) -> Path:
    """Run a workload under every arm of a suite.

    Args:
        workload: what to run.
        suite: which arms.
        cluster: where the base runs, as :func:`dataflow.run` takes it.
        workers: how many, on every cluster.
        corpus: a URL pattern; the workload's own corpus if left out.
        documents: how many; a corpus that is there is drawn from. Without it, a large one is cut to the time.
        seed: of the corpus, the draw and the order.
        results: the folder for the run's folder.
        redis_url: a server; without it ``REDIS_URL``, or else an embedded one.
        blocks: how often each arm is run; as often as there is time for, if left out.
        max_seconds: what the blocks may take together; the suite's own if left out.
        progress: told before every trial, and at the end.
        say: told what a user should know, the dashboard's link before work starts.
        **overrides: choices of the base's strategy.

    Returns:
        The run's folder. Ctrl-C ends the run early, with what was measured so far.

    Raises:
        DataflowError: what was asked for can't be had; nothing is left behind then.
        KeyboardInterrupt: before the first trial had ended.
    """
    plan, arms = chosen_arms(suite, overrides, workload, cluster, workers, say)
    shown = cluster if isinstance(cluster, str) else "client"
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(scratch_folder("bench")))
        material = find_material(workload, corpus, documents, seed, scratch / "corpus", plan.generated)
        material = material.first(plan.taken)
        say(f"corpus {material.source}: {counted(len(material.documents), 'document')}")
        equipment = stack.enter_context(open_equipment(workload, arms, cluster, workers, redis_url, say))
        limit = None if documents is not None else plan.corpus_seconds
        prepared = prepare(workload, material, equipment, seconds=limit, scratch=scratch, say=say, arms=arms)
        folder = ResultsFolder.create(results, workload.name, shown)
        rig = OpenRig(
            workload,
            equipment,
            prepared,
            scratch,
            scenes(plan, workload, prepared, equipment, scratch, say),
            plan.values,
        )
        experiment = Experiment(rig, plan, arms, folder, seed=seed, say=say, progress=progress)
        experiment.run(blocks, max_seconds)
    return folder.path


class Experiment:
    """The blocks of one run.

    Args:
        rig: makes arms into trials.
        suite: its bounds and its name.
        arms: all of them; those that the rig can't run are left out.
        results: the run's folder.
        seed: of the order.
        say: told what a user should know.
        progress: told before every trial, and at the end.
        clock: monotonic.
    """

    def __init__(
        self,
        rig: Rig,
        suite: Suite,
        arms: Sequence[Arm],
        results: ResultsFolder,
        *,
        seed: int = 0,
        say: Callable[[str], None] = print,
        progress: Callable[[Progress], None] | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._rig, self._suite, self._results, self._seed = rig, suite, results, seed
        self._say, self._progress, self._clock = say, progress, clock
        self._all = list(arms)
        self._arms = [arm for arm in arms if rig.can_run(arm)]
        self._errors: Counter[str] = Counter()
        self._done = 0
        self._planned = 0
        self._done_in_blocks = 0  # trials of the blocks that have ended
        self._block_seconds: list[float] = []
        self._notes: list[str] = []
        self._run = self._describe()

    def run(self, blocks: int | None = None, max_seconds: float | None = None) -> None:
        """Run the blocks, then the pages of Dask's own; ``run.json`` is kept up to date.

        Raises:
            KeyboardInterrupt: before the first trial had ended; the folder is removed then.
        """
        self._write()
        try:
            self._save_failed()
            self._run_blocks(blocks, max_seconds)
            self._pages()
        except KeyboardInterrupt:
            if not self._done:
                shutil.rmtree(self._results.path, ignore_errors=True)
                raise
            self._say(f"stopped after {counted(self._done, 'trial')}; what was measured is kept")
            self._write(interrupted=True)
            return
        self._write(complete=True)

    def _run_blocks(self, blocks: int | None, max_seconds: float | None) -> None:
        self._planned = blocks or self._suite.most_blocks
        while len(self._block_seconds) < self._planned:
            started = self._clock()
            self._run_block(len(self._block_seconds))
            self._block_seconds.append(self._clock() - started)
            self._done_in_blocks = self._done
            if blocks is None:
                self._plan(max_seconds)
            if len(self._block_seconds) == 1:
                self._say(f"{counted(self._planned, 'block')} of about {self._block_seconds[0]:.0f} s")
            self._write()
        self._report("", self._done)

    def _plan(self, max_seconds: float | None) -> None:
        """How many blocks there is time for. The number never grows again once the first has ended."""
        done = len(self._block_seconds)
        fit = blocks_that_fit(self._suite, self._block_seconds, max_seconds)
        self._planned = max(done, min(self._planned, fit))

    def _run_block(self, block: int) -> None:
        arms = [a for a in self._arms if self._errors[a.name] < _MOST_ERRORS and self._phases(a, block)]
        this, later = (sum(len(self._phases(a, b)) for a in arms) for b in (block, block + 1))
        total = self._done + this + later * (self._planned - block - 1)
        for position, (arm, phase, namespace) in enumerate(self._in_order(arms, block)):
            self._report(_shown(arm, phase), total)
            row = {**self._row(arm, phase, block), "position": position}
            records = self._rig.trial(arm, namespace, row)
            self._judge(arm, phase, records.trial)
            records.save(self._results)
            self._done += 1

    def _in_order(self, arms: Sequence[Arm], block: int) -> Iterator[tuple[Arm, str, str]]:
        """Arm, phase and cache namespace of each trial. A warm trial comes right after its cold one."""
        for arm in block_order(arms, block, self._seed):
            namespace = f"dataflow-bench-{self._results.run_id}-{self._done}"
            for phase in self._phases(arm, block):
                yield arm, phase, namespace
            if arm.kind == ENGINE and arm.strategy.cache != "none":
                self._forget(arm, namespace)

    def _phases(self, arm: Arm, block: int) -> tuple[str, ...]:
        return tuple(p for p in arm.phases if block == 0 or p not in self._suite.once)

    def _judge(self, arm: Arm, phase: str, row: dict[str, Any]) -> None:
        if row.get("error"):
            self._errors[arm.name] += 1
            self._note(f"{_shown(arm, phase)} failed: {row['error']}")
        elif row.get("matches_serial") is False:
            self._note(f"{_shown(arm, phase)}: its output differs from the plain loop's")

    def _save_failed(self) -> None:
        """Baselines that couldn't be prepared are trials too: failed ones."""
        for name, records in self._rig.failed():
            arm = next(a for a in self._all if a.name == name)
            records.trial.update(self._row(arm, "", 0))
            for rows in records.tables.values():
                for row in rows:
                    row["trial"] = self._done
            self._judge(arm, "", records.trial)
            records.save(self._results)
            self._done += 1

    def _forget(self, arm: Arm, namespace: str) -> None:
        try:
            self._rig.forget(arm, namespace)
        except Exception as error:  # the next cold trial has a namespace of its own: it is cold all the same
            self._note(f"the cache of {arm.name} can't be emptied: {one_line(error)}")

    def _pages(self) -> None:
        """Dask's own pages. They are no part of what is compared, so a failure is only said."""
        for arm in (a for a in self._arms if a.name in PICTURED and not self._errors[a.name]):
            self._say(f"Dask's performance report of {arm.name}")
            namespace = f"dataflow-bench-{self._results.run_id}-page"
            try:
                self._rig.page(arm, namespace, self._results.path / "dask")
            except Exception as error:
                self._note(f"no performance report of {arm.name}: {type(error).__name__}: {one_line(error)}")
            if arm.strategy.cache != "none":
                self._forget(arm, namespace)

    def _report(self, arm: str, total: int) -> None:
        """Tell how far it is."""
        if self._progress is None:
            return
        ended = len(self._block_seconds)
        left = None
        if ended:
            a_trial = sum(self._block_seconds) / max(1, self._done_in_blocks)
            left = a_trial * max(0, total - self._done)
        block = min(ended + 1, self._planned)
        self._progress(Progress(self._done, total, arm, block, self._planned, left))

    def _row(self, arm: Arm, phase: str, block: int) -> dict[str, Any]:
        return {
            "trial": self._done,
            "suite": self._suite.name,
            "strategy": arm.name,
            "factor": arm.factor,
            "level": arm.level,
            "phase": phase,
            "block": block,
            **self._rig.columns(arm),
        }

    def _describe(self) -> dict[str, Any]:
        environment = describe_environment()
        return {
            "run_id": self._results.run_id,
            "started": _now(),
            "command": environment.pop("command"),
            "seed": self._seed,
            "suite": self._suite.name,
            **self._rig.describe(),
            "arms": [dataclasses.asdict(arm) | {"phases": list(arm.phases)} for arm in self._arms],
            "left_out": [arm.name for arm in self._all if arm not in self._arms],
            "environment": environment,
        }

    def _note(self, text: str) -> None:
        self._notes.append(text)
        self._say(text)

    def _write(self, *, interrupted: bool = False, complete: bool = False) -> None:
        blocks = {
            "planned": self._planned or None,
            "done": len(self._block_seconds),
            "seconds": self._block_seconds,
        }
        state: dict[str, Any] = {"ended": _now() if interrupted or complete else None, "complete": complete}
        state |= {"interrupted": interrupted, "trials": self._done, "blocks": blocks, "notes": self._notes}
        self._results.write_json("run.json", {**self._run, **state})


def _shown(arm: Arm, phase: str) -> str:
    return f"{arm.name} {phase}".strip()


def _now() -> str:
    return datetime.now(UTC).isoformat()
