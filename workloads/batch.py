"""Many documents of about the same length: PDF, HTML, DOCX, mail, Markdown and plain text in turn."""

from __future__ import annotations

from pathlib import Path

from dataflow import Pipeline

from .chunking import chunk, chunk_pages
from .extraction import extract, pages

DOCUMENTS = 300
CHARACTERS = 12_000

pipeline = Pipeline(extract, chunk)
variants = {"pages": Pipeline(pages, chunk_pages)}


def corpus(folder: Path, *, documents: int | None = None, seed: int = 0) -> None:
    """Write ``documents`` files (300 by default) of about 12,000 characters, as many of each format."""
    from .generator import write_batch

    write_batch(folder, DOCUMENTS if documents is None else documents, CHARACTERS, seed)
