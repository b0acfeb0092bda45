"""An article as Markdown and as plain text."""

from __future__ import annotations

import codecs
import textwrap
from random import Random

from .article import Article

__all__ = ["as_text", "write_markdown", "write_plain"]


def write_markdown(article: Article, rng: Random) -> bytes:
    """Markdown in UTF-8, as all tools write it, sometimes with a byte-order mark."""
    parts = [f"# {article.title}", f"*{rng.randint(1, 28)}.{rng.randint(1, 12)}.{rng.randint(1998, 2024)}*"]
    for heading, paragraphs in article.sections:
        parts += [f"## {heading}", *paragraphs]
    header, *rows = ["| " + " | ".join(row) + " |" for row in article.table]
    parts.append("\n".join([header, "|---|---|---|", *rows]))
    mark = codecs.BOM_UTF8 if rng.random() < 0.1 else b""
    return mark + ("\n\n".join(parts) + "\n").encode()


def write_plain(article: Article, rng: Random) -> bytes:
    """Plain text in one of its language's encodings or UTF-16, with either line end."""
    text = as_text(article)
    if rng.random() < 0.3:
        text = text.replace("\n", "\r\n")
    if rng.random() < 0.1:
        return codecs.BOM_UTF16_LE + text.encode("utf-16-le")
    return text.encode(rng.choice(article.language.encodings), "replace")


def as_text(article: Article) -> str:
    """The article in lines of 78 characters."""
    parts = [article.title.upper()]
    for heading, paragraphs in article.sections:
        parts += [heading, *(textwrap.fill(paragraph, 78) for paragraph in paragraphs)]
    parts.append("\n".join("\t".join(row) for row in article.table))
    return "\n\n".join(parts) + "\n"
