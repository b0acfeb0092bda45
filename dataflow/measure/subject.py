"""What a trial is made on: an arm that is ready to run. Here the engine on an open cluster."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from dataflow.document import Document
from dataflow.engine.manifest import committed_parts
from dataflow.engine.run import run
from dataflow.graph.table import part_table, sink_for
from dataflow.graph.work import BatchResult
from dataflow.measure.digests import Output, Rows
from dataflow.measure.probes import ClusterProbe, Probe, ProcessProbe, RedisProbe
from dataflow.outcome import Outcome
from dataflow.pipeline import Pipeline
from dataflow.strategy import Strategy

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["EngineSubject", "Execution", "Subject"]


@dataclass(slots=True)
class Execution:
    """One way through the corpus, timed.

    Attributes:
        started: ``perf_counter`` right before.
        first: the same at the first outcome; ``None`` where there was none.
        ended: the same when all outcomes were there and all rows written.
        outcomes: in the order in which they came.
        batches: likewise.
        parts: names of the Parquet files that hold the rows.
        uncacheable: why nothing was memoized although the strategy asked for it.
        marks: ``perf_counter`` at the run's own steps: ``opened``, ``sent``, ``come`` and ``committed``.
        output: the rows, digested as they came; ``None`` where parts hold them.
    """

    started: float
    first: float | None = None
    ended: float = 0.0
    outcomes: list[Outcome] = field(default_factory=list)
    batches: list[BatchResult] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    uncacheable: str | None = None
    marks: dict[str, float] = field(default_factory=dict)
    output: Output | None = None


class Subject(Protocol):
    """An arm, ready to run.

    Attributes:
        workers: worker processes.
        threads: of all workers together.
    """

    workers: int
    threads: int

    def execute(self, documents: Sequence[Document], folder: Path) -> Execution:
        """Process the documents and write their rows into a folder that doesn't exist yet."""

    def probes(self) -> list[Probe]:
        """What to sample meanwhile."""


class EngineSubject:
    """The engine under one strategy on an open cluster.

    Args:
        pipeline: what to do.
        strategy: how.
        client: where; connected, and left open. ``None`` runs it in this very process.
        redis_url: the server for ``cache="redis"`` and ``"tiered"``.
        namespace: the beginning of the cache's keys: a new one for a cold trial.
        search_path: folders that workers need on ``sys.path``.
        values: results come back to this process, which digests and drops them, and no part is written.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        strategy: Strategy,
        client: Client | None,
        *,
        redis_url: str | None = None,
        namespace: str = "dataflow",
        search_path: Iterable[str] = (),
        values: bool = False,
    ) -> None:
        threads = client.nthreads() if client else {"": 1}
        self.workers, self.threads = len(threads), sum(threads.values())
        self._pipeline, self._client = pipeline, client
        self._redis_url, self._values = redis_url, values
        self._options: dict[str, Any] = {
            "strategy": strategy,
            "cluster": client or "inline",
            "redis_url": redis_url,
            "namespace": namespace,
            "search_path": tuple(search_path),
        }
        self._samples_redis = strategy.cache in ("redis", "tiered") and redis_url is not None

    def execute(self, documents: Sequence[Document], folder: Path) -> Execution:
        """Run it, and drain its outcomes."""
        execution = Execution(time.perf_counter())
        output = None if self._values else str(folder)
        taker = _Taker(self._pipeline) if self._values else None
        options = {**self._options, "output": output, "on_batch": _without_values(execution.batches)}
        with run(self._pipeline, documents, **options) as outcomes:
            for outcome in outcomes:
                if execution.first is None:
                    execution.first = time.perf_counter()
                execution.outcomes.append(taker.take(outcome) if taker else outcome)
        if taker:
            execution.output = taker.output()
        execution.ended = time.perf_counter()
        execution.uncacheable = outcomes.summary.uncacheable
        execution.marks = outcomes.summary.marks
        if output:
            execution.parts = [r["part"] for r in committed_parts(output) if "part" in r]
        return execution

    def probes(self) -> list[Probe]:
        """The driver, each worker, a scheduler that is a process of its own, and Redis where it is used."""
        found: list[Probe] = [ProcessProbe()]
        if self._client is not None:
            found.append(ClusterProbe(self._client))
        if self._samples_redis:
            assert self._redis_url is not None
            found.append(RedisProbe(self._redis_url))
        return found


_TAKEN_AT_ONCE = 32


class _Taker:
    """A consumer that looks at every value and keeps none, so that what is held is the engine's doing."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._sink, self._rows = sink_for(pipeline, ""), Rows()
        self._waiting: list[Outcome] = []

    def take(self, outcome: Outcome) -> Outcome:
        """The outcome without its value."""
        self._waiting.append(outcome)
        if len(self._waiting) >= _TAKEN_AT_ONCE:
            self._digest()
        return replace(outcome, value=None)

    def output(self) -> Output:
        self._digest()
        return self._rows.output()

    def _digest(self) -> None:
        waiting, self._waiting = self._waiting, []
        self._rows.take(part_table(self._sink, waiting, [o.value for o in waiting]).to_pylist())


def _without_values(batches: list[BatchResult]) -> Callable[[BatchResult], None]:
    """Keeps what batches say of themselves, and not the values that came with them."""
    return lambda result: batches.append(replace(result, values=None))
