"""PDF, by PDFium.

PDFium is not thread-safe, not even for two documents, and the finalizers of its Python objects run wherever
the garbage collector happens to. So every object is closed here, inside the call, in the order text page,
page, document; and the stages say ``thread_safe=False``.

PDFium keeps every object that it has read until the document is closed: at the end, all images of a scanned book.
A document that is read from an open file is closed and opened again now and then, so that it stays small.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

from ..values import Extracted, joined
from .errors import DamagedDocument, EncryptedDocument, OversizedDocument
from .text import clean

if TYPE_CHECKING:
    import pypdfium2  # where it is needed: loading it takes longer than many a page, and many corpora hold no PDF

__all__ = ["extract_pdf", "pdf_pages"]

MAX_PAGES = 50_000
MAX_CHARACTERS = 200_000_000

REOPEN_BYTES = 16 * 2**20
"""A document is opened again after so many bytes were read of it."""

# A page tree may claim a million pages and hold none. After so many misses in a row the rest is taken as
# missing.
_GIVE_UP_AFTER = 1_000

# The whole plane: text beyond a page's edges, or on a page whose edges are damaged, is text as well.
_EVERYWHERE = {"left": -1e6, "bottom": -1e6, "right": 1e6, "top": 1e6}

_LOOKED_AT_BYTES = 1024


def extract_pdf(data: bytes) -> Extracted:
    """The text of all pages, a blank line between two.

    Raises:
        DamagedDocument: PDFium finds no document in the bytes, or no page that can be loaded.
        EncryptedDocument: a password is needed, or the encryption isn't known.
        OversizedDocument: more than ``MAX_PAGES`` pages or ``MAX_CHARACTERS`` characters.
    """
    return joined(_pages(_Document(data)))


def pdf_pages(file: BinaryIO) -> Iterator[Extracted]:
    """The same, a piece a page, from an open file; one page at a time is open.

    Raises:
        Exception: as :func:`extract_pdf`, and whatever reading the file raises.
    """
    yield from _pages(_Document(_Watched(file)))


class _Watched:
    """A file as PDFium reads it, through a callback that no exception may leave.

    Attributes:
        read_bytes: how many were read.
        error: why a read failed, if one did.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.seek, self.tell, self.read = file.seek, file.tell, file.read
        self._readinto = file.readinto  # type: ignore[attr-defined]
        self.read_bytes = 0
        self.error: Exception | None = None

    def readinto(self, buffer: object) -> int:
        """Read into a buffer; 0 bytes where that fails."""
        try:
            count = int(self._readinto(buffer))
        except Exception as error:
            self.error = error
            return 0
        self.read_bytes += count
        return count


class _Document:
    """A PDF that is open in PDFium, until it is closed."""

    def __init__(self, source: bytes | _Watched) -> None:
        self._source = source
        self._read_before = 0
        self._document = self._opened()

    def __len__(self) -> int:
        return len(self._document)

    def text(self, index: int) -> str:
        """The text of a page.

        Raises:
            pypdfium2.PdfiumError: it can't be loaded.
        """
        import pypdfium2

        source = self._source
        if isinstance(source, _Watched) and source.read_bytes - self._read_before > REOPEN_BYTES:
            self._document.close()
            self._document = self._opened()
        try:
            return _page_text(self._document, index)
        except pypdfium2.PdfiumError:
            self._check_file()
            raise

    def close(self) -> None:
        """Close it."""
        self._document.close()

    def _opened(self) -> pypdfium2.PdfDocument:
        import pypdfium2

        try:
            document = pypdfium2.PdfDocument(self._source)
        except pypdfium2.PdfiumError as error:
            self._check_file()
            raise _translated(error, *self._ends()) from error
        if isinstance(self._source, _Watched):
            self._read_before = self._source.read_bytes
        return document

    def _check_file(self) -> None:
        """What PDFium takes for damage may be a read that failed."""
        if isinstance(self._source, _Watched) and self._source.error:
            raise self._source.error

    def _ends(self) -> tuple[bytes, bytes]:
        """The first and the last bytes."""
        if isinstance(self._source, bytes):
            return self._source[:_LOOKED_AT_BYTES], self._source[-_LOOKED_AT_BYTES:]
        size = self._source.seek(0, io.SEEK_END)
        self._source.seek(0)
        head = self._source.read(_LOOKED_AT_BYTES)
        self._source.seek(max(0, size - _LOOKED_AT_BYTES))
        return head, self._source.read(_LOOKED_AT_BYTES)


def _pages(document: _Document) -> Iterator[Extracted]:
    """A piece for each page that has text, and one of warnings if there are any; the document is closed then."""
    import pypdfium2

    try:
        count = len(document)
        loaded = characters = 0
        missing: list[list[int]] = []  # first and last of pages in a row
        for index in range(count):
            try:
                text = document.text(index)
            except pypdfium2.PdfiumError:
                if _note_missing(missing, index + 1) >= _GIVE_UP_AFTER:
                    missing[-1][1] = count
                    break
                continue
            loaded += 1
            if loaded > MAX_PAGES or characters + len(text) > MAX_CHARACTERS:
                raise OversizedDocument(
                    f"the PDF has over {MAX_PAGES:,} pages or {MAX_CHARACTERS:,} characters"
                )
            if text:
                yield {"text": f"\n\n{text}" if characters else text, "warnings": []}
            characters += len(text)
        if not loaded:
            raise DamagedDocument(
                f"none of the PDF's {count:,} pages can be loaded" if count else "the PDF has no pages"
            )
        yield {"text": "", "warnings": _warnings(count, missing, characters)}
    finally:
        document.close()


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


def _note_missing(missing: list[list[int]], number: int) -> int:
    """Note that a page can't be loaded; returns how many in a row can't by now."""
    if missing and number == missing[-1][1] + 1:
        missing[-1][1] = number
    else:
        missing.append([number, number])
    return missing[-1][1] - missing[-1][0] + 1


def _warnings(count: int, missing: list[list[int]], characters: int) -> list[str]:
    warnings = []
    if missing:
        pages = sum(last - first + 1 for first, last in missing)
        warnings.append(f"{pages:,} of {count:,} pages can't be loaded: {_ranges(missing)}")
    if not characters:
        warnings.append("no text on any page: scanned images, perhaps, that need OCR")
    return warnings


def _ranges(runs: list[list[int]], limit: int = 10) -> str:
    """Runs of numbers in words: ``3, 7-9``; at most ``limit`` pieces."""
    pieces = [str(first) if first == last else f"{first}-{last}" for first, last in runs[:limit]]
    return ", ".join(pieces) + (", ..." if len(runs) > limit else "")


def _translated(error: pypdfium2.PdfiumError, head: bytes, tail: bytes) -> Exception:
    import pypdfium2.raw as pdfium

    if error.err_code == pdfium.FPDF_ERR_PASSWORD:
        return EncryptedDocument("the PDF can't be opened without its password")
    if error.err_code == pdfium.FPDF_ERR_SECURITY:
        return EncryptedDocument("the PDF is encrypted by a scheme that PDFium doesn't know")
    if b"%PDF-" not in head:
        return DamagedDocument("the file is no PDF: its %PDF header is missing")
    if error.err_code == pdfium.FPDF_ERR_PAGE:
        return DamagedDocument("the PDF's page tree is broken")
    if b"%%EOF" not in tail:
        return DamagedDocument(
            "the PDF is cut off: the table of its objects, which stands at the end, is missing"
        )
    return DamagedDocument("the PDF's structure is broken: PDFium finds no document in it (format error)")
