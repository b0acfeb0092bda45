"""An article as a web page, with the scripts, styles and navigation that real pages carry."""

from __future__ import annotations

from html import escape
from random import Random

from .article import Article

__all__ = ["write_html"]

_STYLE = (
    "body{max-width:42rem;margin:auto;font:1rem/1.5 serif}nav a{padding:.2rem}table{border-collapse:collapse}"
)
_SCRIPT = (
    "var dataLayer=dataLayer||[];function track(a,b){if(a<b){dataLayer.push('<p>'+a+'</p>')}}track(0,1);"
)


def write_html(article: Article, rng: Random) -> bytes:
    """The page in one of its language's encodings, which it names."""
    encoding = rng.choice(article.language.encodings)
    title = escape(article.title)
    sections = "\n".join(
        _section(i, heading, paragraphs, rng) for i, (heading, paragraphs) in enumerate(article.sections)
    )
    page = f"""<!DOCTYPE html>
<html lang="{article.language.code}">
<head>
<meta charset="{encoding}">
<title>{title}</title>
<style>{_STYLE}</style>
<script>{_SCRIPT}</script>
</head>
<body>
<nav><a href="/">1</a> <a href="/archive?page=2&amp;all">2</a> <a href="#s0">3</a></nav>
<main>
<h1>{title}</h1>
{sections}
{_table(article)}
</main>
<footer><small>&copy; {rng.randint(1998, 2024)}</small></footer>
</body>
</html>
"""
    return page.encode(encoding, "xmlcharrefreplace")


def _section(number: int, heading: str, paragraphs: tuple[str, ...], rng: Random) -> str:
    body = "\n".join(f"<p>{_inline(paragraph, rng)}</p>" for paragraph in paragraphs)
    return f'<section id="s{number}">\n<h2>{escape(heading)}</h2>\n{body}\n</section>'


def _inline(paragraph: str, rng: Random) -> str:
    """The paragraph with some words set apart, as in real pages."""
    words = escape(paragraph).split(" ")
    for _ in range(len(words) // 12):
        place = rng.randrange(len(words))
        if "<" not in words[place]:
            words[place] = rng.choice(("<em>{}</em>", "<b>{}</b>", '<a href="#s0">{}</a>')).format(
                words[place]
            )
    return " ".join(words)


def _table(article: Article) -> str:
    rows = ("".join(f"<td>{escape(cell)}</td>" for cell in row) for row in article.table)
    return "<table>\n" + "\n".join(f"<tr>{row}</tr>" for row in rows) + "\n</table>"
