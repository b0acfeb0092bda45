"""Poison: documents that end the process that works on them, put among the others.

No format has a document that crashes every parser for ever, so the crash is ours and the death is real: the first
stage reads a mark at a document's beginning and reads address 0, as a broken parser does. The segmentation fault
takes the worker with it, whatever it is. The user's documents stay where they are; only the poison is written.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import functools
import os
import random
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dataflow.bench.edits import Turn
from dataflow.bench.material import Material
from dataflow.document import Document
from dataflow.errors import OutputError, one_line
from dataflow.measure.records import Reference
from dataflow.pipeline import Pipeline, Stage

__all__ = ["POISON", "POISON_DOCUMENTS", "PoisonedCorpus", "deadly"]

#: How a document begins that ends its process.
POISON = b"dataflow-bench: this document ends the process that works on it\n"
#: How many are put among the others: what one costs is the question.
POISON_DOCUMENTS = 1


class PoisonedCorpus:
    """The documents as they are, and the same with poison among them.

    Args:
        pipeline: of the workload.
        material: the documents.
        reference: the plain loop's output over them; ``None`` where it can't get through.
        folder: for the poison; doesn't exist yet.

    Raises:
        OutputError: the poison can't be written.
    """

    def __init__(
        self, pipeline: Pipeline, material: Material, reference: Reference | None, folder: Path
    ) -> None:
        clean = material.documents
        whole = range(len(clean) + POISON_DOCUMENTS)
        chosen = sorted(random.Random(f"{material.seed}/poison").sample(whole, POISON_DOCUMENTS))
        try:
            poison = _written(folder, clean)
        except OSError as error:
            raise OutputError(f"poison can't be written: {one_line(error)}.") from error
        places = [i for i in whole if i not in chosen]
        found = dict(zip(places, clean, strict=True)) | dict(zip(chosen, poison, strict=True))
        self._turns = {
            "clean": Turn(clean, pipeline, reference),
            "poison": Turn(
                tuple(found[i] for i in whole),
                deadly(pipeline),
                reference
                and Reference(reference.output.moved(places), reference.cpu_seconds, frozenset(chosen)),
            ),
        }

    def enter(self, phase: str) -> Turn:
        """What a phase runs on; any but ``poison`` is the documents as they are."""
        return self._turns.get(phase, self._turns["clean"])


def deadly(pipeline: Pipeline) -> Pipeline:
    """The pipeline with a first stage that dies of poison; it does the same to every other document."""
    first, *rest = pipeline.stages
    return Pipeline(first.replace(function=_deadly(first)), *rest)


def _deadly(stage: Stage[..., Any]) -> Any:
    # Not its attributes: a function among them would be sent to the workers by value.
    @functools.wraps(stage, updated=())
    def guarded(data: bytes, *document: Document) -> Any:
        if data.startswith(POISON):
            _die()
        return stage(data, *document)

    return guarded


def _die() -> None:
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a dump of the worker is of no use to anybody
    # A signal that the process sends to itself would leave this thread some time to go on.
    ctypes.string_at(0)
    os._exit(139)  # where that is an exception


def _written(folder: Path, documents: Sequence[Document]) -> list[Document]:
    """Poison of an ordinary size and type, so that no batcher takes it for something else."""
    folder.mkdir(parents=True)
    kind = statistics.mode(d.media_type for d in documents)
    model = next(d for d in documents if d.media_type == kind)
    size = int(statistics.median(d.size_bytes or 0 for d in documents if d.media_type == kind))
    found = []
    for number in range(POISON_DOCUMENTS):
        path = folder / f"poison-{number}{Path(model.url).suffix}"
        path.write_bytes(POISON.ljust(size, b"\n"))
        status = path.stat()
        found.append(
            dataclasses.replace(
                model, url=str(path), size_bytes=status.st_size, modified=status.st_mtime, etag=None
            )
        )
    return found
