"""Text of any length in blocks: what ``decode`` makes of the whole, and never more than a block of it in memory.

What has been handed on can't be taken back. So the file is read twice: once to find out which encoding it really is
in, and what of it doesn't decode; and once to decode it.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from ..values import Extracted
from .text import SAMPLE_BYTES, bad_and_good, clean, guess_encoding, is_utf8, no_utf8, replaced

__all__ = ["decoded_blocks"]

BLOCK_BYTES = 2**16


def decoded_blocks(file: BinaryIO, encoding: str | None, start: int = 0) -> Iterator[Extracted]:
    """The text and warnings of ``decode``, in pieces; the warnings come last.

    Args:
        file: text in some encoding.
        encoding: which one, as a byte-order mark or the zeros between its letters say; ``None`` if nothing does.
        start: where the text begins, behind its mark.
    """
    errors = "strict"
    encoding, warnings = _chosen(file, start, encoding)
    if warnings:
        errors = "replace"
    for text in _cleaned(_decoded(file, start, encoding, errors)):
        yield {"text": text, "warnings": []}
    if warnings:
        yield {"text": "", "warnings": warnings}


def _chosen(file: BinaryIO, start: int, encoding: str | None) -> tuple[str, list[str]]:
    """The encoding to decode by, and warnings if it isn't the right one or some bytes don't decode."""
    said: list[str] = []
    if encoding in (None, "utf-8"):
        damage = _damage(file, start, "utf-8")
        if damage is None:
            return "utf-8", []
        if is_utf8(*damage):
            return "utf-8", [replaced(damage[0], "utf-8")]
        file.seek(start)
        claimed, encoding = encoding is not None, guess_encoding(file.read(SAMPLE_BYTES + 1))
        said = [no_utf8(encoding, claimed=claimed)]
    damage = _damage(file, start, str(encoding))
    return str(encoding), said + ([replaced(damage[0], str(encoding))] if damage else [])


def _damage(file: BinaryIO, start: int, encoding: str) -> tuple[int, int] | None:
    """Characters that are replaced in decoding, and other non-ASCII ones; ``None`` where all decodes."""
    try:
        for _ in _decoded(file, start, encoding, "strict"):
            pass
    except UnicodeDecodeError:
        counts = [bad_and_good(text) for text in _decoded(file, start, encoding, "replace")]
        return sum(bad for bad, _ in counts), sum(good for _, good in counts)
    return None


def _decoded(file: BinaryIO, start: int, encoding: str, errors: str) -> Iterator[str]:
    file.seek(start)
    decoder = codecs.getincrementaldecoder(encoding)(errors)
    while block := file.read(BLOCK_BYTES):
        yield decoder.decode(block)
    yield decoder.decode(b"", final=True)


def _cleaned(pieces: Iterable[str]) -> Iterator[str]:
    """What ``clean`` makes of all pieces together."""
    held, begins = "", True
    for piece in pieces:
        text = held + piece
        held = "\r" if text.endswith("\r") else ""  # half a line end, perhaps
        if cleaned := clean(text.removesuffix("\r"), begins=begins):
            begins = False
            yield cleaned
    if held:
        yield "\n"
