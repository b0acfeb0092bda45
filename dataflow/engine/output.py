"""Where a run's rows go, and which documents are its to do: nowhere, a new folder, or one with a past."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from dataflow.corpus import Corpus
from dataflow.document import Document
from dataflow.engine.manifest import Manifest

if TYPE_CHECKING:
    from dataflow.graph.table import Sink
    from dataflow.graph.work import Part

__all__ = ["Keeper", "NewOutput", "Output"]


class Keeper(Protocol):
    """Makes parts count, durably.

    Attributes:
        rows: how many rows count.
    """

    rows: int

    @property
    def described(self) -> bool:
        """Whether it is written down what the run is: nothing counts before."""

    @property
    def leavings(self) -> list[str]:
        """What couldn't be tidied up when it was closed, a line each."""

    def describe(self) -> None:
        """Write down what the run is, unless that is done; for any thread. It takes a moment: others may be at work."""

    def commit(self, parts: Sequence[Part]) -> None:
        """Make parts count."""

    def finish(self, *, complete: bool) -> int:
        """Tidy up and close; returns how many orphans were removed."""


class Output:
    """No output: values travel back with the outcomes. The others are made of it.

    Attributes:
        sink: where workers write rows, and which columns.
        notes: what the user should know, a line each.
        before: rows that counted before the run began.
        skipped: documents that were listed and found done, so far.
        unfinished_runs: earlier runs whose driver died, so that workers of theirs may still be at it.
    """

    def __init__(self, sink: Sink | None = None) -> None:
        self.sink = sink
        self.notes: list[str] = []
        self.before = 0
        self.skipped = 0
        self.unfinished_runs: list[str] = []

    def numbered(self, documents: Iterable[Document]) -> Iterator[tuple[int, Document]]:
        """Position and document of all that is to be done."""
        return enumerate(documents)

    def open(self, header: Callable[[], dict[str, Any]], documents: Corpus) -> Keeper | None:
        """Begin to write, when all but the workers is known to work; ``header`` says what the run is."""
        return None

    def release(self) -> None:
        """Give up before anything was begun."""

    def closing_notes(self) -> Iterator[str]:
        """What is known once the corpus has been listed to its end."""
        return iter(())


class NewOutput(Output):
    """A folder that is new or empty.

    Args:
        sink: names the folder.
    """

    def open(self, header: Callable[[], dict[str, Any]], documents: Corpus) -> Keeper | None:
        """Make the folder and its manifest.

        Raises:
            OutputError: it can't be written.
        """
        assert self.sink is not None
        return Manifest(self.sink.folder, header, listed=lambda: documents.total)
