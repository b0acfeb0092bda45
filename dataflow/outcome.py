"""What became of one document."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import repeat
from operator import attrgetter
from typing import Any, overload

from dataflow.frozen import maker

__all__ = ["FAILED", "OK", "QUARANTINED", "STATUSES", "Outcome", "Outcomes", "Row", "make_outcome"]

OK = "ok"
FAILED = "failed"
QUARANTINED = "quarantined"
STATUSES = (OK, FAILED, QUARANTINED)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one document.

    Attributes:
        document: the document's URL.
        media_type: as listed.
        size_bytes: as read where it was read, else as listed.
        status: ``ok``; ``failed``, a stage raised; ``quarantined``, it killed or hung its worker.
        error_type: the exception's class name, or ``WorkerDied``, ``TimeLimit``, ``MemoryLimit``,
            ``TooManyOpenFiles``.
        error: one line that names the cause.
        attempts: how often the document was begun.
        cache: the tier that answered (``lru``, ``redis``), or ``None`` where it was computed.
        seconds: wall seconds spent on this document, reading and stages.
        stage_seconds: wall seconds by stage, for the stages that ran.
        digest: hex of the content's BLAKE3, its first 20 bytes; ``None`` where it couldn't be read.
        position: the document's place in the corpus, from 0.
        batch: the batch it travelled in.
        value: the pipeline's result; always ``None`` when the run has an output.
    """

    document: str
    media_type: str
    size_bytes: int | None
    status: str
    error_type: str | None = None
    error: str | None = None
    attempts: int = 1
    cache: str | None = None
    seconds: float = 0.0
    stage_seconds: Mapping[str, float] = field(default_factory=dict)
    digest: str | None = None
    position: int = 0
    batch: int = 0
    value: Any = None

    def __reduce__(self) -> tuple[Callable[..., Outcome], tuple[Any, ...]]:
        # Millions of them travel, and this takes a fifth of the time of calling the class.
        return make_outcome, _in_order(self)


Row = tuple[Any, ...]
"""An outcome's fields in their order."""

_in_order: Callable[[Outcome], Row] = attrgetter(*(f.name for f in fields(Outcome)))
make_outcome = maker(Outcome, "make_outcome")
"""An outcome of its fields in their order."""


class Outcomes(Sequence[Outcome]):
    """The outcomes of a batch as columns; each is made when it is asked for.

    A driver through whose hands millions go holds a few lists for a batch, and not thousands of objects that the
    garbage collector looks at again and again.
    """

    __slots__ = ("_columns", "_stages")

    def __init__(self, outcomes: Iterable[Outcome]) -> None:
        self._take(map(_in_order, outcomes))

    @classmethod
    def of_rows(cls, rows: Iterable[Row]) -> Outcomes:
        """The outcomes whose fields are given in their order."""
        made = cls.__new__(cls)
        made._take(rows)
        return made

    def _take(self, rows: Iterable[Row]) -> None:
        columns = list(zip(*rows, strict=True)) or [()] * _WIDTH
        seconds = columns[_STAGE_SECONDS]
        stages = tuple(seconds[0]) if seconds else ()
        self._stages: tuple[str, ...] | None = None
        if stages and all(tuple(one) == stages for one in seconds):  # nearly all went through the same stages
            columns[_STAGE_SECONDS] = tuple(zip(*[one.values() for one in seconds], strict=True))
            self._stages = stages
        self._columns: list[Sequence[Any]] = list(columns)

    def __len__(self) -> int:
        return len(self._columns[0])

    def __iter__(self) -> Iterator[Outcome]:
        return map(
            make_outcome,
            *self._columns[:_STAGE_SECONDS],
            self._seconds(),
            *self._columns[_STAGE_SECONDS + 1 :],
        )

    @overload
    def __getitem__(self, which: int) -> Outcome: ...

    @overload
    def __getitem__(self, which: slice) -> Outcomes: ...

    def __getitem__(self, which: int | slice) -> Outcome | Outcomes:
        if isinstance(which, slice):
            return self._part(which)
        place = range(len(self))[which]
        (one,) = self._part(slice(place, place + 1))
        return one

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Outcomes | list | tuple):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def column(self, name: str) -> Sequence[Any]:
        """One field of each."""
        place = _NAMES.index(name)
        return list(self._seconds()) if place == _STAGE_SECONDS else self._columns[place]

    def with_values(self, values: Sequence[Any]) -> Outcomes:
        """The same outcomes, each with its value.

        Raises:
            ValueError: there are more or fewer values than outcomes.
        """
        if len(values) != len(self):
            raise ValueError(f"{len(values)} values for {len(self)} outcomes")
        part = self._part(slice(None))
        part._columns[-1] = values
        return part

    def _seconds(self) -> Iterable[Mapping[str, float]]:
        seconds, stages = self._columns[_STAGE_SECONDS], self._stages
        if stages is None:
            return seconds
        # Half the time that an expression takes.
        return map(dict, map(zip, repeat(stages), zip(*seconds, strict=True)))

    def _part(self, which: slice) -> Outcomes:
        part = Outcomes(())
        part._stages = self._stages
        part._columns = [column[which] for column in self._columns]
        if self._stages is not None:
            part._columns[_STAGE_SECONDS] = [column[which] for column in self._columns[_STAGE_SECONDS]]
        return part


_NAMES = tuple(one.name for one in fields(Outcome))
_WIDTH = len(_NAMES)
_STAGE_SECONDS = _NAMES.index("stage_seconds")
