"""Plain text and Markdown, in whatever encoding. Markdown stays as it is: it was made to be read so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from ..values import Extracted
from .blocks import decoded_blocks
from .errors import UnsupportedDocument
from .text import BINARY_SAMPLE_BYTES, decode, looks_binary, unmarked_wide_encoding, without_bom

__all__ = ["extract_plain", "plain_pages"]


def extract_plain(data: bytes) -> Extracted:
    """Decode text that names its encoding by a byte-order mark, or not at all.

    Raises:
        UnsupportedDocument: the bytes are no text.
    """
    text, warnings = decode(data, _encoding(data))
    return {"text": text, "warnings": warnings}


def plain_pages(file: BinaryIO) -> Iterator[Extracted]:
    """The same in blocks, of a file at its beginning."""
    head = file.read(BINARY_SAMPLE_BYTES)
    encoding = _encoding(head)
    start = len(head) - len(without_bom(head)[0])
    del head  # of all blocks, only the one that is at work stays
    yield from decoded_blocks(file, encoding, start)


def _encoding(head: bytes) -> str | None:
    encoding = without_bom(head)[1] or unmarked_wide_encoding(head)
    if encoding is None and looks_binary(head):
        raise UnsupportedDocument("the file holds binary data and is no format that is read here")
    return encoding
