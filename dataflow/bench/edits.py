"""Edits: a copy of the documents that changes from phase to phase, and what has to come out in each.

The documents of the user are never touched. Each phase is a state of the whole copy, which any trial can be put
into whatever the one before it left; times are set to hours ago, so that none is too young to be believed.
"""

from __future__ import annotations

import dataclasses
import os
import random
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dataflow.bench.material import Material
from dataflow.document import Document
from dataflow.errors import OutputError, one_line
from dataflow.measure.records import Reference
from dataflow.memo.keys import digest
from dataflow.pipeline import Pipeline
from dataflow.reading import read_document

__all__ = ["EDITED_SHARE", "EDITS", "EditedCorpus", "Turn", "bumped"]

#: What happens to the documents, the code or the cache right before a phase.
EDITS: Mapping[str, str] = {
    "churn": "a tenth of the documents has other content",
    "content": "a tenth of the documents has other content",
    "mtime": "a tenth of the documents was touched; the content is the same",
    "hidden": "a tenth of the documents has other content of the same size and time",
    "tag": "the tag was invalidated",
    "code": "the last stage has another version",
}
EDITED_SHARE = 0.1

_AGE_SECONDS = 86_400.0
_STEP_SECONDS = 60.0

Oracle = Callable[[Sequence[Document]], Reference | None]


@dataclass(frozen=True)
class Turn:
    """What a phase runs on.

    Attributes:
        documents: as listed in this phase.
        pipeline: what is done in this phase.
        reference: the plain loop's output over the same; ``None`` where it can't get through.
    """

    documents: tuple[Document, ...]
    pipeline: Pipeline
    reference: Reference | None


@dataclass(frozen=True)
class _State:
    """The copy in one phase: file and time of each document that any phase edits."""

    files: Mapping[int, tuple[Path, float]] = field(default_factory=dict)
    code: bool = False


class EditedCorpus:
    """A copy of some documents in the states of a suite's phases.

    Args:
        pipeline: of the workload.
        material: what is copied, byte for byte.
        phases: in their order; each keeps the edits of those before it.
        folder: doesn't exist yet.
        oracle: the plain loop, with no cache: asked once for each content of the copy.

    Raises:
        OutputError: the copy can't be written.
    """

    def __init__(
        self, pipeline: Pipeline, material: Material, phases: Sequence[str], folder: Path, oracle: Oracle
    ) -> None:
        self._pipelines = (pipeline, bumped(pipeline))
        self._edits, self._began = folder / "edits", time.time() - _AGE_SECONDS
        self._order = list(range(len(material.documents)))
        random.Random(f"{material.seed}/edits").shuffle(self._order)
        self._donors: set[int] = set()
        self._share = max(1, round(len(self._order) * EDITED_SHARE))
        try:
            self._edits.mkdir(parents=True)
            self._documents = [self._copied(d, i, folder) for i, d in enumerate(material.documents)]
            self._states = self._planned(phases)
        except OSError as error:
            raise OutputError(f"a copy of the corpus can't be written: {one_line(error)}.") from error
        self._now: dict[int, tuple[Path, float]] = {}
        self._turns = self._measured(oracle)
        self._put(self._states[""])

    def enter(self, phase: str) -> Turn:
        """Put the copy into the state of a phase; any other name, such as an empty one, is the first state."""
        known = phase if phase in self._states else ""
        self._put(self._states[known])
        return self._turns[known]

    def _put(self, state: _State) -> None:
        for position, (file, modified) in state.files.items():
            if self._now.get(position) != (file, modified):
                shutil.copyfile(file, self._documents[position].url)
                os.utime(self._documents[position].url, (modified, modified))
                self._now[position] = (file, modified)

    def edited(self, phase: str) -> int:
        """How many documents the phase has otherwise than the first state."""
        first = self._states[""].files
        return sum(first[i] != found for i, found in self._states[phase].files.items())

    def _copied(self, document: Document, position: int, folder: Path) -> Document:
        """The copy's document. What can't be read can't be read there either."""
        place = folder / f"{position:06}-{document.url.rpartition('/')[2][-60:]}"
        try:
            data = read_document(document.url)
        except Exception:
            return dataclasses.replace(document, url=str(place))
        place.write_bytes(data)
        os.utime(place, (self._began, self._began))
        return dataclasses.replace(
            document, url=str(place), size_bytes=len(data), modified=self._began, etag=None
        )

    def _planned(self, phases: Sequence[str]) -> dict[str, _State]:
        """Each phase's state, and under the empty name the one before any edit."""
        files: dict[int, tuple[Path, float]] = {}
        states: dict[str, dict[int, tuple[Path, float]]] = {"": {}}
        originals: dict[int, tuple[Path, float]] = {}
        coded: dict[str, bool] = {}
        code = False
        for number, phase in enumerate(phases):
            for position, data, modified in self._edit(phase, number, files):
                if position not in originals:
                    own = Path(self._documents[position].url).read_bytes()
                    originals[position] = self._kept(position, "original", own), self._began
                file, before = files.get(position, originals[position])
                file = file if data is None else self._kept(position, phase, data)
                files[position] = file, before if modified is None else modified
            code = code or phase == "code"
            states[phase], coded[phase] = dict(files), code
        return {p: _State({**originals, **found}, coded.get(p, False)) for p, found in states.items()}

    def _edit(
        self, phase: str, number: int, files: Mapping[int, tuple[Path, float]]
    ) -> Iterator[tuple[int, bytes | None, float | None]]:
        """Position, content and time of what a phase edits; ``None`` is the same as before."""
        modified = self._began + _STEP_SECONDS * (number + 1)
        count = 0
        # Each phase edits others, where there are enough.
        start = number * self._share % len(self._order)
        for position in self._order[start:] + self._order[:start]:
            if count == self._share or phase not in ("churn", "content", "mtime", "hidden"):
                return
            if not os.path.exists(self._documents[position].url):
                continue
            if phase == "mtime":
                count += 1
                yield position, None, modified
                continue
            data = self._other(position, files, same_size=phase == "hidden")
            if data is not None:
                count += 1
                yield position, data, None if phase == "hidden" else modified

    def _other(
        self, position: int, files: Mapping[int, tuple[Path, float]], *, same_size: bool
    ) -> bytes | None:
        """The content of another document of the same type, and something more, so that no cache knows it.

        Each gives its content once: equal documents would be computed once for all of them.
        """
        url = self._documents[position].url
        old = (files[position][0] if position in files else Path(url)).read_bytes()
        for donor in self._order:
            document = self._documents[donor]
            if (
                donor == position
                or donor in self._donors
                or document.media_type != self._documents[position].media_type
            ):
                continue
            if not os.path.exists(document.url):
                continue
            data = Path(document.url).read_bytes()
            if data.strip() != old.strip() and (not same_size or len(data) < len(old)):
                self._donors.add(donor)
                return data.ljust(len(old), b"\n") if same_size else data + b"\n"
        return None if same_size else old + b"\n"

    def _kept(self, position: int, phase: str, data: bytes) -> Path:
        """A content that the document has in some phase, put aside."""
        file = self._edits / f"{position:06}-{phase}"
        file.write_bytes(data)
        return file

    def _measured(self, oracle: Oracle) -> dict[str, Turn]:
        turns: dict[str, Turn] = {}
        known: dict[tuple[bytes, ...], Reference | None] = {}
        for phase, state in self._states.items():
            self._put(state)
            documents = tuple(self._listed(d) for d in self._documents)
            contents = tuple(digest(file.read_bytes()) for _, (file, _) in sorted(state.files.items()))
            if contents not in known:
                known[contents] = oracle(documents)
            turns[phase] = Turn(documents, self._pipelines[state.code], known[contents])
        return turns

    @staticmethod
    def _listed(document: Document) -> Document:
        if not os.path.exists(document.url):
            return document
        status = os.stat(document.url)
        return dataclasses.replace(document, size_bytes=status.st_size, modified=status.st_mtime)


def bumped(pipeline: Pipeline) -> Pipeline:
    """The pipeline with another version of its last stage that may be memoized; it does the same."""
    stages = list(pipeline.stages)
    pure = 0
    while pure < len(stages) and stages[pure].pure:
        pure += 1
    if pure:
        last = stages[pure - 1]
        stages[pure - 1] = last.replace(version=f"{last.version or ''}+edited")
    return Pipeline(*stages)
