"""Single flight: of all who miss a key at once, one computes it and the others wait for the value, a while.

A lease saves work and never decides what is right: whoever finds none, loses one, or waits too long computes
for itself, with the same result. A lease is short and is renewed by a thread of its holder for as long as the
holder works, so that the leases of a killed holder are gone within ``seconds``, and a computation may take as
long as it likes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from dataflow.memo.keys import Key

__all__ = ["LeaseStore", "Leases", "LocalLeases"]

_FIRST_PAUSE_SECONDS = 0.002
_LONGEST_PAUSE_SECONDS = 0.1
_IDLE_SECONDS = 2.0  # starting a thread takes as long as a dozen cheap documents


class LeaseStore(Protocol):
    """Where leases are kept. Nothing raises; a store that fails gives every lease and holds none."""

    def take(self, keys: Sequence[Key], seconds: float) -> list[bool]:
        """Ask for leases, in one round trip; which were given."""

    def held(self, keys: Sequence[Key]) -> set[Key]:
        """Those that somebody holds now."""

    def extend(self, keys: Sequence[Key], seconds: float) -> None:
        """Let them last ``seconds`` from now on."""

    def drop(self, keys: Sequence[Key]) -> None:
        """Let them end."""


class LocalLeases:
    """The leases of this process's own threads; implements :class:`LeaseStore`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ends: dict[Key, float] = {}
        self._lock = threading.Lock()

    def take(self, keys: Sequence[Key], seconds: float) -> list[bool]:
        """See :class:`LeaseStore`."""
        now = self._clock()
        with self._lock:
            free = [self._ends.get(key, now) <= now for key in keys]
            self._ends.update({key: now + seconds for key, ok in zip(keys, free, strict=True) if ok})
        return free

    def held(self, keys: Sequence[Key]) -> set[Key]:
        """See :class:`LeaseStore`."""
        now = self._clock()
        with self._lock:
            return {key for key in keys if self._ends.get(key, now) > now}

    def extend(self, keys: Sequence[Key], seconds: float) -> None:
        """See :class:`LeaseStore`."""
        now = self._clock()
        with self._lock:
            self._ends.update({key: now + seconds for key in keys if key in self._ends})

    def drop(self, keys: Sequence[Key]) -> None:
        """See :class:`LeaseStore`."""
        with self._lock:
            for key in keys:
                self._ends.pop(key, None)


class Leases:
    """The leases of one memo, and the thread that renews those it holds.

    Args:
        store: where they are kept.
        seconds: how long one lasts when its holder dies.
        wait_seconds: how long anybody waits for one in all, whatever its holder does.
        clock: monotonic seconds.
        sleep: waits; a test's own needn't.
    """

    def __init__(
        self,
        store: LeaseStore,
        *,
        seconds: float = 3.0,
        wait_seconds: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._store = store
        self._seconds = seconds
        self._wait_seconds = wait_seconds
        self._clock = clock
        self._sleep = sleep
        self._mine: set[Key] = set()
        self._changed = threading.Condition()
        self._renewer: threading.Thread | None = None

    def take(self, keys: Sequence[Key]) -> list[bool]:
        """Ask for leases; which were given. Those are renewed until they are dropped."""
        won = self._store.take(keys, self._seconds)
        with self._changed:
            self._mine.update(key for key, mine in zip(keys, won, strict=True) if mine)
            if self._mine and self._renewer is None:
                self._renewer = threading.Thread(target=self._renew, name="dataflow-leases", daemon=True)
                self._renewer.start()
        return won

    def drop(self, keys: Sequence[Key]) -> None:
        """Give leases back."""
        with self._changed:
            mine = [key for key in keys if key in self._mine]
            self._mine.difference_update(mine)
        if mine:
            self._store.drop(mine)

    def watch(self, keys: Sequence[Key]) -> Iterator[set[Key]]:
        """Those that are still held, again and again, with growing pauses, until the bound.

        Whoever reads values after each look sees what was stored before a lease ended.
        """
        end = self._clock() + self._wait_seconds
        pause = _FIRST_PAUSE_SECONDS
        while True:
            held = self._store.held(keys)
            yield held
            left = end - self._clock()
            if left <= 0:
                return
            self._sleep(min(pause, left))
            pause = min(pause * 1.5, _LONGEST_PAUSE_SECONDS)

    def close(self) -> None:
        """Give everything back."""
        self.drop(list(self._mine))
        with self._changed:
            self._renewer = None
            self._changed.notify_all()

    def _renew(self) -> None:
        """Runs in the thread for as long as something is held, and a while longer."""
        me, every, idle_seconds = threading.current_thread(), self._seconds / 3, 0.0
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._renewer is not me, timeout=every)
                mine = list(self._mine)
                idle_seconds = 0.0 if mine else idle_seconds + every
                if self._renewer is me and idle_seconds > _IDLE_SECONDS:
                    self._renewer = None
                if self._renewer is not me:
                    return
            if mine:
                self._store.extend(mine, self._seconds)
