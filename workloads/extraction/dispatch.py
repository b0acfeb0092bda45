"""Which format a document really has: its first bytes are believed before its name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import BinaryIO

from dataflow import Document, stage
from dataflow.document import UNKNOWN_MEDIA_TYPE

from ..values import Extracted
from .docx import docx_pages, extract_docx
from .errors import EmptyDocument, EncryptedDocument, UnsupportedDocument
from .html import extract_html, html_pages
from .mail import extract_mail, mail_pages
from .pdf import extract_pdf, pdf_pages
from .plain import extract_plain, plain_pages
from .text import BINARY_SAMPLE_BYTES, looks_binary

__all__ = [
    "DOCX",
    "HTML",
    "MAIL",
    "MARKDOWN",
    "PDF",
    "PLAIN",
    "extract",
    "pages",
    "pages_of",
    "sniff",
    "text_of",
]

PDF = "application/pdf"
HTML = "text/html"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
MAIL = "message/rfc822"
MARKDOWN = "text/markdown"
PLAIN = "text/plain"

# From bytes to all of the text, and from an open file to its pieces.
_READERS: dict[str, tuple[Callable[[bytes], Extracted], Callable[[BinaryIO], Iterator[Extracted]]]] = {
    PDF: (extract_pdf, pdf_pages),
    HTML: (extract_html, html_pages),
    "application/xhtml+xml": (extract_html, html_pages),
    DOCX: (extract_docx, docx_pages),
    MAIL: (extract_mail, mail_pages),
    MARKDOWN: (extract_plain, plain_pages),
    PLAIN: (extract_plain, plain_pages),
}

# Formats that are recognised only to say what the file is.
_FOREIGN = (
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"II*\0", "a TIFF image"),
    (b"MM\0*", "a TIFF image"),
    (b"\x1f\x8b", "gzip data"),
    (b"BZh", "bzip2 data"),
    (b"\xfd7zXZ", "xz data"),
    (b"\x28\xb5\x2f\xfd", "zstd data"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"\x7fELF", "a program"),
    (b"PAR1", "a Parquet table"),
    (b"%!PS", "PostScript"),
    (b"{\\rtf", "RTF"),
)

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ENCRYPTED_STREAM = "EncryptedPackage".encode("utf-16-le")

_SNIFFED_BYTES = 1024
_HTML_START = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body)\b",
    re.I | re.S,
)
_MAIL_START = re.compile(
    rb"(?:From [^\n]*\n)?(?:Return-Path|Received|Delivered-To|Message-ID|MIME-Version|From|To|Subject|Date|"
    rb"X-[\w-]+|DKIM-Signature|Reply-To|Content-Type):[^\n]*\n(?:[ \t][^\n]*\n)*[\w-]+:",
    re.I,
)


@stage(thread_safe=False, document_fields=("media_type",))
def extract(data: bytes, document: Document) -> Extracted:
    """The text of a document in any of the six formats.

    The result depends on the bytes and on ``document.media_type`` alone.

    Raises:
        DocumentError: one of those in :mod:`.errors`, with the cause in its message.
    """
    return text_of(data, document.media_type)


def text_of(data: bytes, media_type: str = UNKNOWN_MEDIA_TYPE) -> Extracted:
    """The same for bytes whose name and origin don't matter."""
    if not data:
        raise EmptyDocument("the file is empty (0 bytes)")
    found = sniff(data, media_type)
    extracted = _READERS[found][0](data)
    if _is_misnamed(media_type, found):
        extracted["warnings"].insert(0, f"it is named as {media_type} and is {found}")
    return extracted


@stage(thread_safe=False, document_fields=("media_type",))
def pages(file: BinaryIO, document: Document) -> Iterator[Extracted]:
    """What ``extract`` finds, piece by piece, as far as the format allows: page by page, or block by block.

    Raises:
        DocumentError: the same as ``extract``; some only after pieces that could be read.
    """
    return pages_of(file, document.media_type)


def pages_of(file: BinaryIO, media_type: str = UNKNOWN_MEDIA_TYPE) -> Iterator[Extracted]:
    """The same for a file whose name and origin don't matter."""
    head = file.read(BINARY_SAMPLE_BYTES)
    if not head:
        raise EmptyDocument("the file is empty (0 bytes)")
    if head.startswith(_OLE):
        raise _ole(_holds(file, _ENCRYPTED_STREAM))
    found = sniff(head, media_type)
    del head
    if _is_misnamed(media_type, found):
        yield {"text": "", "warnings": [f"it is named as {media_type} and is {found}"]}
    file.seek(0)
    yield from _READERS[found][1](file)


def _is_misnamed(media_type: str, found: str) -> bool:
    return media_type in _READERS and _READERS[media_type] != _READERS[found]


def sniff(data: bytes, media_type: str = UNKNOWN_MEDIA_TYPE) -> str:
    """The media type to read the bytes as: what they begin with, else the name's, else plain text.

    Raises:
        EncryptedDocument: an Office document in an encrypted container.
        UnsupportedDocument: a known format that isn't read here.
    """
    head = data[:_SNIFFED_BYTES]
    if head.startswith(b"PK\x03\x04") or head.startswith(b"PK\x05\x06"):
        return DOCX  # any other zip archive is told by its members, and refused, there
    if head.startswith(_OLE):
        raise _ole(_ENCRYPTED_STREAM in data)
    for magic, name in _FOREIGN:
        if head.startswith(magic):
            raise UnsupportedDocument(f"the file is {name}, which isn't read here")
    if b"%PDF-" in head and not (media_type in (HTML, MAIL, MARKDOWN, PLAIN) and head.find(b"%PDF-") > 8):
        return PDF
    if media_type in (MARKDOWN, PLAIN, MAIL, HTML, "application/xhtml+xml"):
        return media_type
    if _HTML_START.match(head):
        return HTML
    if media_type in (PDF, DOCX, UNKNOWN_MEDIA_TYPE) and _MAIL_START.match(head.replace(b"\r\n", b"\n")):
        return MAIL
    if media_type in (PDF, DOCX):
        return media_type  # its own reader says what is missing
    if media_type != UNKNOWN_MEDIA_TYPE and looks_binary(data):
        raise UnsupportedDocument(f"files of type {media_type} aren't read here")
    return PLAIN


def _ole(encrypted: bool) -> Exception:
    if encrypted:
        return EncryptedDocument("the Office document is encrypted with a password")
    return UnsupportedDocument("the file is a legacy Office document (.doc, .xls, .ppt); save it as .docx")


def _holds(file: BinaryIO, wanted: bytes) -> bool:
    """Whether the bytes stand anywhere in a file."""
    file.seek(0)
    tail = b""
    while block := file.read(BINARY_SAMPLE_BYTES):
        if wanted in tail + block:
            return True
        tail = block[-len(wanted) :]
    return False
