"""An article as a Word document."""

from __future__ import annotations

import io
import zipfile
from random import Random

from docx import Document as WordDocument

from .article import Article

__all__ = ["write_docx"]

_EPOCH = (1980, 1, 1, 0, 0, 0)


def write_docx(article: Article, rng: Random) -> bytes:
    """Headings, paragraphs with bold words, and a table."""
    document = WordDocument()
    document.add_heading(article.title, 0)
    for heading, paragraphs in article.sections:
        document.add_heading(heading, 1)
        for text in paragraphs:
            middle = rng.randrange(len(text))
            paragraph = document.add_paragraph(text[:middle])
            paragraph.add_run(text[middle:]).bold = rng.random() < 0.2
    table = document.add_table(0, len(article.table[0]))
    for row in article.table:
        for cell, text in zip(table.add_row().cells, row, strict=True):
            cell.text = text
    packed = io.BytesIO()
    document.save(packed)
    return _with_fixed_times(packed.getvalue())


def _with_fixed_times(data: bytes) -> bytes:
    """The same package with every part's time set to the first that zip knows: the clock changes no byte."""
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
        for part in old.infolist():
            fixed = zipfile.ZipInfo(part.filename, _EPOCH)
            fixed.compress_type = zipfile.ZIP_DEFLATED
            fixed.create_system = 3
            new.writestr(fixed, old.read(part))
    return packed.getvalue()
