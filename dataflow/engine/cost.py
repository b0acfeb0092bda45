"""What a document will cost: seconds predicted from its media type and size, learned while running."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from dataflow.document import Document, Numbered
from dataflow.outcome import Outcome, Outcomes
from dataflow.profile import Cost

__all__ = ["CostModel"]

# Before anything is known: half a millisecond, and a megabyte takes 50. Right for order, wrong for amount.
_PRIOR_SECONDS = 0.5e-3
_PRIOR_SECONDS_A_BYTE = 50e-9
_DECAY = 0.999  # an observation's weight halves after some 700 more
_ENOUGH_OF_A_BATCH = 256
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

    def drawn(self) -> tuple[float, float]:
        if self.seen - self.drawn_at > self.drawn_at // 16:
            self.level, self.slope = self.fit()
            self.drawn_at = self.seen
        return self.level, self.slope

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
        level, slope = self._line(document.media_type)
        return max(_LEAST_SECONDS, level + slope * (document.size_bytes or 0))

    def predict_all(self, documents: Iterable[Numbered]) -> list[float]:
        """Seconds of one core for each; the line of a media type is looked for once."""
        lines: dict[str, tuple[float, float]] = {}
        costs = []
        for _, _, size, kind, _, _ in documents:
            line = lines.get(kind)
            if line is None:
                line = lines[kind] = self._line(kind)
            seconds = line[0] + line[1] * (size or 0)
            costs.append(seconds if seconds > _LEAST_SECONDS else _LEAST_SECONDS)
        return costs

    def learn(self, outcomes: Sequence[Outcome]) -> None:
        """See what the documents of a batch took; of many, some hundreds from its first to its last tell as much."""
        some = outcomes[:: max(1, len(outcomes) // _ENOUGH_OF_A_BATCH)]
        if isinstance(some, Outcomes):  # none is made to be looked at
            seen: Iterable[tuple[str, int | None, float]] = zip(
                *map(some.column, ("media_type", "size_bytes", "seconds")), strict=True
            )
        else:
            seen = ((one.media_type, one.size_bytes, one.seconds) for one in some)
        for media_type, size_bytes, seconds in seen:
            self.see(media_type, size_bytes or 0, seconds)

    def see(self, media_type: str, size_bytes: float, seconds: float) -> None:
        """See what a document of a type and size took."""
        line = self._lines.get(media_type)
        if line is None:
            line = self._lines[media_type] = _Line()
        elif line.n >= _ENOUGH:
            level, slope = line.drawn()
            seconds = min(seconds, _CLIP * max(_LEAST_SECONDS, level + slope * size_bytes))
        line.add(size_bytes, seconds)
        self._seen += 1

    def costs(self) -> dict[str, Cost]:
        """What is known by media type, for a model to come."""
        return {
            kind: Cost(*line.fit(), mean_bytes=line.x / line.n, documents=line.seen)
            for kind, line in self._lines.items()
            if line.n >= _ENOUGH
        }

    def _line(self, media_type: str) -> tuple[float, float]:
        """Level and slope of what is believed of a media type."""
        line = self._lines.get(media_type)
        if line is not None and line.n >= _ENOUGH:
            return line.drawn()
        if self._seen > self._all.seen * 17 // 16:
            self._all = _Line.of(self._lines.values())
        if self._all.n >= _ENOUGH:
            return self._all.drawn()
        return _PRIOR_SECONDS, _PRIOR_SECONDS_A_BYTE
