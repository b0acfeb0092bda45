"""Suites: which arms are compared, as frozen data. Factors vary around a base, each alone or two in full."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dataflow.errors import StrategyError
from dataflow.strategy import Strategy

__all__ = ["GIVEN", "INLINE", "SERVED", "SUITES", "Arm", "Suite", "suite_arms", "worker_counts"]

#: The cluster that the user asked for.
GIVEN = "given"
#: No cluster: the engine in the driver's own process.
INLINE = "inline"

ENGINE, SERIAL, POOL = "engine", "serial", "pool"

COLD_AND_WARM = ("cold", "warm")
#: The documents as they are, and with some among them that end the process that works on them.
CLEAN_AND_POISON = ("clean", "poison")

#: Levels of the factor cache that need a server.
SERVED = ("redis", "tiered")

#: Of the factor workers: as :func:`worker_counts` says.
UP_TO_TWICE = "1..2N"

Level = str | bool | int


@dataclass(frozen=True, slots=True)
class Arm:
    """One thing that is compared.

    Attributes:
        name: its own in the suite: ``base``, ``batching=fixed:16``, ``serial``.
        factor: what it varies against the base; empty for the base itself.
        level: the factor's level.
        kind: ``engine``, or the baseline ``serial`` or ``pool``.
        cluster: where: a cluster's name, ``given`` or ``inline``.
        strategy: how.
        twin: it is the base once more, to see how far two equal arms differ.
        phases: what is measured in turn; one without a name where there is nothing to tell apart.
        workers: how large its cluster is; ``None`` for as many as everywhere.
        variant: which of the workload's variants it runs; empty for its pipeline.
    """

    name: str
    factor: str
    level: str
    kind: str
    cluster: str
    strategy: Strategy
    twin: bool = False
    phases: tuple[str, ...] = ("",)
    workers: int | None = None
    variant: str = ""

    @property
    def place(self) -> str:
        """The cluster and its size: arms with the same share it."""
        return self.cluster if self.workers is None else f"{self.cluster} x {self.workers}"


@dataclass(frozen=True)
class Suite:
    """Which factors vary, over which levels.

    Attributes:
        name: as the user names it.
        description: one line.
        levels: levels by factor; ``given`` is the cluster that the user asked for.
        least_blocks: fewer are never run.
        most_blocks: more are never run, unless asked for.
        seconds: what all blocks together may take.
        corpus_seconds: how much work of one core a corpus of the user's own is cut down to.
        phases: what an arm goes through. Cold and warm are for arms with a cache; those after them are named
            in :data:`dataflow.bench.edits.EDITS`, and run on a copy of the documents.
        base: choices of the base's strategy that differ from the default.
        crossed: two factors whose levels are combined in full, besides each alone.
        once: phases that only the first block has, since more would say the same and take long.
        generated: documents of a generated corpus, where they are not the workload's own number.
        taken: documents from the corpus's beginning; ``None`` for all.
        values: results come back to the driver and are not written by the workers.
    """

    name: str
    description: str
    levels: Mapping[str, tuple[Level, ...]]
    least_blocks: int
    most_blocks: int
    seconds: float
    corpus_seconds: float
    phases: tuple[str, ...] = COLD_AND_WARM
    base: Mapping[str, Any] = field(default_factory=dict)
    crossed: tuple[str, ...] = ()
    once: tuple[str, ...] = ()
    generated: int | None = None
    taken: int | None = None
    values: bool = False

    @property
    def poisons(self) -> bool:
        """Whether a phase puts documents among the others that end their worker."""
        return self.phases == CLEAN_AND_POISON

    @property
    def edits(self) -> bool:
        """Whether its phases change documents, code or tags."""
        return self.phases != COLD_AND_WARM and not self.poisons


SUITES: dict[str, Suite] = {
    suite.name: suite
    for suite in (
        Suite(
            name="quick",
            description="cache, cluster, batching and collection, one at a time, against two baselines",
            levels={
                "cache": ("none", "lru", "redis"),
                "cluster": (GIVEN, "threads", "processes"),
                "batching": ("adaptive", "fixed:1", "fixed:16", "fixed:64", "bytes:1MiB"),
                "collect": ("as_completed", "gather", "ordered"),
                "fuse": (True, False),
            },
            least_blocks=2,
            most_blocks=6,
            seconds=130.0,
            corpus_seconds=4.0,
        ),
        Suite(
            name="caching",
            description="what each cache is worth: cold, warm, and with a tenth of the documents changed",
            levels={"cache": ("none", "lru", "redis", "tiered")},
            least_blocks=2,
            most_blocks=6,
            seconds=130.0,
            corpus_seconds=4.0,
            phases=("cold", "warm", "churn"),
        ),
        Suite(
            name="invalidation",
            description="what each freshness serves and recomputes after edits of content, time, tag and code",
            levels={"freshness": ("content", "stat", "ttl:3600", "tag:bench")},
            least_blocks=2,
            most_blocks=6,
            seconds=130.0,
            corpus_seconds=4.0,
            # The hidden edit comes before the tag: what the tag's end mends shows in its phase.
            phases=("cold", "warm", "content", "mtime", "hidden", "tag", "code"),
            base={"cache": "tiered"},
        ),
        Suite(
            name="parallel",
            description="each cluster from one worker to twice the cores: speed-up, efficiency, CPU and memory",
            levels={"cluster": (GIVEN, "threads", "processes", "distributed"), "workers": (UP_TO_TWICE,)},
            crossed=("cluster", "workers"),
            least_blocks=2,
            most_blocks=8,
            seconds=100.0,
            corpus_seconds=4.0,
            generated=600,
        ),
        Suite(
            name="batching",
            description="batch sizes on clean documents, and what a document costs its batch that ends its worker",
            levels={
                "batching": (
                    *("adaptive", "fixed:1", "fixed:4", "fixed:16", "fixed:64", "fixed:256"),
                    *("bytes:256KiB", "bytes:1MiB"),
                ),
                "errors": ("bisect", "skip"),
            },
            crossed=("batching", "errors"),
            least_blocks=2,
            most_blocks=12,
            seconds=140.0,
            corpus_seconds=2.0,
            phases=CLEAN_AND_POISON,
            once=("poison",),
        ),
        Suite(
            name="streaming",
            description="results at the end, in order or as they come; documents whole or page by page",
            levels={
                "collect": ("as_completed", "gather", "ordered"),
                "loading": ("whole", "pages"),
            },
            least_blocks=2,
            most_blocks=12,
            seconds=100.0,
            corpus_seconds=4.0,
            generated=600,
            values=True,
        ),
        Suite(
            name="single",
            description="one document, cold and warm: where each millisecond of overhead goes",
            levels={
                "cache": ("none", "lru", "redis", "tiered"),
                "cluster": (GIVEN, INLINE),
            },
            crossed=("cluster", "cache"),
            least_blocks=3,
            most_blocks=12,
            seconds=90.0,
            corpus_seconds=60.0,
            taken=1,
        ),
    )
}


def suite_arms(
    name: str, overrides: Mapping[str, Any] | None = None, *, workers: int = 1
) -> tuple[Suite, tuple[Arm, ...]]:
    """A suite and its arms, the base first, each only once.

    Args:
        name: the suite's.
        overrides: choices of the base's strategy that differ from the default.
        workers: how many the clusters have that no arm sizes otherwise.

    Raises:
        StrategyError: no such suite, factor or level.
    """
    if name not in SUITES:
        raise StrategyError(f"no suite is called {name!r}; there are {', '.join(sorted(SUITES))}.")
    suite = SUITES[name]
    strategy = Strategy().replace(**{**suite.base, **(overrides or {})})
    base = Arm("base", "", "", ENGINE, GIVEN, strategy)
    twin = replace(base, name="twin", factor="twin", level="base", twin=True)
    baselines = [Arm(kind, "baseline", kind, kind, kind, strategy) for kind in (SERIAL, POOL)]
    arms = (base, twin, *_varied(suite, base, workers), *baselines)
    return suite, tuple(replace(arm, phases=_phases(suite, arm, base)) for arm in arms)


def worker_counts(workers: int) -> tuple[int, ...]:
    """Powers of two below ``workers``, that number itself, and twice as many."""
    powers = [2**i for i in range(workers.bit_length()) if 2**i < workers]
    return (*powers, workers, 2 * workers)


def _varied(suite: Suite, base: Arm, workers: int) -> Iterator[Arm]:
    """The base with another level of one factor, then with other levels of the two that are crossed."""
    levels = dict(suite.levels)
    if levels.get("workers") == (UP_TO_TWICE,):
        levels["workers"] = worker_counts(workers)
    for factor, found in levels.items():
        yield from filter(None, (_with(base, factor, level, workers) for level in found))
    if suite.crossed:
        yield from _crossed(base, levels, suite.crossed, workers)


def _crossed(
    base: Arm, levels: Mapping[str, Sequence[Level]], crossed: Sequence[str], workers: int
) -> Iterator[Arm]:
    first, second = crossed
    for level in levels[first]:
        one = _with(base, first, level, workers)
        for other in levels[second]:
            both = _with(one, second, other, workers) if one else None
            # More workers than the machine has cores are asked of the given cluster alone.
            if one and both and (both.workers or 0) <= workers:
                yield replace(
                    both,
                    name=f"{one.name} {both.name}",
                    factor=first,
                    level=f"{one.level} {both.name}",
                )


def _with(base: Arm, factor: str, level: Level, workers: int) -> Arm | None:
    """An arm with another level of one factor; ``None`` where that is its own already."""
    shown = {True: "on", False: "off"}[level] if isinstance(level, bool) else str(level)
    changed = replace(base, name=f"{factor}={shown}", factor=factor, level=shown)
    if factor == "cluster":
        return None if level == GIVEN else replace(changed, cluster=shown)
    if factor == "workers":
        return None if level == workers else replace(changed, workers=int(level))
    if factor == "loading":
        return None if level == "whole" else replace(changed, variant=shown)
    strategy = base.strategy.replace(**{factor: level})
    return None if strategy == base.strategy else replace(changed, strategy=strategy)


def _phases(suite: Suite, arm: Arm, base: Arm) -> tuple[str, ...]:
    """What an arm is measured in: whatever a phase can't tell apart from the one before is left out."""
    if suite.poisons:
        if arm.kind != ENGINE:
            return suite.phases[:1]  # nobody looks after a baseline whose process died
        if arm.twin:
            return suite.phases[:1]  # it tells how far speeds differ by chance
        same = arm.strategy.errors == base.strategy.errors
        return suite.phases if same else suite.phases[1:]  # no clean document needs a level of errors
    cached = arm.kind == ENGINE and arm.strategy.cache != "none"
    return suite.phases if cached else ("",)
