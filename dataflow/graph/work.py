"""What travels from node to node, and what comes back to the driver."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Any

from dataflow.document import Document
from dataflow.errors import said
from dataflow.graph.plan import Batch
from dataflow.memo.base import Entry
from dataflow.outcome import FAILED, OK, Outcome, Outcomes, Row

__all__ = ["BatchResult", "Item", "Part", "Work"]

_KIND, _SECONDS = attrgetter("document.media_type"), attrgetter("seconds")


@dataclass(slots=True)
class Item:
    """One document on its way.

    ``stage`` says how many stages its ``value`` has behind it; ``twin`` is the index of an earlier item of
    the batch with the same key, which is computed once for both.

    ``key`` is made of the content, ``state_key`` of what the file system says where that may stand for the
    content; ``epoch`` is that of the memo's tag before anything was computed. ``result_digest`` is that of
    ``value`` while it is a stage's result that keys the next, ``steps`` holds what is to be stored of them.
    ``digested`` is when its file was, in seconds since 1970.
    ``changed``: the document is another than the one that was digested, so its value belongs to no key.
    ``claimed``: it is up to this batch to compute it; ``lost``: another worker is at it. ``bypassed``: the memo is
    neither asked for it nor given it. ``lasting``: the document fails for good, as its stage says.
    """

    document: Document
    position: int
    attempts: int
    value: Any = None
    stage: int = 0
    size_bytes: int | None = None
    digest: bytes | None = None
    key: bytes | None = None
    state_key: bytes | None = None
    epoch: bytes = b""
    result_digest: bytes | None = None
    steps: list[Entry] = field(default_factory=list)
    recalled_seconds: float = 0.0
    bypassed: bool = False
    digested: float = 0.0
    changed: bool = False
    claimed: bool = False
    lost: bool = False
    lasting: bool = False
    cache: str | None = None
    twin: int | None = None
    seconds: float = 0.0
    stage_seconds: dict[str, float] = field(default_factory=dict)
    status: str = OK
    error_type: str | None = None
    error: str | None = None

    def fail(self, error_type: str, error: str) -> None:
        """From here on the document is a failed one, and carries no value."""
        self.status, self.error_type, self.error, self.value = FAILED, error_type, error, None

    def row(self, batch: int) -> Row:
        """The fields of its outcome, in their order."""
        return (
            self.document.url,
            self.document.media_type,
            self.size_bytes if self.size_bytes is not None else self.document.size_bytes,
            self.status,
            self.error_type,
            self.error,
            self.attempts,
            self.cache,
            self.seconds,
            self.stage_seconds,
            self.digest.hex() if self.digest else None,
            self.position,
            batch,
            None,
        )


@dataclass(slots=True)
class Work:
    """A batch on its way: its items and what has been counted so far.

    ``memoized``: the memo is used for some of it. ``looked_up``: the memo has been asked. ``recalled``: it had the
    last memoized stage's value of every document, so there is nothing to compute there, nor to store.
    ``one_kind``: the media type that all have, once that was found out.
    """

    batch: Batch
    items: list[Item]
    started: float
    cpu_started: float
    node_seconds: dict[str, float] = field(default_factory=dict)
    counters: dict[str, float] = field(default_factory=dict)
    memoized: bool = False
    looked_up: bool = False
    recalled: bool = False
    one_kind: str | None = None

    def kinds(self) -> dict[str, int]:
        """How many of its documents are of each media type."""
        if self.one_kind is not None:
            return {self.one_kind: len(self.items)}
        kinds = Counter(map(_KIND, self.items))
        if len(kinds) == 1:
            (self.one_kind,) = kinds
        return kinds

    def dearest_seconds(self) -> float:
        """The most that any of its documents took, now or when it was kept."""
        if not self.looked_up:
            return max(map(_SECONDS, self.items), default=0.0)
        return max([item.seconds + item.recalled_seconds for item in self.items], default=0.0)

    def groups(self, documents: int, size_bytes: int) -> Iterator[Work]:
        """Its documents in groups of so many and, as listed, bytes at most; what was counted goes with the first."""
        counted, begin = (self.node_seconds, self.counters), 0
        for batch in self.batch.groups(documents, size_bytes):
            end = begin + len(batch)
            seconds, counters = counted
            yield replace(
                self, batch=batch, items=self.items[begin:end], node_seconds=seconds, counters=counters
            )
            counted, begin = ({}, {}), end

    def divided(self, documents: int) -> tuple[Work, Work]:
        """Its first so many documents, with what was counted, and the others."""
        first, others = self.batch.divided(documents)
        return (
            replace(self, batch=first, items=self.items[:documents]),
            replace(self, batch=others, items=self.items[documents:], node_seconds={}, counters={}),
        )

    def add(self, other: Work) -> None:
        """Take in what has become of some of the batch's documents, the next ones."""
        self.items += other.items
        for mine, others in ((self.node_seconds, other.node_seconds), (self.counters, other.counters)):
            for name, amount in others.items():
                mine[name] = mine.get(name, 0.0) + amount
        self.memoized, self.looked_up = self.memoized or other.memoized, self.looked_up or other.looked_up


@dataclass(frozen=True, slots=True)
class Part:
    """A Parquet file that a worker wrote: its name in the output folder, its rows and its size."""

    name: str
    rows: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What comes back of a batch.

    Attributes:
        number: the batch's.
        outcomes: aligned with its documents.
        part: the file that holds them, where the run has an output.
        worker: the process that ran it, ``host:pid``.
        seconds: wall seconds from the first node's start to the last one's end, on the worker.
        cpu_seconds: CPU seconds of the thread that ran it; of the last node alone where nodes are not fused.
        node_seconds: wall seconds by node: probe, lookup, each stage, store, write.
        counters: of the memo, for this batch: hits, misses by reason, bytes.
        values: where it has no output, the pipeline's results, aligned and pickled: a value that can't be sent
            is found out on the worker, where it is one document's failure.
        started: when it began, by the monotonic ``perf_counter`` of the worker's machine; 0 where not known.
    """

    number: int
    outcomes: Sequence[Outcome]
    part: Part | None
    worker: str
    seconds: float
    cpu_seconds: float
    node_seconds: dict[str, float]
    counters: dict[str, float]
    values: bytes | None = None
    started: float = 0.0

    def take(self) -> Sequence[Outcome]:
        """The outcomes, with their values. Where these can't be made again here, the documents have failed."""
        if self.values is None:
            return self.outcomes
        outcomes = self.outcomes if isinstance(self.outcomes, Outcomes) else Outcomes(self.outcomes)
        try:
            return outcomes.with_values(pickle.loads(self.values))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # values' own code did it again, or knows what only workers have
            why = f"the batch's results can't be taken out here: {said(error)}"
            return [
                replace(one, status=FAILED, error_type=type(error).__name__, error=why)
                if one.status == OK
                else one
                for one in outcomes
            ]
