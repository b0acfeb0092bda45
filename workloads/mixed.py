"""What a folder really holds: formats and lengths mixed, files twice, damaged files, empty files."""

from __future__ import annotations

from pathlib import Path

from dataflow import Pipeline

from .chunking import chunk, chunk_pages
from .extraction import extract, pages

DOCUMENTS = 300

pipeline = Pipeline(extract, chunk)
variants = {"pages": Pipeline(pages, chunk_pages)}


def corpus(folder: Path, *, documents: int | None = None, seed: int = 0) -> None:
    """Write ``documents`` files (300 by default): a tenth copies, 4% damaged, 2% empty, a few very long."""
    from .generator import Plan, write_mixed

    plan = Plan(
        documents=DOCUMENTS if documents is None else documents,
        characters=6_000,
        spread=1.1,
        weights=(3, 4, 2, 3, 1, 2),
        duplicates=0.10,
        damaged=0.04,
        empty=0.02,
    )
    write_mixed(folder, plan, seed)
