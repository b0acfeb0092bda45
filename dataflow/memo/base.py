"""What every memo is: looked up and stored in batches, never in the way, and counted."""

from __future__ import annotations

import enum
import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, runtime_checkable

from dataflow.memo.keys import Key

__all__ = ["MISS", "Counters", "Entry", "Found", "Memo", "Missed"]


class _Miss(enum.Enum):
    MISS = "miss"


MISS: Final = _Miss.MISS
"""The sentinel for "no value"; None is a value like any other."""


@dataclass(frozen=True, slots=True)
class Found:
    """A value that was kept.

    Attributes:
        value: the value, the caller's own: changing it changes nothing that is kept.
        tier: which store had it, such as ``lru`` or ``redis``.
        compute_seconds: what computing it took, so what the hit saved.
        blob_bytes: its size as kept.
    """

    value: Any
    tier: str
    compute_seconds: float
    blob_bytes: int


@dataclass(frozen=True, slots=True)
class Missed:
    """No value, and why.

    Reasons: ``new``, ``corrupt``, ``forged``, ``codec``, ``too_large``, ``expired``, ``down``, ``off``.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A value to keep, with the seconds that computing it took."""

    key: Key
    value: Any
    compute_seconds: float


@runtime_checkable
class Memo(Protocol):
    """A store of computed values. Nothing that happens to it comes out of it as an exception."""

    name: str

    def lookup(self, keys: Sequence[Key]) -> list[Found | Missed]:
        """One answer a key, in order. Equal keys are asked for once; a batch costs one round trip."""

    def store(self, entries: Sequence[Entry]) -> int:
        """Keep values; how many were kept. What can't be kept is counted, never raised."""

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
        with self._lock:
            for name, number in numbers.items():
                if number:
                    self._numbers[name] += number

    def snapshot(self) -> dict[str, float]:
        """A copy of the numbers."""
        with self._lock:
            return dict(self._numbers)
