"""From a stream of documents to batches: by count, by bytes, or by predicted seconds."""

from __future__ import annotations

import math
import time
from bisect import bisect_right
from collections.abc import Callable, Mapping
from itertools import accumulate
from typing import Protocol

from dataflow.document import Documents, Numbered
from dataflow.engine.cost import CostModel
from dataflow.engine.listing import Source
from dataflow.engine.placing import Placing
from dataflow.graph.plan import Batch
from dataflow.graph.work import BatchResult
from dataflow.strategy import Strategy

__all__ = ["AdaptiveBatcher", "Batcher", "BytesBatcher", "FixedBatcher", "batcher_for"]


class Batcher(Protocol):
    """Cuts batches off a source, and may learn from what became of them."""

    @property
    def ended(self) -> bool:
        """No batch comes any more."""

    def take(self, number: int, *, idle: bool = False) -> Batch | None:
        """The next batch, under the given number; ``None`` where there is none, or none yet.

        ``idle`` says that nothing is in flight, so that it is better to send little than to wait for more.
        """

    def learn(self, result: BatchResult) -> Mapping[int, float]:
        """See what a batch took; returns the seconds that others in flight are predicted to take by now, where it was
        not known, by number.
        """

    def depth(self) -> int:
        """Batches that should lie ready for each slot, the one that runs included."""


def batcher_for(
    strategy: Strategy,
    source: Source,
    slots: int,
    read: Callable[[str], bytes] | None = None,
    *,
    model: CostModel | None = None,
) -> Batcher:
    """The batcher that a strategy asks for.

    Args:
        strategy: its ``batching`` decides.
        source: the documents, in order.
        slots: batches that run at the same time.
        read: reads a document on the driver, where only the driver can.
        model: a cost model that has learned before.
    """
    kind, size = strategy.batch_rule
    if kind == "fixed":
        return FixedBatcher(source, size, read)
    if kind == "bytes":
        return BytesBatcher(source, size, read)
    collect = strategy.collect
    return AdaptiveBatcher(
        source, slots, in_order=collect == "ordered", learns=collect != "gather", read=read, model=model
    )


class FixedBatcher:
    """Batches of ``size`` documents; of fewer at the end, and where the source pauses."""

    def __init__(
        self,
        source: Source,
        size: int,
        read: Callable[[str], bytes] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source, self._size, self._read = source, size, read
        self._pace, self._pause, self._extent = _Pace(), _Pause(clock), _Extent()
        self._held: list[Numbered] = []

    @property
    def ended(self) -> bool:
        """See :class:`Batcher`."""
        return self._source.ended and not self._held

    def take(self, number: int, *, idle: bool = False) -> Batch | None:
        """The next documents, as many as are due."""
        self._list()
        taken = self._held[: self._due()]
        whole = len(taken) < len(self._held) or self._is_full(taken) or self._source.ended
        if not whole and not idle and not self._pause.is_long(len(taken)):
            return None
        del self._held[: len(taken)]
        self._pause.ends()
        return make_batch(number, taken, self._read, small=self._extent.small)

    def learn(self, result: BatchResult) -> Mapping[int, float]:
        """See how long batches take."""
        self._pace.learn(result)
        return {}

    def depth(self) -> int:
        """More where batches are short."""
        return self._pace.depth()

    def _list(self) -> None:
        """Hold what makes a batch, if it has been listed."""
        self._held += self._extent.see(self._source.take(self._size - len(self._held)))

    def _due(self) -> int:
        """How many of those that are held make a batch."""
        return self._size

    def _is_full(self, taken: list[Numbered]) -> bool:
        """Whether no more would be taken, whatever comes."""
        return len(taken) == self._size


class BytesBatcher(FixedBatcher):
    """Batches of at most ``size`` bytes, and of one document where that alone is larger."""

    def _list(self) -> None:
        while self._due() == len(self._held) and not self._is_full(self._held):
            more = self._extent.see(self._source.take(_LISTED_AT_ONCE))
            self._held += more
            if len(more) < _LISTED_AT_ONCE:
                return

    def _due(self) -> int:
        ends = accumulate(_sizes(self._held[:MAX_DOCUMENTS]))
        return min(len(self._held), max(1, bisect_right(list(ends), self._size)))

    def _is_full(self, taken: list[Numbered]) -> bool:
        return len(taken) >= MAX_DOCUMENTS or sum(_sizes(taken)) >= self._size


class _Pause:
    """Whether a source that hasn't given enough for a batch gives no more for the moment."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._count, self._since = 0, 0.0

    def is_long(self, count: int) -> bool:
        """Told how many have come: whether it is long since one more did."""
        now = self._clock()
        if count != self._count:
            self._count, self._since = count, now
        return count > 0 and now - self._since > _PAUSE_SECONDS

    def ends(self) -> None:
        """What has come is sent on: the next pause is another."""
        self._count = 0


class _Extent:
    """Whether the corpus may be a small one, by what has been listed of it."""

    small = True

    def see(self, fresh: list[Numbered]) -> list[Numbered]:
        """What was just listed, as it is."""
        if fresh and fresh[-1][0] >= SMALL_CORPUS:
            self.small = False
        return fresh


class _Pace:
    """How deep the window has to be so that no slot runs dry while the driver is busy."""

    def __init__(self) -> None:
        self._mean_seconds = 0.0

    def learn(self, result: BatchResult) -> None:
        mean = self._mean_seconds
        self._mean_seconds = result.seconds if not mean else 0.8 * mean + 0.2 * result.seconds

    def depth(self) -> int:
        if not self._mean_seconds:
            return 2
        return min(_DEEPEST, max(2, math.ceil(_QUEUED_SECONDS / self._mean_seconds)))


_PAUSE_SECONDS = 0.5
_LISTED_AT_ONCE = 64

_QUEUED_SECONDS = 0.3
_DEEPEST = 128

#: Documents. What is no more is kept by a memo whatever that costs.
SMALL_CORPUS = 256
#: No batch has more documents or bytes: it bounds what a worker holds and what a lost batch costs. With twice as many,
#: documents of microseconds take a tenth less time, and the driver's memory grows by a tenth from 10,000 to a million.
MAX_DOCUMENTS = 2048
MAX_BYTES = 64 * 1024**2
# Of values that travel back: the driver of a slow consumer holds a few batches of them.
_RESULT_BYTES = 16 * 1024**2

_FIRST_LISTED = 128  # documents a slot: its first batch lasts while the look-ahead is listed
_FIRST_AHEAD = 2048  # where costs aren't known, and so the first batches are short
# A share of less is a short batch; more takes longer than the first batches.
_FIRST_AHEAD_OF_KNOWN_COST = 4096
_FURTHEST_AHEAD = 8192
_AHEAD_OF_A_SLOT = 1024  # the least of both: with many slots, a share of that is little
_SORTED_AGAIN = 16  # what is listed is put in its place when it is a sixteenth of all that is ahead
# A batch costs a worker 5 ms (its file, mostly), and the loops of driver and workers 10 ms, which others bear where
# cores are free.
_TARGET_SECONDS = 0.4
_LONGEST_SECONDS = 1.6  # where much is left: so they cost a hundredth; longer, and a lost batch is dear
_LEAST_SECONDS = 0.08  # near the end: what comes last is cut so that all workers end together
_LITTLE_SECONDS = 0.02  # less isn't worth a batch
_SHARES = 1.5  # of what is left, a batch gets two thirds of a slot's share
_FIRST_DOCUMENTS = 16
_FEW_DOCUMENTS = 4
_FIRST_OF_KNOWN_COST = 1024
_GROWTH = 3  # times all that was seen: so the next batch is four times the last


class AdaptiveBatcher:
    """Batches of equal predicted seconds, the largest documents first, shrinking towards the end.

    The cost of a document is predicted from its media type and size by a :class:`CostModel` that learns
    from every batch. Until it has learned, batches grow at most fourfold, so that no wrong guess is dear.
    Each slot's first batch is of what is listed first; after that, within a bounded look-ahead, the largest
    come first. A batch gets a share of what is known to be left
    (guided self-scheduling), and once the end of the corpus is in sight there is no least share, so that all
    workers finish together.

    Args:
        source: the documents, in order.
        slots: batches that run at the same time.
        in_order: keep the corpus's order.
        learns: results come while batches are still cut; where they don't, what is known at first has to do.
        read: reads a document on the driver, where only the driver can.
        model: a cost model that has learned before.
    """

    def __init__(
        self,
        source: Source,
        slots: int,
        *,
        in_order: bool = False,
        learns: bool = True,
        read: Callable[[str], bytes] | None = None,
        model: CostModel | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.model = model or CostModel()
        self._given = Placing({str(slot): 1 for slot in range(slots)}, clock)
        self._source, self._slots, self._in_order, self._read = source, slots, in_order, read
        self._ahead: list[Numbered] = []  # the look-ahead, in the order in which it goes
        self._costs: list[float] = []  # the predicted seconds of each
        self._next = 0  # how many of both have gone
        self._left_seconds = 0.0  # of those that haven't
        self._extent = _Extent()
        self._first = max(_FIRST_LISTED * slots, SMALL_CORPUS + 1)
        self._wanted = self._first  # documents to be listed next
        self._batches, self._far = 0, False
        self._learned = 0
        self._guessed: dict[int, list[Numbered]] = {}  # batches in flight, cut before anything was known
        self._predicted_at = 0
        self._seen = 0
        self._value_bytes = 0.0  # of a document's value, where values travel back
        self._guesses = learns and not self.model.knows
        self._cap = _FIRST_OF_KNOWN_COST if self.model.knows else _FIRST_DOCUMENTS
        if not learns:
            self._cap, self._far, self._wanted = MAX_DOCUMENTS, True, _FIRST_AHEAD

    @property
    def ended(self) -> bool:
        """See :class:`Batcher`."""
        return self._source.ended and self._next == len(self._ahead)

    def take(self, number: int, *, idle: bool = False) -> Batch | None:
        """The next batch of about the target's seconds."""
        self._look_ahead()
        if self._next == len(self._ahead):
            return None
        target = self._target_seconds()
        cap = self._cap
        if not self._far and not self._learned:  # the first round: something for each slot
            cap = min(cap, _FIRST_LISTED)
            target = min(target, 1.001 * self._left_seconds / (self._slots - self._batches))
        elif self._guesses and not self._learned:  # what waits behind it until something is known
            cap = min(cap, _FEW_DOCUMENTS)
        if self._value_bytes:
            cap = min(cap, max(1, int(_RESULT_BYTES / self._value_bytes)))
        begin = self._next
        self._next += self._count(target, cap)
        taken = self._ahead[begin : self._next]
        seconds = sum(self._costs[begin : self._next])
        self._left_seconds -= seconds
        self._given.place("", number, seconds)
        if not self.model.knows:
            self._guessed[number] = taken
        self._want(len(taken))
        return make_batch(number, taken, self._read, seconds=seconds, small=self._extent.small)

    def _count(self, target: float, cap: int) -> int:
        """How many of what comes next make a batch of so many seconds, and of no more than so many documents."""
        costs = self._costs[self._next : self._next + cap]
        # One that is as dear as a batch pays for its own batch, and goes alone.
        if len(costs) > 1 and max(costs[1:]) > _TARGET_SECONDS:
            costs = costs[: next(n for n, cost in enumerate(costs) if n and cost > _TARGET_SECONDS)]
        count = max(1, bisect_right(list(accumulate(costs)), target))
        sizes = _sizes(self._ahead[self._next : self._next + count])
        if sum(sizes) > MAX_BYTES:
            count = max(1, bisect_right(list(accumulate(sizes)), MAX_BYTES))
        return min(count, len(costs))

    def learn(self, result: BatchResult) -> Mapping[int, float]:
        """Feed the cost model, let batches grow, and predict again what was cut before anything was known."""
        self.model.learn(result.outcomes)
        self._given.ended("", result.number, result.seconds)
        self._learned += 1
        self._seen += len(result.outcomes)
        if result.values is not None and result.outcomes:
            # Rather too large than too small, where values differ.
            self._value_bytes = max(len(result.values) / len(result.outcomes), 0.9 * self._value_bytes)
        self._cap = max(self._cap, min(MAX_DOCUMENTS, _GROWTH * self._seen))
        self._guessed.pop(result.number, None)
        if not self.model.knows:
            return {}
        expected = {number: sum(self.model.predict_all(taken)) for number, taken in self._guessed.items()}
        for number, seconds in expected.items():
            self._given.expect("", number, seconds)
        return expected

    def depth(self) -> int:
        """One that runs and one that waits: batches are long enough."""
        return 2

    def _want(self, taken: int) -> None:
        """Say how many documents are to be listed next: never so many at once that a worker waits for it."""
        self._batches += 1
        if self._batches < self._slots and not self._learned:
            return
        if self._far:
            wanted = self._wanted + 2 * taken  # two for each that goes, until it is as far as it may be
        else:
            wanted = (
                max(_FIRST_AHEAD_OF_KNOWN_COST, _AHEAD_OF_A_SLOT * self._slots)
                if self.model.knows
                else _FIRST_AHEAD
            )
        furthest = max(_FURTHEST_AHEAD, _AHEAD_OF_A_SLOT * self._slots)
        self._wanted, self._far = min(wanted, furthest - (len(self._ahead) - self._next)), True

    def _look_ahead(self) -> None:
        left = len(self._ahead) - self._next
        wanted = self._wanted if left else max(self._wanted, self._first)
        fresh: list[Numbered] = []
        if not self._source.ended and wanted > left // _SORTED_AGAIN:
            fresh = self._extent.see(self._source.take(wanted))
            self._wanted = wanted - len(fresh)
        # When the model has twice the knowledge that it had when the order was made.
        again = self._learned >= max(1, 2 * self._predicted_at)
        if fresh or again:
            self._put_in_order(fresh, again)

    def _put_in_order(self, fresh: list[Numbered], again: bool) -> None:
        """Add what was listed to what is left of the look-ahead, all of which is predicted anew if it is to be."""
        ahead, costs = self._ahead[self._next :], self._costs[self._next :]
        if again:
            costs, self._predicted_at = self.model.predict_all(ahead), self._learned
        ahead += fresh
        costs += self.model.predict_all(fresh)
        if not self._in_order:
            # Stable: equals keep the corpus's order.
            order = sorted(range(len(costs)), key=costs.__getitem__, reverse=True)
            ahead, costs = [ahead[n] for n in order], [costs[n] for n in order]
        self._ahead, self._costs, self._next = ahead, costs, 0
        self._left_seconds = sum(costs)

    def _target_seconds(self) -> float:
        share = self._left_seconds / (_SHARES * self._slots)
        if not self._source.ended:
            return min(_LONGEST_SECONDS, max(_TARGET_SECONDS, share))
        return min(_LONGEST_SECONDS, share) if share > _LEAST_SECONDS else self._last_seconds()

    def _last_seconds(self) -> float:
        """What the slot that is free first needs so that all end together; all there is where the rest is little."""
        left, free = self._left_seconds, sorted(self._given.free_in())
        ends, busy = left, 0.0
        for count, one in enumerate(free, 1):
            busy += one
            ends = (left + busy) / count
            if count == len(free) or free[count] >= ends:
                break
        due = ends - free[0] if free else left
        return math.inf if left - due < _LITTLE_SECONDS else max(due, _LITTLE_SECONDS)


def make_batch(
    number: int,
    taken: list[Numbered],
    read: Callable[[str], bytes] | None,
    *,
    seconds: float = 0.0,
    small: bool = False,
) -> Batch | None:
    """A first attempt at some documents, which is predicted to take so many seconds; ``None`` for none."""
    if not taken:
        return None
    return Batch(
        number=number,
        documents=Documents(taken),
        positions=tuple([position for position, *_ in taken]),
        attempts=(0,) * len(taken),
        payloads=tuple(_payload(read, url) for _, url, *_ in taken) if read else None,
        small=small,
        seconds=seconds,
    )


def _sizes(some: list[Numbered]) -> list[int]:
    """Bytes as listed, 0 where the file system doesn't say."""
    return [size or 0 for _, _, size, *_ in some]


def _payload(read: Callable[[str], bytes], url: str) -> bytes | None:
    """The bytes; ``None`` where they can't be read, so that the worker fails at it and says why."""
    try:
        return read(url)
    except Exception:
        return None
