"""HTML, by Lexbor: the text a reader sees, with a line for each block and a blank line between paragraphs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import SEEK_END
from typing import BinaryIO

from selectolax.lexbor import LexborHTMLParser

from ..values import Extracted
from .errors import OversizedDocument, UnsupportedDocument
from .markup import DROPPED, parse_steps, text_without_parser
from .text import clean, decode, looks_binary, unmarked_wide_encoding, without_bom, words

__all__ = ["extract_html", "html_pages", "html_text"]

MAX_BYTES = 64 * 2**20
"""The tree takes some twenty times the page's size."""

MAX_PARSE_STEPS = 50_000_000
"""About a quarter of a second. A page of sound HTML with 100,000 tags takes a tenth of it."""

# Control characters, which no HTML text may hold, stand for breaks while the text is still one string.
_PARAGRAPH, _LINE, _CELL, _VERBATIM = "\x1d", "\x1e", "\x1f", "\x1c"

_PARAGRAPHS = words(
    "address article aside blockquote dl fieldset figure footer form h1 h2 h3 h4 h5 h6 header hr main nav "
    "ol p section table title ul "
)
_LINES = words("caption center dd details dialog dir div dt figcaption legend li menu optgroup summary tr ")
_BEFORE_AND_AFTER = (
    dict.fromkeys(
        _PARAGRAPHS,
        (_PARAGRAPH, _PARAGRAPH),
    )
    | dict.fromkeys(("br", "option"), ("", _LINE))
    | dict.fromkeys(
        _LINES,
        (_LINE, _LINE),
    )
    | dict.fromkeys(("td", "th"), ("", _CELL))
    | {"pre": (_PARAGRAPH + _VERBATIM, _PARAGRAPH)}
)

_TOO_DEEP = "its tags are nested too deep for a parser; they were dropped"

_PRESCAN_BYTES = 4096
_CHARSET = re.compile(
    rb"<(?:meta|\?xml)\b[^>]{0,1000}?(?:charset|encoding)\s*=\s*[\"']?\s*([\w.:-]{1,40})", re.IGNORECASE
)


def extract_html(data: bytes, label: str | None = None) -> Extracted:
    """The text of a page, its title first.

    The encoding is that of the byte-order mark, of the label, of ``<meta charset>``, else UTF-8, else one
    that fits.

    Args:
        data: the page.
        label: the encoding that a mail's header names.

    Raises:
        OversizedDocument: more than ``MAX_BYTES``.
        UnsupportedDocument: the bytes are no text.
    """
    _check_size(len(data))
    if looks_binary(data) and not (without_bom(data)[1] or unmarked_wide_encoding(data)):
        raise UnsupportedDocument("the file is named as a web page and holds binary data")
    markup, warnings = decode(data, label or _declared(data) or unmarked_wide_encoding(data))
    text, more = html_text(markup)
    return {"text": text, "warnings": warnings + more}


def html_pages(file: BinaryIO) -> Iterator[Extracted]:
    """The same in one piece: a tree is built of the whole page, and any end tag may change what came before it."""
    _check_size(file.seek(0, SEEK_END))
    file.seek(0)
    yield extract_html(file.read())


def _check_size(size: int) -> None:
    if size > MAX_BYTES:
        raise OversizedDocument(f"the page has {size:,} bytes; at most {MAX_BYTES:,} are parsed")


def _declared(data: bytes) -> str | None:
    match = _CHARSET.search(data[:_PRESCAN_BYTES])
    if not match:
        return None
    label = match[1].decode("ascii", "replace")
    # Who can read the label as ASCII knows that these are wrong.
    return "utf-8" if label.lower().startswith(("utf-16", "utf-32")) else label


def html_text(markup: str) -> tuple[str, list[str]]:
    """The text of a page that is decoded already, and warnings."""
    if parse_steps(markup) > MAX_PARSE_STEPS:
        return clean(text_without_parser(markup)), [_TOO_DEEP]
    tree = LexborHTMLParser(markup)
    tree.strip_tags(list(DROPPED))
    root = tree.root
    if root is None:
        return "", []
    # The list comes first: a node put in behind the walker would be walked over as well.
    for node, tag in [(node, tag) for node in root.traverse() if (tag := node.tag) in _BEFORE_AND_AFTER]:
        before, after = _BEFORE_AND_AFTER[tag]
        if before:
            node.insert_before(before)
        if after:
            node.insert_after(after)
    return clean(_laid_out(root.text())), []


def _laid_out(text: str) -> str:
    """Turn the marks into line breaks, and runs of blanks into one space."""
    paragraphs = [
        _verbatim(paragraph) if paragraph[0] == _VERBATIM else _lines(paragraph)
        for paragraph in text.split(_PARAGRAPH)
        if paragraph and (paragraph[0] == _VERBATIM or not paragraph.isspace())
    ]
    return "\n\n".join(filter(None, paragraphs))


def _lines(paragraph: str) -> str:
    lines = [_cells(line) if _CELL in line else " ".join(line.split()) for line in paragraph.split(_LINE)]
    return "\n".join(filter(None, lines))


def _cells(line: str) -> str:
    return "\t".join([" ".join(cell.split()) for cell in line.split(_CELL)]).strip("\t")


def _verbatim(paragraph: str) -> str:
    text = paragraph.replace(_VERBATIM, "").replace(_LINE, "\n").replace(_CELL, "\t")
    return text.rstrip().lstrip("\r\n")
