"""The values that travel between the stages: plain dictionaries, so that any codec can keep them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypedDict

__all__ = ["Chunked", "Extracted", "joined"]


class Extracted(TypedDict):
    """What ``extract`` finds in a document; or one of the pieces that ``pages`` finds one after the other.

    The texts of all pieces, joined, are the document's text, and their warnings are its warnings.
    """

    text: str
    """Unicode that encodes as UTF-8, with ``\\n`` as the only line end."""
    warnings: list[str]
    """What is wrong or missing though the rest could be read; empty for a sound document."""


class Chunked(TypedDict):
    """What ``chunk`` makes of it."""

    characters: int
    """The length of the extracted text."""
    chunks: list[str]
    """Overlapping pieces of the text in its order; none for a text that is blank."""
    warnings: list[str]
    """Those of the extraction."""


def joined(pieces: Iterable[Extracted]) -> Extracted:
    """The pieces of a document as one."""
    texts: list[str] = []
    warnings: list[str] = []
    for piece in pieces:
        texts.append(piece["text"])
        warnings += piece["warnings"]
    return {"text": "".join(texts), "warnings": warnings}
