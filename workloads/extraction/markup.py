"""HTML tags without a parser: a linear scan that guards the parser and stands in for it.

By the HTML standard a tree builder walks its stack of open elements at each tag, and copies formatting
elements that were left open into each new paragraph. So 100,000 nested ``<div>`` take it a quarter of a
minute, and a page of 200 kB can make it fill the memory. The scan here tells such pages beforehand.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from html import unescape

from .text import words

__all__ = ["DROPPED", "parse_steps", "text_without_parser"]

DROPPED = ("script", "style", "noscript", "template")
"""Elements whose content is no text of the page."""

# Neither a missing ">" nor a missing quote may make one match run over the next: else the scan is quadratic.
_TAG = re.compile(r"<(?:(!--)|(/?)([a-zA-Z][^\s/<>]*)[^<>]*>?)")

# Their content is text up to their own end tag, whatever looks like a tag in it.
_RAW = frozenset(("script", "style", "textarea", "title", "xmp", "iframe", "noembed", "noframes"))

# They never stay open: void elements, and those that the next of their kind closes.
_SELF_CLOSING = words(
    "area base br col embed hr img input link meta param source track wbr p li dt dd tr td th thead tbody "
    "tfoot option optgroup rt rp html head body "
)

_FORMATTING = words("a b big code em font i nobr s small strike strong tt u ")
_FORMATTING_WEIGHT = 25  # a copied element costs about as much as so many steps along the stack

# So few tags can't be slow, however they are nested.
_HARMLESS_TAGS = 3_000


def parse_steps(markup: str) -> int:
    """The steps that a tree builder takes along its stack of open elements; 0 for a page of few tags."""
    if markup.count("<") < _HARMLESS_TAGS:
        return 0
    still_open: Counter[str] = Counter()
    depth = steps = 0
    for _, _, closing, name in _tags(markup):
        if name not in _SELF_CLOSING:
            weight = _FORMATTING_WEIGHT if name in _FORMATTING else 1
            if not closing:
                still_open[name] += 1
                depth += weight
            elif still_open[name]:
                still_open[name] -= 1
                depth -= weight
        steps += depth
    return steps


def text_without_parser(markup: str) -> str:
    """The text between the tags, each tag a line break; for pages that no parser should see."""
    pieces = []
    position = 0
    dropping = ""
    for start, end, closing, name in _tags(markup):
        if not dropping:
            pieces.append(unescape(markup[position:start]))
            dropping = name if name in DROPPED and not closing else ""
        elif closing and name == dropping:
            dropping = ""
        position = end
    if not dropping:
        pieces.append(unescape(markup[position:]))
    lines = (" ".join(piece.split()) for piece in pieces)
    return "\n".join(filter(None, lines))


def _tags(markup: str) -> Iterator[tuple[int, int, bool, str]]:
    """Each tag's start, end, whether it closes, and lower-case name; comments as a tag named ``!--``."""
    position = 0
    while match := _TAG.search(markup, position):
        start, position = match.span()
        if match[1]:
            end = markup.find("-->", position)
            position = len(markup) if end < 0 else end + 3
            yield start, position, False, "!--"
            continue
        name = match[3].lower()
        yield start, position, bool(match[2]), name
        if name in _RAW and not match[2]:
            end_tag = re.compile(rf"</{name}(?=[\s/>])", re.IGNORECASE).search(markup, position)
            position = end_tag.start() if end_tag else len(markup)
