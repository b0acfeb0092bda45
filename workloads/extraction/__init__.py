"""Text out of documents: PDF, HTML, DOCX, mail, Markdown and plain text.

``extract`` is the stage; ``text_of(data, media_type)`` does the same for anyone who has bytes at hand. Each
format is one module with one function from bytes to :class:`~..values.Extracted`.
"""

from __future__ import annotations

from .dispatch import extract, sniff, text_of
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
    "sniff",
    "text_of",
]
