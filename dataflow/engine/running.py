"""A run under way, and what it has come to."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from types import TracebackType

from dataflow.corpus import Corpus
from dataflow.engine.interrupts import answered_later
from dataflow.engine.output import Keeper, Output
from dataflow.errors import one_line
from dataflow.outcome import Outcome

__all__ = ["Run", "Summary"]

_CLOSING_SECONDS = 10.0  # a cluster is closed in one or two


@dataclass
class Summary:
    """What a run has come to so far.

    Attributes:
        documents: outcomes by status.
        errors: outcomes by error type.
        examples: a document and its message, for each error type.
        caches: outcomes by the cache tier that answered.
        size_bytes: bytes of all documents.
        seconds: wall seconds since the run began.
        counters: the memo's, added up over the batches.
        uncacheable: why nothing is memoized although the strategy asked for it; ``None`` where it is.
        skipped: documents that an earlier run had done, where this one goes on with it.
        notes: what the user should know besides, a line each.
        marks: ``perf_counter`` when it was ``opened``, when the first batch was ``sent``, and when the latest
            result had ``come`` and was ``committed``.
    """

    documents: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    caches: Counter[str] = field(default_factory=Counter)
    size_bytes: int = 0
    seconds: float = 0.0
    counters: dict[str, float] = field(default_factory=dict)
    uncacheable: str | None = None
    skipped: int = 0
    notes: list[str] = field(default_factory=list)
    marks: dict[str, float] = field(default_factory=dict)

    def mark(self, name: str) -> None:
        """Note that something happens now."""
        self.marks[name] = time.perf_counter()

    @property
    def total(self) -> int:
        """Documents of any status."""
        return sum(self.documents.values())


class Run:
    """A run under way: an iterator of outcomes. Made by :func:`dataflow.run`.

    It is a context manager too; leaving it early, or :meth:`close`, cancels what is in flight. What was
    committed to the output stays. Iterating ends there, also for another thread that is at it.

    Attributes:
        dashboard_link: Dask's dashboard, or ``None``.
        summary: counts, kept up to date.
    """

    def __init__(
        self,
        stack: contextlib.ExitStack,
        outcomes: Iterable[Outcome],
        documents: Corpus,
        output: Output,
        keeper: Keeper | None,
        summary: Summary,
        stop: Callable[[], None] = lambda: None,
    ) -> None:
        self._stack, self._documents, self._output, self._keeper = stack, documents, output, keeper
        self._outcomes = iter(outcomes)
        self._committed = output.before
        self._started = time.perf_counter()
        self._stop, self._closing = stop, False
        self._busy = threading.RLock()  # nothing is given back while another thread is at it
        self.summary = summary
        self.dashboard_link: str | None = None

    def __iter__(self) -> Iterator[Outcome]:
        return self

    def __next__(self) -> Outcome:
        with self._busy:
            if self._closing:
                raise StopIteration
            try:
                outcome = next(self._outcomes)
            except StopIteration:
                self._finish(complete=not self._closing)
                raise
            except BaseException:
                self._finish(complete=False)
                raise
            self._count(outcome)
            return outcome

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self.close()

    @property
    def total(self) -> int | None:
        """Documents of the corpus, once it has been listed to its end."""
        return self._documents.total

    @property
    def to_do(self) -> int | None:
        """Documents that aren't done from an earlier run, once the corpus has been listed to its end."""
        return None if self.total is None else self.total - self._output.skipped

    @property
    def committed(self) -> int:
        """Rows of the output that count, whatever happens next."""
        return self._keeper.rows if self._keeper else self._committed

    def close(self) -> None:
        """Cancel what is in flight and give everything back. Closing twice is fine.

        A thread that waits for the next outcome is let go first, which may take as long as the rest of a batch where
        this very process computes it. A corpus that is just saying what its next document is isn't waited for.
        """
        self._closing = True
        self._stop()
        with self._busy:
            self._finish(complete=False)

    def _finish(self, *, complete: bool) -> None:
        with answered_later(_CLOSING_SECONDS):
            self._give_back(complete)

    def _give_back(self, complete: bool) -> None:
        keeper, self._keeper = self._keeper, None
        try:
            self._stack.close()  # first, so that no worker writes a part while orphans are collected
        finally:
            if keeper:
                self._committed = keeper.rows  # whatever comes of the rest, which a user may break off
                keeper.finish(complete=complete)
                self._committed = keeper.rows
                self.summary.skipped = self._output.skipped
                self.summary.notes += [*(self._output.closing_notes() if complete else ()), *keeper.leavings]

    def _count(self, outcome: Outcome) -> None:
        summary = self.summary
        summary.documents[outcome.status] += 1
        if outcome.error_type:
            summary.errors[outcome.error_type] += 1
            summary.examples.setdefault(outcome.error_type, one_line(f"{outcome.document}: {outcome.error}"))
        if outcome.cache:
            summary.caches[outcome.cache] += 1
        summary.size_bytes += outcome.size_bytes or 0
        summary.skipped = self._output.skipped
        summary.seconds = time.perf_counter() - self._started
