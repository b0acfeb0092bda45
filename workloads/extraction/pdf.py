"""PDF, by PDFium.

PDFium is not thread-safe, not even for two documents, and the finalizers of its Python objects run wherever
the garbage collector happens to. So every object is closed here, inside the call, in the order text page,
page, document; and the ``extract`` stage says ``thread_safe=False``.
"""

from __future__ import annotations

import pypdfium2
import pypdfium2.raw as pdfium

from ..values import Extracted
from .errors import DamagedDocument, EncryptedDocument, OversizedDocument
from .text import clean

__all__ = ["extract_pdf"]

MAX_PAGES = 50_000
MAX_CHARACTERS = 200_000_000

# A page tree may claim a million pages and hold none. After so many misses in a row the rest is taken as
# missing.
_GIVE_UP_AFTER = 1_000

# The whole plane: text beyond a page's edges, or on a page whose edges are damaged, is text as well.
_EVERYWHERE = {"left": -1e6, "bottom": -1e6, "right": 1e6, "top": 1e6}


def extract_pdf(data: bytes) -> Extracted:
    """The text of all pages, a blank line between two.

    Raises:
        DamagedDocument: PDFium finds no document in the bytes, or no page that can be loaded.
        EncryptedDocument: a password is needed, or the encryption isn't known.
        OversizedDocument: more than ``MAX_PAGES`` pages or ``MAX_CHARACTERS`` characters.
    """
    try:
        document = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        raise _translated(error, data) from error
    try:
        return _read_pages(document)
    finally:
        document.close()


def _read_pages(document: pypdfium2.PdfDocument) -> Extracted:
    count = len(document)
    texts: list[str] = []
    missing: list[int] = []
    characters = 0
    for index in range(count):
        try:
            text = _page_text(document, index)
        except pypdfium2.PdfiumError:
            missing.append(index + 1)
            if missing[-_GIVE_UP_AFTER:] == list(range(index + 2 - _GIVE_UP_AFTER, index + 2)):
                missing.extend(range(index + 2, count + 1))
                break
            continue
        characters += len(text)
        texts.append(text)
        if len(texts) > MAX_PAGES or characters > MAX_CHARACTERS:
            raise OversizedDocument(f"the PDF has over {MAX_PAGES:,} pages or {MAX_CHARACTERS:,} characters")
    if not texts:
        raise DamagedDocument(
            f"none of the PDF's {count:,} pages can be loaded" if count else "the PDF has no pages"
        )
    return {"text": "\n\n".join(filter(None, texts)), "warnings": _warnings(count, missing, characters)}


def _page_text(document: pypdfium2.PdfDocument, index: int) -> str:
    page = document.get_page(index)
    try:
        textpage = page.get_textpage()
        try:
            text: str = textpage.get_text_bounded(**_EVERYWHERE)
        finally:
            textpage.close()
    finally:
        page.close()
    # PDFium marks the hyphen of a word that goes on in the next line: the word becomes whole again.
    for mark in ("\x02", "\ufffe"):
        if mark in text:
            text = text.replace(f"{mark}\r\n", "").replace(mark, "")
    return clean(text).strip()


def _warnings(count: int, missing: list[int], characters: int) -> list[str]:
    warnings = []
    if missing:
        warnings.append(f"{len(missing):,} of {count:,} pages can't be loaded: {_ranges(missing)}")
    if not characters:
        warnings.append("no text on any page: scanned images, perhaps, that need OCR")
    return warnings


def _ranges(numbers: list[int], limit: int = 10) -> str:
    """Rising numbers in words: ``3, 7-9``; at most ``limit`` pieces."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    pieces = [str(first) if first == last else f"{first}-{last}" for first, last in runs[:limit]]
    return ", ".join(pieces) + (", ..." if len(runs) > limit else "")


def _translated(error: pypdfium2.PdfiumError, data: bytes) -> Exception:
    if error.err_code == pdfium.FPDF_ERR_PASSWORD:
        return EncryptedDocument("the PDF can't be opened without its password")
    if error.err_code == pdfium.FPDF_ERR_SECURITY:
        return EncryptedDocument("the PDF is encrypted by a scheme that PDFium doesn't know")
    if b"%PDF-" not in data[:1024]:
        return DamagedDocument("the file is no PDF: its %PDF header is missing")
    if error.err_code == pdfium.FPDF_ERR_PAGE:
        return DamagedDocument("the PDF's page tree is broken")
    if b"%%EOF" not in data[-1024:]:
        return DamagedDocument(
            "the PDF is cut off: the table of its objects, which stands at the end, is missing"
        )
    return DamagedDocument("the PDF's structure is broken: PDFium finds no document in it (format error)")
