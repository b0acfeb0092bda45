"""The stream on a fake executor: what is in flight, what comes out and in which order."""

import errno
from functools import partial

import pytest

from dataflow import Document, Outcome, Pipeline, Strategy
from dataflow.document import numbered
from dataflow.engine.batches import batcher_for
from dataflow.engine.executors import Done, InlineExecutor
from dataflow.engine.listing import Listed
from dataflow.engine.stall import StallWatch
from dataflow.engine.stream import Stream, _mend
from dataflow.errors import DocumentError, OutputError
from dataflow.graph.plan import Plan
from dataflow.graph.work import BatchResult
from dataflow.memo.spec import MemoSpec


class FakeExecutor:
    """Finishes the newest batch first, in no time; remembers how many were in flight."""

    slots = 2

    def __init__(self, error=None, seconds=1.0):
        self.live, self.most, self.submitted, self.error, self.seconds = [], 0, 0, error, seconds
        self.messages, self.expected = [], {}

    def start(self, plan): ...

    def submit(self, batches):
        self.live += batches
        self.messages.append(len(batches))
        self.submitted += len(batches)
        self.most = max(self.most, len(self.live))

    def wait(self):
        batch = self.live.pop()
        error, self.error = self.error, None
        return [Done(batch.number, error=error) if error else self.done(batch)]

    def done(self, batch):
        outcomes = [
            Outcome(d.url, d.media_type, 1, "failed" if d.url == "bad" else "ok", "E", "e", position=p)
            for p, d in zip(batch.positions, batch.documents, strict=True)
        ]
        return Done(batch.number, BatchResult(batch.number, outcomes, None, "w", self.seconds, 0.0, {}, {}))

    def deliver(self): ...

    def wake(self): ...

    def expect(self, seconds):
        self.expected |= seconds

    def paused(self):
        return ()

    def close(self): ...


def stream(executor, listed, clock=lambda: 0.0, **strategy):
    chosen = Strategy(**{"batching": "fixed:2", **strategy})
    plan = Plan("beef", Pipeline(len), chosen, MemoSpec("none"))
    return Stream(
        plan, batcher_for(chosen, Listed(enumerate(listed), clock), executor.slots), executor, clock=clock
    )


def documents(n):
    for i in range(n):
        yield Document(str(i), 1, "text/plain")


def test_what_batches_are_predicted_to_take_by_now_is_told_to_where_they_are_placed():
    executor = FakeExecutor()
    assert len(list(stream(executor, documents(101), batching="adaptive"))) == 101
    assert executor.expected  # the first ones were cut when nothing was known


@pytest.mark.parametrize("collect", ["gather", "ordered", "as_completed"])
def test_every_document_comes_out_once_however_they_are_collected(collect):
    positions = [o.position for o in stream(FakeExecutor(), documents(101), collect=collect)]
    assert sorted(positions) == list(range(101))
    assert (positions == sorted(positions)) == (collect == "ordered")


def test_what_is_in_flight_is_bounded_however_large_the_corpus():
    executor = FakeExecutor()
    assert sum(1 for _ in stream(executor, documents(10_000))) == 10_000
    assert executor.most == 2 * executor.slots


def test_short_batches_get_a_deeper_window_so_that_no_worker_runs_dry():
    executor = FakeExecutor(seconds=0.01)
    sum(1 for _ in stream(executor, documents(10_000)))
    assert executor.most == 30 * executor.slots


@pytest.mark.parametrize(("seconds_each", "messages"), [(0.0, [2, 2]), (0.02, [1, 1, 1, 1])])
def test_batches_go_out_together_but_where_cutting_them_takes_long(seconds_each, messages):
    now = 0.0

    def source():
        nonlocal now
        for document in documents(100):
            now += seconds_each / 2  # a batch has two
            yield document

    executor = FakeExecutor()
    next(iter(stream(executor, source(), clock=lambda: now)))
    assert executor.messages[: len(messages)] == messages


def test_a_slow_consumer_slows_the_source():
    listed = []

    def source():
        for document in documents(10_000):
            listed.append(document)
            yield document

    outcomes = iter(stream(FakeExecutor(), source()))
    next(outcomes)
    assert len(listed) < 20


def test_outcomes_come_while_a_slow_source_still_lists():
    listed = []

    def source():
        for document in documents(100):
            listed.append(document)
            yield document

    # A second a document, by this clock.
    outcomes = stream(FakeExecutor(), source(), lambda: float(len(listed)), batching="fixed:1")
    ahead = [len(listed) - number for number, _ in enumerate(outcomes)]
    assert len(ahead) == 100
    assert max(ahead) <= 5


def test_in_order_a_slow_first_batch_does_not_pile_up_the_rest():
    class Stubborn(FakeExecutor):
        def wait(self):
            if len(self.live) == 1:
                return [self.done(self.live.pop())]
            return [self.done(self.live.pop(1))]

    executor = Stubborn()
    first = next(iter(stream(executor, documents(50_000), collect="ordered")))
    assert first.position == 0
    assert executor.submitted * 2 < 6000


def test_the_first_bad_document_ends_the_run_where_that_was_asked_for():
    listed = [Document("a", 1, "text/plain"), Document("bad", 1, "text/plain")]
    with pytest.raises(DocumentError, match="bad: E: e"):
        list(stream(FakeExecutor(), listed, errors="fail"))


def test_a_worker_without_room_for_temporary_files_ends_the_run_and_blames_no_document():
    full = OutputError("the folder for temporary files, /tmp, is full (4 KiB are left): make room.")
    with pytest.raises(OutputError, match="make room"):
        list(stream(FakeExecutor(error=full), documents(10)))


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), OSError(5, "Input/output error")])
def test_an_output_that_cannot_be_written_ends_the_run_in_one_line_and_blames_no_document(error):
    with pytest.raises(OutputError, match=error.strerror):
        list(stream(FakeExecutor(error), documents(4)))


def test_a_batch_that_raised_is_halved_and_nothing_is_lost():
    outcomes = list(stream(FakeExecutor(TypeError("no")), documents(4), batching="fixed:4"))
    assert sorted(o.position for o in outcomes) == [0, 1, 2, 3]
    assert {o.status for o in outcomes} == {"ok"}


def test_the_inline_executor_runs_when_it_is_waited_for():
    executor = InlineExecutor()
    chosen = Strategy(batching="fixed:2")
    plan = Plan("beef", Pipeline(len), chosen, MemoSpec("none"))
    executor.start(plan)
    outcomes = list(
        Stream(plan, batcher_for(chosen, Listed(enumerate(documents(3))), 1, lambda url: b"abc"), executor)
    )
    assert [o.value for o in outcomes] == [3, 3, 3]
    executor.close()


class SlowFirst(FakeExecutor):
    """The first batch comes last of all that is in flight, and only when nothing else is left."""

    def wait(self):
        return [self.done(self.live.pop(1 if len(self.live) > 1 else 0))]


def test_in_order_nothing_is_lost_behind_a_slow_first_document(monkeypatch):
    monkeypatch.setattr("dataflow.engine.stream._MOST_HELD", 8)
    outcomes = list(stream(SlowFirst(), documents(200), collect="ordered"))
    assert [o.position for o in outcomes] == list(range(200))


def test_in_order_a_lost_first_batch_is_run_again_however_many_are_held(monkeypatch):
    monkeypatch.setattr("dataflow.engine.stream._MOST_HELD", 8)

    class LosesFirst(SlowFirst):
        def wait(self):
            if len(self.live) == 1 and not self.error:
                self.error = True
                return [Done(self.live.pop(0).number, error=TypeError("no"))]
            return super().wait()

    outcomes = list(stream(LosesFirst(), documents(200), collect="ordered"))
    assert [o.position for o in outcomes] == list(range(200))


@pytest.mark.parametrize("errors", ["bisect", "skip", "fail"])
def test_what_was_taken_from_its_worker_by_somebodys_will_is_run_again_and_blamed_for_nothing(errors):
    class Restarted(FakeExecutor):
        taken = False

        def wait(self):
            if self.taken:
                return super().wait()
            self.taken = True
            return [Done(self.live.pop().number, error=RuntimeError("restarted"), taken=True)]

    outcomes = list(stream(Restarted(), documents(20), errors=errors))
    assert sorted(o.position for o in outcomes) == list(range(20))
    assert {o.status for o in outcomes} == {"ok"}


def test_what_hangs_after_the_corpus_was_silent_is_told_too(monkeypatch):
    """The silence isn't counted against the document that ends it, and telling of it doesn't silence the rest."""
    now = 0.0
    monkeypatch.setattr("dataflow.engine.stream.StallWatch", partial(StallWatch, clock=lambda: now))

    class Source:
        ended = False

        def take(self, most):
            if self.ended or now < 35:
                return []
            self.ended = True
            return [numbered(0, Document("a", 1, "text/plain"))]

    class Hanging(FakeExecutor):
        def wait(self):
            nonlocal now
            now += 5
            return super().wait() if now >= 100 and self.live else []

        def paused(self):
            return ["tcp://far:1"]

    told, executor = [], Hanging()
    plan = Plan("beef", Pipeline(len), Strategy(batching="fixed:2"), MemoSpec("none"))
    batcher = batcher_for(plan.strategy, Source(), executor.slots)
    assert len(list(Stream(plan, batcher, executor, on_stall=told.append))) == 1
    assert [(one.listing, one.waiting) for one in told] == [(True, 0), (False, 1)]
    assert told[1].seconds < 40


@pytest.mark.parametrize(
    ("number", "mend"),
    [
        (errno.EMFILE, "Close the files"),
        (errno.ENOENT, "put it back"),
        (errno.EROFS, "writable"),
        (errno.ENOSPC, "Make room"),
        (errno.EREMOTEIO, "See to it that it can be written"),
    ],
)
def test_an_output_that_cannot_be_written_is_told_with_its_own_mend(number, mend):
    assert mend in _mend(OSError(number, "said by the system"))


@pytest.mark.parametrize(
    ("kind", "mend"),
    [(PermissionError, "writable"), (FileNotFoundError, "put it back"), (OSError, "See to it")],
)
def test_what_a_store_raises_has_a_kind_and_no_number(kind, mend):
    assert mend in _mend(kind("said by the store"))


def test_what_was_sent_first_goes_out_before_more_is_listed():
    """Whoever lists and cuts keeps the interpreter from those who send."""
    happened = []

    class Telling(FakeExecutor):
        def submit(self, batches):
            happened.append("sent")
            super().submit(batches)

        def deliver(self):
            happened.append("delivered")

    list(stream(Telling(), documents(6), batching="fixed:1"))
    assert happened[:2] == ["sent", "delivered"]
    assert happened.count("delivered") == 1
    happened.clear()
    list(stream(Telling(), documents(1), batching="fixed:1"))
    assert happened == ["sent"]
