"""The check that every workload has to pass: the three here, and yours.

::

    from dataflow.workloads.checks import check_workload      # in a checkout: from workloads.checks

    def test_my_workload(tmp_path):
        check_workload(mine, tmp_path)
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import msgpack

from dataflow import Document, DocumentError, Pipeline
from dataflow.document import guess_media_type

__all__ = ["check_workload", "documents_in", "folder_bytes"]


def check_workload(workload: ModuleType, folder: Path, *, documents: int = 24, seed: int = 1) -> None:
    """Assert that a workload describes itself, writes the same corpus twice, and processes all of it.

    Args:
        workload: the module: a docstring, ``pipeline`` and ``corpus``; its ``variants`` must give the same results.
        folder: an empty folder to write in.
        documents: how many documents to ask for.
        seed: of the corpus.

    Raises:
        AssertionError: what is wrong, in words.
    """
    assert (workload.__doc__ or "").strip(), (
        f"{workload.__name__} has no docstring; it is what a list of workloads shows."
    )
    assert isinstance(workload.pipeline, Pipeline), f"{workload.__name__}.pipeline must be a Pipeline(...)."
    variants = getattr(workload, "variants", {})
    assert all(isinstance(variant, Pipeline) for variant in variants.values()), (
        f"{workload.__name__}.variants must be a dictionary of pipelines by name."
    )
    if callable(getattr(workload, "corpus", None)):
        _check_corpus(workload, folder, documents, seed)
        for data, document in documents_in(folder / "first"):
            _check_document(workload.pipeline, data, document)
            for name, variant in variants.items():
                _check_variant(workload.pipeline, name, variant, data, document)


def _check_corpus(workload: ModuleType, folder: Path, documents: int, seed: int) -> None:
    for name, its_seed in (("first", seed), ("second", seed), ("other", seed + 1)):
        (folder / name).mkdir()
        workload.corpus(folder / name, documents=documents, seed=its_seed)
    first = folder_bytes(folder / "first")
    assert first, "corpus() wrote no file."
    assert first == folder_bytes(folder / "second"), "corpus() wrote other bytes for the same seed."
    assert first != folder_bytes(folder / "other"), "corpus() wrote the same bytes for another seed."


def _check_document(pipeline: Pipeline, data: bytes, document: Document) -> None:
    """A value that a codec can keep, the same each time; or a DocumentError whose message is one line."""
    try:
        value = pipeline(data, document)
    except DocumentError as error:
        _check_message(document, type(error).__name__, str(error))
        return
    packed: Any = msgpack.unpackb(msgpack.packb(value))
    assert packed == value, f"{document.url}: the value doesn't survive msgpack."
    assert pipeline(data, document) == value, f"{document.url}: the same bytes give another value."


def _check_variant(pipeline: Pipeline, name: str, variant: Pipeline, data: bytes, document: Document) -> None:
    """The same value as the pipeline's, or the same failure."""
    expected, found = _ends(pipeline, data, document), _ends(variant, data, document)
    assert found == expected, f"{document.url}: variant {name!r} gives {found}, and not {expected}."


def _ends(pipeline: Pipeline, data: bytes, document: Document) -> Any:
    try:
        return pipeline(data, document)
    except DocumentError as error:
        return type(error).__name__, str(error)


def _check_message(document: Document, kind: str, message: str) -> None:
    assert message.strip(), f"{document.url}: {kind} says nothing."
    assert "\n" not in message, f"{document.url}: the message of {kind} has several lines."


def documents_in(folder: Path) -> list[tuple[bytes, Document]]:
    """Every file below a folder with its bytes, in the order of the names."""
    return [
        (data, Document(str(folder / name), len(data), guess_media_type(name)))
        for name, data in folder_bytes(folder).items()
    ]


def folder_bytes(folder: Path) -> dict[str, bytes]:
    """Relative name -> content of every file below a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
