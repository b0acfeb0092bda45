"""Suites: which arms are compared, as frozen data. One factor varies at a time, around a base."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from dataflow.errors import StrategyError
from dataflow.strategy import Strategy

__all__ = ["GIVEN", "SERVED", "SUITES", "Arm", "Suite", "suite_arms"]

#: The cluster that the user asked for.
GIVEN = "given"

ENGINE, SERIAL, POOL = "engine", "serial", "pool"

COLD_AND_WARM = ("cold", "warm")

#: Levels of the factor cache that need a server.
SERVED = ("redis", "tiered")


@dataclass(frozen=True, slots=True)
class Arm:
    """One thing that is compared.

    Attributes:
        name: its own in the suite: ``base``, ``batching=fixed:16``, ``serial``.
        factor: what it varies against the base; empty for the base itself.
        level: the factor's level.
        kind: ``engine``, or the baseline ``serial`` or ``pool``.
        cluster: where: a cluster's name, or ``given``.
        strategy: how.
        twin: it is the base once more, to see how far two equal arms differ.
        turns: the suite's phases, which an arm with a cache goes through.
    """

    name: str
    factor: str
    level: str
    kind: str
    cluster: str
    strategy: Strategy
    twin: bool = False
    turns: tuple[str, ...] = COLD_AND_WARM

    @property
    def phases(self) -> tuple[str, ...]:
        """What is measured in turn: an arm with a cache is first cold, then warm, and then what the suite says."""
        return self.turns if self.kind == ENGINE and self.strategy.cache != "none" else ("",)


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
        phases: what an arm with a cache goes through; those after cold and warm are named in
            :data:`dataflow.bench.edits.EDITS`, and run on a copy of the documents.
        base: choices of the base's strategy that differ from the default.
    """

    name: str
    description: str
    levels: Mapping[str, tuple[str | bool, ...]]
    least_blocks: int
    most_blocks: int
    seconds: float
    corpus_seconds: float
    phases: tuple[str, ...] = COLD_AND_WARM
    base: Mapping[str, Any] = field(default_factory=dict)

    @property
    def edits(self) -> bool:
        """Whether its phases change documents, code or tags."""
        return self.phases != COLD_AND_WARM


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
    )
}


def suite_arms(name: str, overrides: Mapping[str, Any] | None = None) -> tuple[Suite, tuple[Arm, ...]]:
    """A suite and its arms, the base first, each only once.

    Args:
        name: the suite's.
        overrides: choices of the base's strategy that differ from the default.

    Raises:
        StrategyError: no such suite, factor or level.
    """
    if name not in SUITES:
        raise StrategyError(f"no suite is called {name!r}; there are {', '.join(sorted(SUITES))}.")
    suite = SUITES[name]
    strategy = Strategy().replace(**{**suite.base, **(overrides or {})})
    base = Arm("base", "", "", ENGINE, GIVEN, strategy, turns=suite.phases)
    twin = replace(base, name="twin", factor="twin", level="base", twin=True)
    varied = [
        arm
        for factor, levels in suite.levels.items()
        for level in levels
        if (arm := _varied(base, factor, level)) is not None
    ]
    baselines = [Arm(kind, "baseline", kind, kind, kind, strategy) for kind in (SERIAL, POOL)]
    return suite, (base, twin, *varied, *baselines)


def _varied(base: Arm, factor: str, level: str | bool) -> Arm | None:
    """The base with another level of one factor; ``None`` where that is the base's own."""
    shown = {True: "on", False: "off"}.get(level, str(level)) if isinstance(level, bool) else str(level)
    name = f"{factor}={shown}"
    if factor == "cluster":
        if level == GIVEN:
            return None
        return replace(base, name=name, factor=factor, level=shown, cluster=str(level))
    strategy = base.strategy.replace(**{factor: level})
    if strategy == base.strategy:
        return None
    return replace(base, name=name, factor=factor, level=shown, strategy=strategy)
