"""A text in overlapping chunks that end where paragraphs, lines or sentences end.

One pass from left to right: each chunk costs a few searches in a window of fixed length, so the time is
linear in the text, also for ten megabytes without a single blank.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator

from dataflow import stage

from .values import Chunked, Extracted

__all__ = [
    "MAXIMUM_CHARACTERS",
    "OVERLAP_CHARACTERS",
    "TARGET_CHARACTERS",
    "chunk",
    "chunk_pages",
    "split",
    "split_pieces",
]

TARGET_CHARACTERS = 1_000
"""A chunk ends at the last good place before this length."""

MAXIMUM_CHARACTERS = 1_500
"""It may grow to this length to end with its sentence, and never beyond."""

OVERLAP_CHARACTERS = 150
"""About so much of a chunk's end stands again at the start of the next."""

_NOT_BLANK = re.compile(r"\S")
_PARAGRAPH_END = re.compile(r"\n[^\S\n]*\n\s*")
_LINE_END = re.compile(r"\n\s*")
_SENTENCE_END = re.compile(r"[.!?…؟][\"'”’»)\]]*\s+|[。！？]+[」』）]*")  # noqa: RUF001
_WORD_END = re.compile(r"\s+")

# A combining mark, joiner or selector belongs to the character before it.
_JOINER = "\u200d"
_EXTENDING = frozenset((_JOINER, "\ufe0e", "\ufe0f", *map(chr, range(0x1F3FB, 0x1F400))))
_FLAG_LETTERS = range(0x1F1E6, 0x1F200)
_LONGEST_CLUSTER = 32


@stage
def chunk(extracted: Extracted) -> Chunked:
    """Cut the extracted text in chunks; the warnings go along."""
    text = extracted["text"]
    return {"characters": len(text), "chunks": split(text), "warnings": extracted["warnings"]}


@stage
def chunk_pages(pages: Iterable[Extracted]) -> Chunked:
    """Cut a text that comes in pieces in chunks, the same as ``chunk`` cuts the whole in; the warnings go along."""
    warnings: list[str] = []
    characters = 0

    def texts() -> Iterator[str]:
        nonlocal characters
        for piece in pages:
            warnings.extend(piece["warnings"])
            characters += len(piece["text"])
            yield piece["text"]

    chunks = list(split_pieces(texts()))
    return {"characters": characters, "chunks": chunks, "warnings": warnings}


def split(
    text: str,
    target: int = TARGET_CHARACTERS,
    maximum: int = MAXIMUM_CHARACTERS,
    overlap: int = OVERLAP_CHARACTERS,
) -> list[str]:
    """Cut a text in chunks.

    Args:
        text: any Unicode.
        target: characters after which a chunk ends at the last end of a paragraph, line or sentence.
        maximum: characters that no chunk exceeds.
        overlap: characters that two neighbours share at most.

    Returns:
        Slices of the text in its order, without blanks at their ends. Every character that isn't blank is
        in one.

    Raises:
        ValueError: not ``0 <= overlap <= target / 2`` and ``2 <= target <= maximum``.
    """
    return list(split_pieces([text], target, maximum, overlap))


def split_pieces(
    pieces: Iterable[str],
    target: int = TARGET_CHARACTERS,
    maximum: int = MAXIMUM_CHARACTERS,
    overlap: int = OVERLAP_CHARACTERS,
) -> Iterator[str]:
    """The chunks of a text that comes in pieces: those of :func:`split`, wherever it is cut.

    A chunk depends on the ``maximum`` after its start and on what isn't blank next, so no more is held of the text
    than that, and the piece that it ends in.

    Raises:
        ValueError: as :func:`split`.
    """
    return (chunk for _, chunk in _placed(pieces, target, maximum, overlap))


def spans(text: str, target: int, maximum: int, overlap: int) -> Iterator[tuple[int, int]]:
    """Where the chunks of :func:`split` start and end."""
    return ((start, start + len(chunk)) for start, chunk in _placed([text], target, maximum, overlap))


def _placed(pieces: Iterable[str], target: int, maximum: int, overlap: int) -> Iterator[tuple[int, str]]:
    """Each chunk, and where it starts in the text."""
    if not 2 <= target <= maximum or not 0 <= overlap <= target // 2:
        raise ValueError(f"no chunks of {target} to {maximum} characters with an overlap of {overlap}.")
    window = _Window(pieces)
    start = window.next_not_blank(0)
    while start is not None:
        start = window.need(start, maximum)
        text = window.text
        end = len(text) if len(text) - start <= target else _end(text, start, target, maximum)
        yield window.before + start, text[start:end].rstrip()
        following = window.next_not_blank(end)
        if following is None:
            return
        start = _start(window.text, start, end, overlap) if overlap else following


class _Window:
    """The part of a text that is looked at; it grows at its end, and is cut off at its start when it grows.

    Attributes:
        text: the part.
        before: characters that were cut off.
    """

    def __init__(self, pieces: Iterable[str]) -> None:
        self._pieces = iter(pieces)
        self.text = ""
        self.before = 0

    def need(self, start: int, length: int) -> int:
        """Grow until more than ``length`` follow ``start``, or the text ends; returns where ``start`` is then."""
        missing = start + length + 1 - len(self.text)
        more: list[str] = []
        while missing > 0 and (piece := next(self._pieces, None)) is not None:
            more.append(piece)
            missing -= len(piece)
        if not more:
            return start
        cut = max(0, start - _LONGEST_CLUSTER - 1)  # a visible character may begin before the place
        self.text = self.text[cut:] + "".join(more)
        self.before += cut
        return start - cut

    def next_not_blank(self, place: int) -> int | None:
        """The next place that isn't blank, ``None`` if there is none; grows as far as it has to."""
        found = _next_not_blank(self.text, place)
        if found < len(self.text):
            return found
        more: list[str] = []
        for piece in self._pieces:
            more.append(piece)
            if _NOT_BLANK.search(piece):
                break
        self.text += "".join(more)
        found = _next_not_blank(self.text, found)
        return found if found < len(self.text) else None


def _end(text: str, start: int, target: int, maximum: int) -> int:
    """Where the chunk that begins at ``start`` ends: never at ``start``, never beyond the maximum."""
    half, goal, limit = start + target // 2 + 1, start + target, start + maximum
    for bound in (_PARAGRAPH_END, _LINE_END, _SENTENCE_END):
        if end := _last(bound, text, half, goal):
            return end
    if limit >= len(text):
        return len(text)
    for bound in (_LINE_END, _SENTENCE_END):
        if match := bound.search(text, goal, limit):
            return match.end()
    return _last(_WORD_END, text, half, goal) or _between_characters(text, half, goal)


def _last(bound: re.Pattern[str], text: str, low: int, high: int) -> int:
    """The end of the last match between two places; 0 if there is none."""
    end = 0
    for match in bound.finditer(text, low - 1, high):
        end = match.end()
    return end


def _start(text: str, start: int, end: int, overlap: int) -> int:
    """Where the next chunk begins: at a sentence or word not more than the overlap before this one's end."""
    low = max(end - overlap, start + 1)
    for bound in (_SENTENCE_END, _LINE_END, _WORD_END):
        if (match := bound.search(text, low - 1, end)) and match.end() < end:
            return match.end()
    places = range(low, min(low + _LONGEST_CLUSTER, end))
    whole = next((place for place in places if not _inside_character(text, place)), low)
    return _next_not_blank(text, whole)


def _between_characters(text: str, low: int, place: int) -> int:
    """The nearest place at or before ``place``, not before ``low``, that divides no visible character."""
    for candidate in range(place, max(low, place - _LONGEST_CLUSTER) - 1, -1):
        if not _inside_character(text, candidate):
            return candidate
    return place


def _inside_character(text: str, place: int) -> bool:
    if not 0 < place < len(text):
        return False
    before, after = text[place - 1], text[place]
    if after < "\u0300":
        return False
    if after in _EXTENDING or before == _JOINER or unicodedata.category(after).startswith("M"):
        return True
    if "\u1160" <= after <= "\u11ff":  # the second or third letter of a Korean syllable
        return True
    return _flag_letters_before(text, place) % 2 == 1 and ord(after) in _FLAG_LETTERS


def _flag_letters_before(text: str, place: int) -> int:
    count = 0
    while count < min(place, _LONGEST_CLUSTER) and ord(text[place - 1 - count]) in _FLAG_LETTERS:
        count += 1
    return count


def _next_not_blank(text: str, place: int) -> int:
    match = _NOT_BLANK.search(text, place)
    return match.start() if match else len(text)
