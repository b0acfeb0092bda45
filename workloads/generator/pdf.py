"""An article as a PDF, by ReportLab.

ReportLab is BSD-licensed, kept since 2000, and writes the same bytes each time with ``invariant=1``;
PDFium, which is here already, puts a random file identifier in what it saves. Its standard fonts hold
Western European letters only, so PDFs come in those languages.
"""

from __future__ import annotations

import io
import textwrap
from random import Random

from reportlab.lib.pagesizes import A4
from reportlab.pdfgen.canvas import Canvas

from .article import Article
from .words import LANGUAGES

__all__ = ["PDF_LANGUAGES", "write_pdf"]

PDF_LANGUAGES = tuple(language for language in LANGUAGES if language.code in ("en", "de", "fr", "es"))

_FONTS = (
    ("Helvetica", "Helvetica-Bold"),
    ("Times-Roman", "Times-Bold"),
    ("Helvetica-Oblique", "Helvetica-Bold"),
)
# Mean width of a character in units of the font's size. Measuring each word would take longer than all the
# rest.
_EM = 0.5
_MARGIN, _SIZE, _LEADING = 60, 10, 13


class _Page:
    """A place on the page that moves down with each line, and to the next page at its end."""

    def __init__(self, canvas: Canvas) -> None:
        self.canvas = canvas
        self.width = A4[0] - 2 * _MARGIN
        self.height = 0.0
        self.number = 0
        self.turn()

    def turn(self) -> None:
        if self.number:
            self.canvas.showPage()
        self.number += 1
        self.height = A4[1] - _MARGIN
        self.canvas.setFont("Helvetica", 8)
        self.canvas.drawRightString(A4[0] - _MARGIN, _MARGIN / 2, str(self.number))

    def write(self, text: str, font: str, size: int) -> None:
        for line in textwrap.wrap(text, int(self.width / size / _EM)):
            if self.height < _MARGIN:
                self.turn()
            self.canvas.setFont(font, size)
            self.canvas.drawString(_MARGIN, self.height, line)
            self.height -= _LEADING * size / _SIZE
        self.height -= _LEADING / 2


def write_pdf(article: Article, rng: Random) -> bytes:
    """Pages of A4 with headings, paragraphs and a table of lines."""
    packed = io.BytesIO()
    canvas = Canvas(packed, pagesize=A4, invariant=1, pageCompression=int(rng.random() < 0.8))
    canvas.setTitle(article.title)
    regular, bold = rng.choice(_FONTS)
    page = _Page(canvas)
    page.write(article.title, bold, 18)
    for heading, paragraphs in article.sections:
        page.write(heading, bold, 13)
        for paragraph in paragraphs:
            page.write(paragraph, regular, _SIZE)
    for row in article.table:
        page.write("   ".join(row), regular, _SIZE)
    canvas.save()
    return packed.getvalue()
