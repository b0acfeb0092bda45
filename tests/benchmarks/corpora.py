"""The corpora of the benchmarks: cheap pages, manuals of many pages, and a heavy-tailed mixture."""

from __future__ import annotations

from pathlib import Path

__all__ = ["SHAPES", "generate"]

#: Name -> documents, median characters, spread of their logarithm, weights of PDF, HTML, DOCX, mail, Markdown, text.
SHAPES: dict[str, tuple[int, int, float, tuple[int, ...]]] = {
    "pages": (1_700, 6_000, 0.3, (0, 1, 0, 0, 0, 0)),
    "manuals": (90, 90_000, 0.3, (1, 0, 0, 0, 0, 0)),
    "tail": (900, 6_000, 1.6, (2, 4, 0, 1, 0, 1)),
}


def generate(name: str, folder: Path, *, share: float, seed: int) -> Path:
    """Write a corpus of one shape into a new folder; returns the folder.

    Args:
        share: of the documents that the shape has.
        seed: decides their contents.
    """
    from workloads.generator import Plan, write_mixed

    documents, characters, spread, weights = SHAPES[name]
    folder.mkdir(parents=True)
    number = max(8, round(documents * share))
    write_mixed(folder, Plan(number, characters, spread, weights), seed)
    return folder
