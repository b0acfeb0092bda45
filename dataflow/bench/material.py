"""What a benchmark runs on: a generated corpus, or a user's own, cut to a size that there is time for."""

from __future__ import annotations

import dataclasses
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataflow.bench.baselines import Processes
from dataflow.corpus import open_corpus
from dataflow.document import Document
from dataflow.errors import ClusterError, CorpusError, counted
from dataflow.graph.table import sink_for
from dataflow.measure.environment import without_secrets
from dataflow.workload import Workload

__all__ = ["Material", "cut_to_time", "find_material"]

_SCOUTED_AT_ONCE = 8


@dataclass(frozen=True)
class Material:
    """The documents of a run, in the order that all its trials share.

    Attributes:
        documents: sorted by URL.
        source: the URL, or what generated them.
        generated: they were made for this run.
        listed: how many the corpus has.
        seed: of the generator, and of the sample.
    """

    documents: tuple[Document, ...]
    source: str
    generated: bool
    listed: int
    seed: int

    def describe(self) -> dict[str, Any]:
        """As data for ``run.json``."""
        return {
            "source": self.source,
            "generated": self.generated,
            "seed": self.seed,
            "listed": self.listed,
            "documents": len(self.documents),
            "bytes": sum(d.size_bytes or 0 for d in self.documents),
            "sampled": len(self.documents) < self.listed,
        }

    def first(self, count: int | None) -> Material:
        """At most ``count`` documents from the beginning; ``None`` for all."""
        return dataclasses.replace(self, documents=self.documents[:count])

    def sample(self, count: int) -> Material:
        """At most ``count`` documents, drawn by the seed; still in order."""
        if count >= len(self.documents):
            return self
        drawn = sorted(random.Random(self.seed).sample(range(len(self.documents)), count))
        return dataclasses.replace(self, documents=tuple(self.documents[i] for i in drawn))


def find_material(
    workload: Workload,
    corpus: str | None,
    documents: int | None,
    seed: int,
    folder: Path,
    generated: int | None = None,
) -> Material:
    """List the corpus that was asked for, or write the workload's own into ``folder``.

    Args:
        workload: its corpus is the default.
        corpus: a URL pattern, or ``None``.
        documents: how many are generated, or drawn from a corpus that is there.
        seed: of the generator, and of the draw.
        folder: empty or not there yet.
        generated: how many are generated where ``documents`` doesn't say; the workload's own number if left out.

    Raises:
        CorpusError: there is none, it doesn't exist or is empty.
    """
    source = corpus or workload.corpus
    if source is None:
        raise CorpusError(f"workload {workload.name} has no corpus of its own: name one with CORPUS=URL.")
    if documents is not None and documents < 1:
        raise CorpusError(f"a benchmark needs at least one document, not {documents}.")
    if callable(source):
        folder.mkdir(parents=True, exist_ok=True)
        workload.generate(folder, documents=generated if documents is None else documents, seed=seed)
        listed = _listed(str(folder))
        return Material(listed, f"{workload.name}, generated", True, len(listed), seed)
    listed = _listed(source)
    found = Material(listed, without_secrets(source), False, len(listed), seed)
    return found if documents is None else found.sample(documents)


def cut_to_time(
    material: Material, processes: Processes, seconds: float, scratch: Path, say: Callable[[str], None]
) -> Material:
    """Draw a sample that a plain loop needs about ``seconds`` for; the whole corpus where it needs less.

    A loop goes through the documents in random order until the time is up. A document that ends or hangs it
    is passed over.
    """
    order = list(enumerate(material.documents))
    random.Random(f"{material.seed}/scout").shuffle(order)
    scratch.mkdir()
    sink = sink_for(processes.pipeline, str(scratch))
    # The first ones pay for the imports of every parser.
    _scout(processes, sink, _one_of_each(order))
    started = time.perf_counter()
    done = 0
    while done < len(order):
        done += _scout(processes, sink, order[done : done + _SCOUTED_AT_ONCE])
        if time.perf_counter() - started > seconds:
            break
    else:
        return material
    whole = counted(len(order), "document")
    say(
        f"{material.source}: a plain loop takes {seconds:.0f} s for {done} of its {whole}, so "
        f"a random sample of {done} is used (seed {material.seed}); DOCUMENTS=N takes as many as you like"
    )
    return material.sample(done)


def warm_up_documents(documents: Sequence[Document], count: int) -> list[Document]:
    """A few documents from all over the corpus, at least one of each media type."""
    numbered = list(enumerate(documents))
    step = max(1, len(numbered) // count)
    chosen = dict(_one_of_each(numbered)) | dict(numbered[::step])
    return [chosen[i] for i in sorted(chosen)]


def _scout(processes: Processes, sink: Any, chunk: Sequence[tuple[int, Document]]) -> int:
    try:
        for _ in processes.map(sink, [(1, chunk)]):
            pass
    except ClusterError:  # the trials of the loop will say so too
        return len(chunk)
    return len(chunk)


def _one_of_each(order: Sequence[tuple[int, Document]]) -> list[tuple[int, Document]]:
    first: dict[str, tuple[int, Document]] = {}
    for position, document in order:
        first.setdefault(document.media_type, (position, document))
    return list(first.values())


def _listed(url: str) -> tuple[Document, ...]:
    return tuple(sorted(open_corpus(url), key=lambda d: d.url))
