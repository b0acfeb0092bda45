"""Text out of documents: PDF, HTML, DOCX, mail, Markdown and plain text.

``extract`` is the stage; ``text_of(data, media_type)`` does the same for anyone who has bytes at hand. ``pages`` and
``pages_of`` find the same piece by piece, in an open file. Each format is one module with two functions, from bytes to
:class:`~..values.Extracted` and from an open file to an iterator of them.
"""

from __future__ import annotations

from .dispatch import extract, pages, pages_of, sniff, text_of
from .errors import (
    DamagedDocument,
    EmptyDocument,
    EncryptedDocument,
    OversizedDocument,
    UnsupportedDocument,
)

__all__ = [
    "DamagedDocument",
    "EmptyDocument",
    "EncryptedDocument",
    "OversizedDocument",
    "UnsupportedDocument",
    "extract",
    "pages",
    "pages_of",
    "sniff",
    "text_of",
]
