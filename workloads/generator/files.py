"""Folders of generated files: which documents, of which format and size, with which faults."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from .article import Article, write_article
from .damage import damage
from .docx import write_docx
from .html import write_html
from .mail import write_mail
from .pdf import PDF_LANGUAGES, write_pdf
from .plain import write_markdown, write_plain
from .words import LANGUAGES

__all__ = ["FORMATS", "Plan", "write_batch", "write_mixed", "write_single"]

FORMATS: dict[str, Callable[[Article, Random], bytes]] = {
    ".pdf": write_pdf,
    ".html": write_html,
    ".docx": write_docx,
    ".eml": write_mail,
    ".md": write_markdown,
    ".txt": write_plain,
}

_LARGEST_CHARACTERS = 2_000_000


@dataclass(frozen=True, slots=True)
class Plan:
    """What a folder should hold.

    Attributes:
        documents: how many files.
        characters: the median of their lengths.
        spread: the standard deviation of the lengths' logarithm; 0.1 makes them alike, 1 makes a few very
        long. weights: how often each format comes, in the order of ``FORMATS``. duplicates, damaged, empty:
        shares of the documents.
    """

    documents: int
    characters: int
    spread: float
    weights: tuple[int, ...] = (1, 1, 1, 1, 1, 1)
    duplicates: float = 0.0
    damaged: float = 0.0
    empty: float = 0.0


def write_single(folder: Path, seed: int) -> None:
    """One PDF of a few pages."""
    _write(folder, "document", ".pdf", _document(".pdf", 12_000, Random(f"single {seed}"))[1])


def write_batch(folder: Path, documents: int, characters: int, seed: int) -> None:
    """Files of the six formats in turn, all of about the same length."""
    suffixes = list(FORMATS)
    for index in range(documents):
        rng = Random(f"batch {seed} {index}")
        suffix = suffixes[index % len(suffixes)]
        slug, data = _document(suffix, round(characters * rng.lognormvariate(0, 0.1)), rng)
        _write(folder, f"{index:06}-{slug}", suffix, data)


def write_mixed(folder: Path, plan: Plan, seed: int) -> None:
    """Files as ``plan`` says, in subfolders, with the same share of faults under every seed."""
    written: list[tuple[str, bytes]] = []
    for index, fate in enumerate(_fates(plan, Random(f"mixed {seed} fates"))):
        rng = Random(f"mixed {seed} {index}")
        suffix = rng.choices(list(FORMATS), plan.weights)[0]
        slug, data = _document(suffix, round(plan.characters * rng.lognormvariate(0, plan.spread)), rng)
        if fate == "duplicate" and written:
            suffix, data = rng.choice(written)
            slug = f"copy-of-{slug}"
        elif fate == "damaged":
            data, suffix = damage(data, suffix, rng)
        elif fate == "empty":
            data = b""
        else:
            written.append((suffix, data))
        _write(folder / f"{index % 10}", f"{index:06}-{slug}", suffix, data)


def _fates(plan: Plan, rng: Random) -> Iterator[str]:
    """What becomes of each document: exact shares, in random order."""
    fates = []
    for fate, share in (("duplicate", plan.duplicates), ("damaged", plan.damaged), ("empty", plan.empty)):
        fates += [fate] * round(plan.documents * share)
    fates += ["sound"] * (plan.documents - len(fates))
    rng.shuffle(fates)
    yield from fates


def _document(suffix: str, characters: int, rng: Random) -> tuple[str, bytes]:
    languages = PDF_LANGUAGES if suffix == ".pdf" else LANGUAGES
    article = write_article(rng, min(characters, _LARGEST_CHARACTERS), languages)
    return article.slug, FORMATS[suffix](article, rng)


def _write(folder: Path, name: str, suffix: str, data: bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}{suffix}").write_bytes(data)
