"""The corpus as a run sees it: listed by a thread of its own, so that nobody who has something to do waits for it.

A folder says at once what is in it. A bucket, a crawl, or a queue that others fill may say nothing for a minute; what
has been listed by then goes out, and what has been done is handed on, which may be what the source is waiting for.
"""

from __future__ import annotations

import contextvars
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

from dataflow.corpus import Corpus
from dataflow.document import Document, Numbered, numbered

__all__ = ["Listed", "Listing", "Source"]

_PATIENCE_SECONDS = 0.05


class Source(Protocol):
    """Documents to come."""

    @property
    def ended(self) -> bool:
        """Nothing comes any more: all that there was has been taken."""

    def take(self, most: int) -> list[Numbered]:
        """The next documents, so many at most: fewer at the end, or where the source is slow to say what is next."""


class Listed:
    """A source that lists when it is asked to, right here. For tests, and for what is known to be quick.

    Args:
        pairs: positions and documents.
        clock: seconds, by which it is told whether listing is slow.
    """

    def __init__(
        self, pairs: Iterable[tuple[int, Document]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._pairs, self._clock = iter(pairs), clock
        self.ended = False

    def take(self, most: int) -> list[Numbered]:
        """See :class:`Source`."""
        found: list[Numbered] = []
        until = self._clock() + _PATIENCE_SECONDS
        while len(found) < most and self._clock() <= until:
            pair = next(self._pairs, None)
            if pair is None:
                self.ended = True
                break
            found.append(numbered(*pair))
        return found


class Listing:
    """A source that lists in a thread of its own, no more than it was asked for.

    Opening the corpus is the thread's too, so that an iterable that is bound to a thread, as a database's cursor is,
    meets one alone.

    Args:
        open_corpus: opens the corpus.
        clock: seconds, by which it is told whether listing is slow.

    Attributes:
        on_news: called by the thread when somebody who was given less than he asked for may ask again.
    """

    def __init__(
        self, open_corpus: Callable[[], Corpus], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self.on_news: Callable[[], Any] = lambda: None
        self._changed = threading.Condition(threading.Lock())
        self._corpus: Corpus | None = None
        self._number: Callable[[Corpus], Iterator[tuple[int, Document]]] | None = None
        self._found: deque[Numbered] = deque()
        self._wanted = 0  # what is to lie ready
        self._asked_at = self._given_at = -math.inf  # since when more has been asked for than was ready
        self._short = False  # somebody was given less than he asked for
        self._over = self._closed = False
        self._error: BaseException | None = None
        work = contextvars.copy_context().run
        threading.Thread(
            target=work, args=(self._list, open_corpus), name="dataflow-listing", daemon=True
        ).start()

    @property
    def corpus(self) -> Corpus:
        """The corpus; waits until it is open.

        Raises:
            CorpusError: it can't be opened, or is empty.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._corpus or self._over)
            if self._corpus is None:
                assert self._error is not None
                raise self._error
            return self._corpus

    def number(self, number: Callable[[Corpus], Iterator[tuple[int, Document]]]) -> None:
        """Say which documents come, and under which positions; before anything is taken."""
        with self._changed:
            self._number = number
            self._changed.notify_all()

    @property
    def ended(self) -> bool:
        """See :class:`Source`."""
        return self._over and not self._found

    def check(self) -> None:
        """Raise what listing has raised. Until it is asked, the corpus ended there: what was listed before is done."""
        if self._error is not None:
            raise self._error

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until there is something to be taken, or nothing will come; whether there is."""
        with self._changed:
            self._ask(1)
            self._changed.wait_for(lambda: self._found or self._over, seconds)
            return bool(self._found)

    def take(self, most: int) -> list[Numbered]:
        """See :class:`Source`. What isn't there yet is listed meanwhile."""
        found = self._found
        with self._changed:
            self._ask(most)
            # Where it comes little by little, little at a time is dear: there is a pause after what was given last.
            since = max(self._asked_at, self._given_at) if found else self._asked_at
            left = since + _PATIENCE_SECONDS - self._clock()
            self._changed.wait_for(lambda: len(found) >= most or self._over, max(0.0, left))
            self._short = True  # what comes while some is taken is news already: see _give
            taken = [found.popleft() for _ in range(min(most, len(found)))]
            self._wanted = most - len(taken)
            if not self._wanted:
                self._short = False
            if taken:
                self._given_at = self._clock()
            return taken

    def foresee(self, most: int) -> None:
        """List so many while nobody waits for them."""
        with self._changed:
            self._ask(most)

    def ends_within(self, most: int) -> bool:
        """Whether no more than so many documents are to come, as far as that is soon known."""
        taken = self.take(most + 1)
        self.put_back(taken)
        return self._over and len(taken) <= most

    def put_back(self, taken: Sequence[Numbered]) -> None:
        """Let documents that were taken come once more, next of all."""
        with self._changed:
            self._found.extendleft(reversed(taken))

    def close(self) -> None:
        """List no more. The thread ends when the source lets it: nobody waits for that."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _ask(self, most: int) -> None:
        if len(self._found) >= self._wanted:  # what was asked for before has come
            self._asked_at = self._clock()
        self._wanted = max(self._wanted, most)
        self._changed.notify_all()

    def _list(self, open_corpus: Callable[[], Corpus]) -> None:
        """What the thread does."""
        try:
            self._give_all(open_corpus())
        except BaseException as error:  # it is raised where somebody waits, or has come to the end
            self._error = error
        with self._changed:
            self._over = True
            self._changed.notify_all()
        self.on_news()

    def _give_all(self, corpus: Corpus) -> None:
        try:
            for position, document in self._numbered(corpus):
                if not self._give(numbered(position, document)):
                    return
        finally:
            corpus.documents = iter(())  # what they came from is closed here, and not when the run goes

    def _numbered(self, corpus: Corpus) -> Iterator[tuple[int, Document]]:
        with self._changed:
            self._corpus = corpus
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._closed or (self._number and self._wanted))
            number = self._number
        return number(corpus) if number and not self._closed else iter(())

    def _give(self, one: Numbered) -> bool:
        """Lay one more ready, and wait while that is enough; whether more is wanted at all.

        The lock is taken only where somebody waits, or is to be waited for: whoever wants more says so before he
        counts what is there, and here it is counted after it was laid there, so one of the two sees the other.
        """
        self._found.append(one)
        if self._short:
            self._short = False
            self.on_news()
        if len(self._found) >= self._wanted:
            with self._changed:
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._closed or len(self._found) < self._wanted)
        return not self._closed
