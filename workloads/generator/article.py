"""What a generated document says, before it has a format."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from .words import LANGUAGES, Language, sentence

__all__ = ["Article", "write_article"]


@dataclass(frozen=True, slots=True)
class Article:
    """A title, and sections of a heading, paragraphs and perhaps a table.

    Attributes:
        language: of all its text.
        title: one sentence without its end.
        sections: headings with their paragraphs.
        table: rows of cells; the first row names the columns.
    """

    language: Language
    title: str
    sections: tuple[tuple[str, tuple[str, ...]], ...]
    table: tuple[tuple[str, ...], ...]

    @property
    def slug(self) -> str:
        """The title's first ASCII words, for a file name."""
        words = (
            "".join(c for c in word if c.isascii() and c.isalnum()) for word in self.title.lower().split()
        )
        return "-".join([word for word in words if len(word) > 1][:4]) or f"report-{self.language.code}"


def write_article(rng: Random, characters: int, languages: tuple[Language, ...] = LANGUAGES) -> Article:
    """An article of about so many characters in one of the languages."""
    language = rng.choice(languages)
    sections = []
    left = characters
    while left > 0:
        paragraphs = []
        for _ in range(rng.randint(3, 9)):
            paragraphs.append(_paragraph(language, rng))
            left -= len(paragraphs[-1])
            if left <= 0:
                break
        sections.append((_heading(language, rng), tuple(paragraphs)))
    return Article(language, _heading(language, rng), tuple(sections), _table(language, rng))


def _paragraph(language: Language, rng: Random) -> str:
    return "".join(sentence(language, rng) for _ in range(rng.randint(3, 8))).rstrip()


def _heading(language: Language, rng: Random) -> str:
    return sentence(language, rng).rstrip().rstrip(".。")


def _table(language: Language, rng: Random) -> tuple[tuple[str, ...], ...]:
    rows = [("№" if language.code == "ru" else "No.", language.who[0], language.what[0])]
    for number in range(1, rng.randint(3, 12)):
        rows.append((str(number), rng.choice(language.who), f"{rng.randint(10, 99_999):,}"))
    return tuple(rows)
