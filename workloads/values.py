"""The values that travel between the stages: plain dictionaries, so that any codec can keep them."""

from __future__ import annotations

from typing import TypedDict

__all__ = ["Chunked", "Extracted"]


class Extracted(TypedDict):
    """What ``extract`` finds in a document."""

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
