"""What every memo is: looked up and stored in batches, never in the way, and counted."""

from __future__ import annotations

import contextlib
import enum
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, runtime_checkable

from dataflow.memo.keys import Key

__all__ = ["LOST", "MISS", "WON", "Claim", "Counters", "Entry", "Found", "Memo", "Missed", "tapped"]


class _Miss(enum.Enum):
    MISS = "miss"


MISS: Final = _Miss.MISS
"""The sentinel for "no value"; None is a value like any other."""


@dataclass(slots=True)  # frozen, it would take three times as long to make, and a warm run makes little else
class Found:
    """A value that was kept.

    Attributes:
        value: the value, the caller's own: changing it changes nothing that is kept.
        tier: which store had it, such as ``lru`` or ``redis``.
        compute_seconds: what computing it took, so what the hit saved.
        blob_bytes: its size as kept.
        digest: of the value as encoded; it keys the stage after the one that made the value.
        input_digest: of the document that it was made of; zeros where nobody said.
    """

    value: Any
    tier: str
    compute_seconds: float
    blob_bytes: int
    digest: bytes = field(default=b"", compare=False)
    input_digest: bytes = field(default=bytes(20), compare=False)


@dataclass(frozen=True, slots=True)
class Missed:
    """No value, and why.

    Reasons: ``new`` (never kept, or evicted: a server doesn't say which), ``corrupt``, ``forged``,
    ``secret`` (sealed with another one), ``codec``,
    ``too_large``, ``expired``, ``epoch`` (its tag was bumped), ``spill`` (its file is gone), ``down``, ``off``.

    ``epoch`` is that of the memo's tag when this was asked. Give it to the :class:`Entry` that is computed
    instead: an entry that races an invalidation is then born stale.
    """

    reason: str
    epoch: bytes = field(default=b"", compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Entry:
    """A value to keep.

    Attributes:
        key: what it will be asked for by.
        value: anything that a codec takes.
        compute_seconds: what computing it took.
        epoch: of the memo's tag, from the :class:`Missed` that came before computing; unused without a tag.
        input_digest: digest of the document that it was made of.
        marks: which stages made it, for :func:`dataflow.memo.admin.invalidate_stage`.
        ttl_seconds: a life shorter than the memo's own.
        near: whether a near tier in front of a store should hold it too; not, for what is asked for only after an
            edit.
        about: the key of the entry that this is a record of (a dict); where that can't be kept, the record says
            why, in its field ``refused``.
    """

    key: Key
    value: Any
    compute_seconds: float
    epoch: bytes = b""
    input_digest: bytes = bytes(20)
    marks: bytes = bytes(8)
    ttl_seconds: float | None = None
    near: bool = True
    about: Key | None = None


class Claim(enum.Enum):
    """Whether computing a key is up to the one who asked."""

    WON = "won"
    LOST = "lost"


WON: Final = Claim.WON
LOST: Final = Claim.LOST


@runtime_checkable
class Memo(Protocol):
    """A store of computed values. Nothing that happens to it comes out of it as an exception.

    Attributes:
        name: of the kind of memo.
        shared: whether what is stored goes to a store, where others than this process may find it.
    """

    name: str
    shared: bool

    def lookup(self, keys: Sequence[Key]) -> list[Found | Missed]:
        """One answer a key, in order. Equal keys are asked for once; a batch costs one round trip."""

    def store(self, entries: Sequence[Entry]) -> int:
        """Keep values; how many were kept. What can't be kept is counted, never raised."""

    def claim(self, keys: Sequence[Key]) -> list[Found | Claim]:
        """Ask to be the only one who computes keys that missed; the keys are different ones.

        One round trip. ``WON``: compute it, store it, and :meth:`release` it. ``LOST``: somebody else is at
        it. ``Found``: somebody has just finished. Where the store can't say, everything is won: a claim saves
        work and never stands in its way.
        """

    def wait(self, keys: Sequence[Key]) -> list[Found | Missed | Claim]:
        """The values of keys that were lost, as soon as those who won them have stored them.

        Won are those whose winner gave up or died: of all who wait one computes, and releases. Missed are those whose
        winner takes longer than the memo's bound, or whose second winner gave up too: compute them.
        """

    def release(self, keys: Sequence[Key]) -> None:
        """Give claims back: after storing, or where there is nothing to store."""

    def invalidate_tag(self, tag: str) -> None:
        """What was stored under a tag is not found any more; one small write, however much that is.

        Raises:
            CacheError: the store didn't take it: what was stored is still found.
        """

    def counters(self) -> dict[str, float]:
        """What happened so far; every number only ever grows. Times in seconds, sizes in bytes."""

    def close(self) -> None:
        """Let go of connections and memory. A closed memo may be used again."""


class Counters:
    """Numbers that only grow, added to by many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers: defaultdict[str, float] = defaultdict(float)

    def add(self, numbers: Mapping[str, float]) -> None:
        """Add to several numbers at once."""
        tap: dict[str, float] | None = getattr(_taps, "numbers", None)
        with self._lock:
            for name, number in numbers.items():
                if number:
                    self._numbers[name] += number
                    if tap is not None:
                        tap[name] = tap.get(name, 0.0) + number

    def snapshot(self) -> dict[str, float]:
        """A copy of the numbers."""
        with self._lock:
            return dict(self._numbers)


_taps = threading.local()


@contextlib.contextmanager
def tapped() -> Iterator[dict[str, float]]:
    """What this thread adds to any counters inside the block: a batch's own share of what all threads add."""
    before, _taps.numbers = getattr(_taps, "numbers", None), {}
    try:
        yield _taps.numbers
    finally:
        _taps.numbers = before
