"""A round: one run, disturbed by one fault or more at moments of its own progress, and resumed where it ended."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import outputs
from faults import FAULTS, Fault
from outputs import Difference, Row
from scene import Scene
from storm import chosen

__all__ = ["Plan", "Result", "Undisturbed", "plan_rounds", "play"]

CLUSTERS = ("processes", "threads", "distributed")
CACHES = ("none", "redis")
BATCHES = ("fixed:2", "fixed:3", "fixed:5", "adaptive")


@dataclass(frozen=True)
class Plan:
    """What happens in a round: all that is chance is decided here.

    Attributes:
        strikes: names of faults with the share of the documents that are committed when each strikes.
    """

    number: int
    seed: str
    cluster: str
    cache: str
    batch: str
    stormy: bool
    strikes: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Undisturbed:
    """What the output should be.

    Attributes:
        corpus: the documents' folder.
        rows: of a run that nothing happened to.
        size_bytes: of its parts.
    """

    corpus: Path
    rows: list[Row]
    size_bytes: int


@dataclass
class Result:
    """What became of a round.

    Attributes:
        injected: faults by name and how often each happened.
        drivers: how many were needed.
        difference: of the output; ``None`` where no run came to its end.
        trouble: what else went wrong: a traceback, a hang, an end without a reason. Empty for none.
    """

    plan: Plan
    injected: dict[str, int] = field(default_factory=dict)
    drivers: int = 0
    difference: Difference | None = None
    trouble: str = ""
    seconds: float = 0.0

    @property
    def survived(self) -> bool:
        """Whether all was as it should be."""
        return not self.trouble and self.difference is not None and self.difference.equal


def plan_rounds(seed: int, rounds: int, names: Sequence[str] | None = None) -> list[Plan]:
    """Each fault by itself first, in random order; what is left of the rounds are storms of several."""
    possible = [n for n in names or FAULTS if FAULTS[n].possible()]
    order = Random(f"chaos {seed}").sample(possible, len(possible))
    return [_plan(seed, number, order) for number in range(rounds)]


def _plan(seed: int, number: int, order: list[str]) -> Plan:
    rng = Random(f"chaos {seed} {number}")
    picked = [order[number]] if number < len(order) else _several(rng, order)
    faults = [FAULTS[n] for n in picked]
    clusters = [c for c in CLUSTERS if all(c in f.clusters for f in faults)]
    cache = next((f.cache for f in faults if f.cache), None) or rng.choice(CACHES)
    stormy = next((f.stormy for f in faults if f.stormy is not None), None)
    moments = sorted(rng.uniform(0.05, 0.6) for _ in picked)
    # A fault that happens by itself is only counted, so it comes last.
    picked.sort(key=lambda n: n in _BY_ITSELF)
    return Plan(
        number=number,
        seed=f"{seed} {number}",
        cluster=rng.choice(clusters),
        cache=cache,
        batch=rng.choice(BATCHES[:3] if len(picked) > 1 else BATCHES),
        stormy=rng.random() < 0.3 if stormy is None else stormy,
        strikes=tuple(zip(picked, moments, strict=True)),
    )


_BY_ITSELF = ("reads-slow", "reads-fail", "reads-broken", "writes-fail", "disk-full")


def _several(rng: Random, order: list[str]) -> list[str]:
    """Two to four faults that can happen in one run."""
    picked: list[str] = []
    for name in rng.sample(order, len(order)):
        if len(picked) < rng.choice((2, 3, 4)) and _together([FAULTS[n] for n in [*picked, name]]):
            picked.append(name)
    return picked


def _together(faults: list[Fault]) -> bool:
    clusters = [c for c in CLUSTERS if all(c in f.clusters for f in faults)]
    stormy = {f.stormy for f in faults if f.stormy is not None}
    servers = sum(f.cache == "redis" for f in faults)  # one that is dead can't be stopped
    return bool(clusters) and len(stormy) < 2 and servers < 2


def play(plan: Plan, undisturbed: Undisturbed, folder: Path) -> Result:
    """Play a round in a folder of its own, and compare what it left."""
    folder.mkdir()
    scene = Scene(
        folder=folder, corpus=undisturbed.corpus, documents=len(undisturbed.rows), size_bytes=undisturbed.size_bytes,
        cluster=plan.cluster, cache=plan.cache, batch=plan.batch, rng=Random(plan.seed), stormy=plan.stormy,
        weather={"seed": plan.seed},
    )  # fmt: skip
    result = Result(plan)
    started = time.monotonic()
    with contextlib.closing(scene):
        for name, _ in plan.strikes:
            FAULTS[name].prepare(scene)
        _run(scene, plan, result)
        result.drivers = scene.drivers
        if not any(result.injected.values()):
            result.trouble = result.trouble or "nothing was injected, so nothing is proven"
        if not result.trouble:
            result.difference = outputs.compare(
                undisturbed.rows, outputs.read_rows(scene.output), _broken(scene, undisturbed.rows)
            )
    result.seconds = time.monotonic() - started
    return result


def _run(scene: Scene, plan: Plan, result: Result) -> None:
    """Start drivers until one comes to its end by itself, while the faults strike."""
    waiting = list(plan.strikes)
    while not result.trouble:
        ended_by: list[Fault] = []
        scene.start()
        before = scene.progress()
        while (
            waiting
            and not ended_by
            and (waiting[0][0] in _BY_ITSELF or _moment(scene, waiting[0][1], before))
        ):
            name, _ = waiting.pop(0)
            result.injected[name] = result.injected.get(name, 0) + FAULTS[name].strike(scene)
            if FAULTS[name].ends and result.injected[name]:
                ended_by.append(FAULTS[name])
        status = scene.wait()
        if status and not ended_by:
            ended_by += _ended_early(scene, waiting, result)
        result.trouble = _trouble(scene, status, ended_by)
        if status == 0 or not ended_by:
            break
        for fault in ended_by:
            fault.mend(scene)
    for name, _ in plan.strikes:
        result.injected.setdefault(name, 0)


def _ended_early(scene: Scene, waiting: list[tuple[str, float]], result: Result) -> list[Fault]:
    """A fault that comes by itself and ended the driver before it was its turn; the others strike the next driver."""
    early = [s for s in waiting if s[0] in _BY_ITSELF and FAULTS[s[0]].ends]
    for strike in early:
        waiting.remove(strike)
        result.injected[strike[0]] = result.injected.get(strike[0], 0) + FAULTS[strike[0]].strike(scene)
    return [FAULTS[name] for name, _ in early if result.injected[name]]


def _moment(scene: Scene, share: float, before: int) -> bool:
    """Wait for a fault's moment; where an earlier driver has come that far, until this one has come further."""
    return scene.reach(max(before + 1, round(share * scene.documents)))


def _trouble(scene: Scene, status: int | None, ended_by: list[Fault]) -> str:
    """What is wrong with how a driver ended; empty for nothing."""
    last = " | ".join(scene.said.strip().splitlines()[-3:])
    if status is None:
        return f"driver {scene.drivers} hangs: {last}"
    if "Traceback" in scene.said:
        return f"driver {scene.drivers} printed a traceback: {last}"
    if status != 0 and not ended_by:
        return f"driver {scene.drivers} ended with status {status}: {last}"
    return ""


def _broken(scene: Scene, rows: list[Row]) -> frozenset[str]:
    if not scene.weather.get("broken"):
        return frozenset()
    return frozenset(n for n in map(outputs.name, rows) if chosen(scene.weather, "broken", n))
