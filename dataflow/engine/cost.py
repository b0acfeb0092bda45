"""What a document will cost: seconds predicted from its media type and size, learned while running."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from dataflow.document import Document
from dataflow.outcome import Outcome
from dataflow.profile import Cost

__all__ = ["CostModel"]

# Before anything is known: half a millisecond, and a megabyte takes 50. Right for order, wrong for amount.
_PRIOR_SECONDS = 0.5e-3
_PRIOR_SECONDS_A_BYTE = 50e-9
_DECAY = 0.999  # an observation's weight halves after some 700 more
_ENOUGH = 8.0  # weight of observations from which a media type's own line is believed
_SEEDS = 16  # documents that an earlier run's line counts as much as
_LEAST_SECONDS = 1e-6
_CLIP = 8.0  # one document counts at most as this many times its prediction


@dataclass(slots=True)
class _Line:
    """A least-squares line through decayed sums: ``seconds = a + b * bytes``, neither below zero.

    It is drawn anew when it has seen a sixteenth more: a document is learned from, and predicted, in a microsecond.
    """

    n: float = 0.0
    x: float = 0.0
    y: float = 0.0
    xx: float = 0.0
    xy: float = 0.0
    seen: int = 0
    level: float = 0.0
    slope: float = 0.0
    drawn_at: int = 0

    def add(self, x: float, y: float) -> None:
        self.seen += 1
        self.n = self.n * _DECAY + 1
        self.x = self.x * _DECAY + x
        self.y = self.y * _DECAY + y
        self.xx = self.xx * _DECAY + x * x
        self.xy = self.xy * _DECAY + x * y

    @classmethod
    def of(cls, lines: Iterable[_Line]) -> _Line:
        """The line through what all of them have seen."""
        found = cls()
        for line in lines:
            found.n, found.x, found.y = found.n + line.n, found.x + line.x, found.y + line.y
            found.xx, found.xy, found.seen = found.xx + line.xx, found.xy + line.xy, found.seen + line.seen
        return found

    def at(self, x: float) -> float:
        if self.seen - self.drawn_at > self.drawn_at // 16:
            self.level, self.slope = self.fit()
            self.drawn_at = self.seen
        seconds = self.level + self.slope * x
        return seconds if seconds > _LEAST_SECONDS else _LEAST_SECONDS

    def fit(self) -> tuple[float, float]:
        spread = self.xx - self.x * self.x / self.n
        slope = (self.xy - self.x * self.y / self.n) / spread if spread > 1e-9 * self.xx else 0.0
        slope = max(0.0, slope)
        level = (self.y - slope * self.x) / self.n
        if level < 0:  # the best line through the origin
            level, slope = 0.0, self.xy / self.xx if self.xx else 0.0
        return level, slope


class CostModel:
    """``seconds = a + b x size`` for each media type.

    Robust in two ways: an outlier counts at most as eight times what was predicted, and old observations
    fade, so that the line follows a drift. A type that has been seen too little takes the line of all.

    Args:
        costs: what an earlier run learned, by media type; it counts as much as a few documents do.
    """

    def __init__(self, costs: Mapping[str, Cost] | None = None) -> None:
        self._lines: dict[str, _Line] = {}
        self._all = _Line()
        self._seen = 0
        for kind, cost in (costs or {}).items():
            # Two sizes make a line.
            for size in (0.5 * cost.mean_bytes, 1.5 * cost.mean_bytes):
                for _ in range(_SEEDS // 2):
                    self.see(kind, size, cost.seconds + cost.seconds_a_byte * size)

    @property
    def knows(self) -> bool:
        """Whether it has seen enough of anything to be believed."""
        return any(line.n >= _ENOUGH for line in self._lines.values())

    def predict(self, document: Document) -> float:
        """Seconds of one core."""
        return self._at(document.media_type, document.size_bytes or 0)

    def learn(self, outcome: Outcome) -> None:
        """See what a document took."""
        self.see(outcome.media_type, outcome.size_bytes or 0, outcome.seconds)

    def see(self, media_type: str, size_bytes: float, seconds: float) -> None:
        """See what a document of a type and size took."""
        line = self._lines.get(media_type)
        if line is None:
            line = self._lines[media_type] = _Line()
        elif line.n >= _ENOUGH:
            seconds = min(seconds, _CLIP * line.at(size_bytes))
        line.add(size_bytes, seconds)
        self._seen += 1

    def costs(self) -> dict[str, Cost]:
        """What is known by media type, for a model to come."""
        return {
            kind: Cost(*line.fit(), mean_bytes=line.x / line.n, documents=line.seen)
            for kind, line in self._lines.items()
            if line.n >= _ENOUGH
        }

    def _at(self, media_type: str, size: float) -> float:
        line = self._lines.get(media_type)
        if line is not None and line.n >= _ENOUGH:
            return line.at(size)
        if self._seen > self._all.seen * 17 // 16:
            self._all = _Line.of(self._lines.values())
        if self._all.n >= _ENOUGH:
            return self._all.at(size)
        return _PRIOR_SECONDS + _PRIOR_SECONDS_A_BYTE * size
