"""The bounded stream: batches in, outcomes out, with never more than a window of work in flight."""

from __future__ import annotations

import contextlib
import errno
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence

from dataflow.engine.batches import Batcher
from dataflow.engine.executors import Done, Executor
from dataflow.engine.ladder import Ladder, Rescue
from dataflow.engine.output import Keeper
from dataflow.engine.stall import Stall, StallWatch, worked_on
from dataflow.errors import ClusterError, DocumentError, OutputError, WorkloadError, counted, one_line
from dataflow.graph.plan import Batch, Plan
from dataflow.graph.table import write_part
from dataflow.graph.work import BatchResult, Part
from dataflow.outcome import OK, Outcome

__all__ = ["Stream"]

_CUTTING_SECONDS = 0.2  # to cut a window of batches takes a few milliseconds
_SENDING_SECONDS = 0.01  # which is what a message costs, all in all
_MOST_HELD = 4096  # outcomes that wait for an earlier one, when they have to come in order


class Stream:
    """Pushes the batches of one run through an executor and yields outcomes.

    Nothing is in flight that the consumer's pace doesn't allow: work is queued only when outcomes are asked
    for, and at most a window of it.

    Args:
        plan: the run's plan, known to the executor.
        batcher: cuts the batches.
        executor: runs them.
        manifest: where parts are committed, for a run with an output.
        on_batch: sees each batch's result, after it was committed.
        on_stall: told which documents the workers are at when nothing has moved for a while.
        on_mark: told when the first batch was ``sent``, and each time that results have ``come`` and are
            ``committed``.
        all_note: every worker keeps a ledger that this machine can read.
        check: called when all is done that the corpus has named: raises what kept it from naming more.
        clock: seconds, by which it is told whether the source is slow.
    """

    def __init__(
        self,
        plan: Plan,
        batcher: Batcher,
        executor: Executor,
        *,
        manifest: Keeper | None = None,
        on_batch: Callable[[BatchResult], None] | None = None,
        on_stall: Callable[[Stall], None] | None = None,
        on_mark: Callable[[str], None] | None = None,
        all_note: bool = False,
        check: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._plan, self._batcher, self._executor = plan, batcher, executor
        self._manifest, self._on_batch = manifest, on_batch
        self._check = check
        self._mark = on_mark or (lambda name: None)
        self._live: dict[int, Batch] = {}
        self._again: deque[Batch] = deque()
        self._stopped = False
        self._numbers = 0
        self._results: list[BatchResult] = []  # that have come while the manifest is told what the run is
        self._describing = False
        self._held: dict[int, Outcome] = {}
        self._due: deque[int] = deque()  # positions in the corpus's order, where outcomes come in that order
        self._stall = StallWatch(plan, on_stall)
        bisect = plan.strategy.errors != "skip"
        self._ladder = Ladder(bisect=bisect, ledger=plan.ledger, all_note=all_note, number=self._number)

    def stop(self) -> None:
        """No more is waited for; for another thread than the one that iterates, whose iterating ends soon."""
        self._stopped = True
        self._executor.wake()

    def __iter__(self) -> Iterator[Outcome]:
        """The outcomes, as the strategy's ``collect`` says."""
        collect = self._plan.strategy.collect
        if collect == "gather":
            yield from list(self._outcomes())
        elif collect == "ordered":
            for outcome in self._outcomes():
                yield from self._in_order(outcome)
        else:
            yield from self._outcomes()
        if not self._stopped:
            self._check()

    def _outcomes(self) -> Iterator[Outcome]:
        self._refill(self._executor.slots)  # each worker has something to do while the rest is listed
        self._mark("sent")
        if not self._batcher.ended:
            self._executor.deliver()  # before more is listed and cut, which keeps the interpreter busy
        self._refill()
        self._describe()
        while self._live or self._again or not self._batcher.ended:
            ended = self._wait()
            if self._stopped:
                return
            if not (ended or self._results):
                self._stall.idle(self._live.values(), self._executor.paused)
                self._refill()  # the source may have paused, and goes on
                continue
            self._mark("come")
            outcomes = self._settle(ended)
            if self._stopped:  # by whom each batch's result is told
                return
            if outcomes:
                self._mark("committed")
            self._refill()
            for some in outcomes:
                yield from some
            self._stall.moved()  # only now: a consumer that takes its time is no standstill
            self._refill()  # what was held back for an earlier document may have gone out by now

    def _describe(self) -> None:
        """Have the manifest say what the run is, while the workers begin: fingerprints take a tenth of a second."""
        manifest = self._manifest
        if manifest is None or manifest.described:
            return

        def describe() -> None:
            with contextlib.suppress(Exception):  # whoever commits meets it again
                manifest.describe()
            self._describing = False
            self._executor.wake()

        self._describing = True
        threading.Thread(target=describe, name="dataflow-header", daemon=True).start()

    def _wait(self) -> list[Done]:
        try:
            return self._executor.wait()
        except ClusterError as error:
            at = sorted({url for url, _ in worked_on(self._plan.ledger, self._live.values())})
            if not at:
                raise
            raise ClusterError(f"{error} Its workers were last at {', '.join(at[:4])}.") from error

    def _in_order(self, outcome: Outcome) -> Iterator[Outcome]:
        self._held[outcome.position] = outcome
        while self._due and self._due[0] in self._held:
            yield self._held.pop(self._due.popleft())

    def _refill(self, most: float = math.inf) -> None:
        """Submit batches up to the window, in one message but where cutting them takes long."""
        batches: list[Batch] = []
        window, began = min(self._window(), most), self._clock()
        sent, idle = began, not self._live
        # What is run again goes in however many are held: they may be waiting for just that.
        while len(self._live) < window and (self._again or len(self._held) < _MOST_HELD):
            batch = self._next_batch()
            if batch is None:
                break
            self._live[batch.number] = batch
            batches.append(batch)
            now = self._clock()
            if now > began + _CUTTING_SECONDS:
                break  # the source is slow: what is there goes out, and what has come is handed on, before more
            if now > sent + _SENDING_SECONDS:
                self._executor.submit(batches)  # a worker may wait for it while the look-ahead is listed
                batches, sent = [], now
        if batches:
            self._executor.submit(batches)
        if idle and self._live:
            self._stall.moved()  # what nobody was at until now hasn't stood still

    def _next_batch(self) -> Batch | None:
        if self._again:
            return self._again.popleft()
        batch = self._batcher.take(self._number(), idle=not self._live)
        if batch and self._plan.strategy.collect == "ordered":
            self._due.extend(batch.positions)
        return batch

    def _window(self) -> float:
        """Batches in flight."""
        if self._plan.strategy.collect == "gather":
            return math.inf
        return self._executor.slots * self._batcher.depth()

    def _settle(self, ended: Iterable[Done]) -> list[Sequence[Outcome]]:
        """Commit what is done, put what was lost back in the queue; the outcomes of each batch that is done."""
        results: list[BatchResult] = []
        for done in ended:
            batch = self._live.pop(done.number)
            if done.error is None:
                results.append(done.result)
            else:
                rescue = self._rescue(batch, done)
                self._again.extend(rescue.batches)
                if rescue.outcomes:
                    results.append(_bare_result(batch.number, rescue.outcomes))
        for result in results:
            self._executor.expect(self._batcher.learn(result))
        self._refill()  # the workers needn't wait until it lies on a disk
        self._results += results
        if self._live and self._describing:
            return []
        results, self._results = self._results, []
        self._commit(results)
        taken = [result.take() for result in results]
        self._end_at_failure(taken)  # values may fail when they are taken out
        return taken

    def _rescue(self, batch: Batch, done: Done) -> Rescue:
        error = done.error
        assert error is not None
        if isinstance(error, OSError) and error.errno is not None:
            # What reading a document raises is its outcome, so this is the output's, and no document is to blame.
            raise self._unwritable("a worker", error) from error
        if isinstance(error, WorkloadError | OutputError):
            raise error  # what its documents run in hasn't got the pipeline, or no room for temporary files
        if done.taken:
            return self._ladder.again(batch)
        if self._plan.strategy.errors == "fail":
            raise DocumentError(
                f"a batch of {counted(len(batch), 'document')} failed: {type(error).__name__}: {one_line(error)}"
            )
        if done.lost:
            return self._ladder.lost(
                batch, "its worker process died; its batch was not looked into (errors=skip)"
            )
        return self._ladder.failed(batch, type(error).__name__, one_line(error))

    def _commit(self, results: list[BatchResult]) -> None:
        if self._manifest:
            self._manifest.commit([r.part or self._driver_part(r) for r in results])
        if self._on_batch:
            for result in results:
                if not self._stopped:
                    self._on_batch(result)
        self._end_at_failure(r.outcomes for r in results)

    def _end_at_failure(self, batches: Iterable[Iterable[Outcome]]) -> None:
        """Raise the first failure, where that is to end the run."""
        if self._plan.strategy.errors == "fail":
            for bad in (o for outcomes in batches for o in outcomes if o.status != OK):
                raise DocumentError(f"{bad.document}: {bad.error_type}: {bad.error}")

    def _driver_part(self, result: BatchResult) -> Part:
        """Rows of documents that no worker lived to write."""
        assert self._plan.sink is not None
        rows = result.outcomes
        try:
            name, size = write_part(self._plan.sink, result.number, rows, [None] * len(rows))
        except OSError as error:
            raise self._unwritable("the driver", error) from error
        return Part(name, len(rows), size)

    def _unwritable(self, who: str, error: OSError) -> OutputError:
        folder = f" {self._plan.sink.folder}" if self._plan.sink else ""
        return OutputError(f"{who} can't write the output{folder}: {one_line(error)}. {_mend(error)}.")

    def _number(self) -> int:
        self._numbers += 1
        return self._numbers


def _mend(error: OSError) -> str:
    """What to do about an output that can't be written. What stores raise often has a kind, and no number."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "Make room and run again"
    if error.errno == errno.EMFILE:
        return "Close the files that a stage opens and run again"
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return "Its folder was removed or moved: put it back, or name another one, and run again"
    if isinstance(error, PermissionError) or error.errno == errno.EROFS:
        return "Make its folder writable and run again"
    return "See to it that it can be written and run again"


def _bare_result(number: int, outcomes: list[Outcome]) -> BatchResult:
    return BatchResult(number, outcomes, None, "", 0.0, 0.0, {}, {})
