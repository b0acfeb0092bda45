"""Plain text and Markdown, in whatever encoding. Markdown stays as it is: it was made to be read so."""

from __future__ import annotations

from ..values import Extracted
from .errors import UnsupportedDocument
from .text import decode, looks_binary, unmarked_wide_encoding, without_bom

__all__ = ["extract_plain"]


def extract_plain(data: bytes) -> Extracted:
    """Decode text that names its encoding by a byte-order mark, or not at all.

    Raises:
        UnsupportedDocument: the bytes are no text.
    """
    encoding = without_bom(data)[1] or unmarked_wide_encoding(data)
    if encoding is None and looks_binary(data):
        raise UnsupportedDocument("the file holds binary data and is no format that is read here")
    text, warnings = decode(data, encoding)
    return {"text": text, "warnings": warnings}
