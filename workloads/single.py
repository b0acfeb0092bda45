"""One document, a PDF of a few pages: where does each millisecond go?"""

from __future__ import annotations

from pathlib import Path

from dataflow import Pipeline

from .chunking import chunk, chunk_pages
from .extraction import extract, pages

pipeline = Pipeline(extract, chunk)
variants = {"pages": Pipeline(pages, chunk_pages)}


def corpus(folder: Path, *, documents: int | None = None, seed: int = 0) -> None:
    """Write the document; the scenario is about one, whatever ``documents`` says."""
    from .generator import write_single

    write_single(folder, seed)
