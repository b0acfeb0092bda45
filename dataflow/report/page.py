"""The page: sections and pictures as one HTML file that needs no network and asks for none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib import resources
from typing import Any

from dataflow.report.advice import Advice
from dataflow.report.markup import Html, Section, escape, legend, paragraph, script_json
from dataflow.report.plots import Picture

__all__ = ["page"]

# A browser that obeys this can't be made to fetch anything, whatever the data says.
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data: blob:; font-src data:"
)  # fmt: skip


def page(
    title: str, subtitle: str, advice: Sequence[Advice], notes: Sequence[str], sections: Sequence[Section]
) -> str:
    """The whole HTML text.

    Args:
        title: the run's name.
        subtitle: what it was, in one line.
        advice: the verdicts, on top.
        notes: what went otherwise than asked for, below them.
        sections: what follows, in order.
    """
    figures = _Figures()
    body = "".join(_section(section, figures) for section in sections)
    links = "".join(f'<a href="#{s.anchor}">{escape(s.title)}</a>' for s in sections)
    return _PAGE.format(
        policy=_POLICY,
        title=escape(title),
        subtitle=escape(subtitle),
        style=_own("page.css"),
        verdict="".join(map(_verdict, advice)) + _notes(notes),
        links=links,
        body=body,
        bokeh=_bokeh(),
        figures="".join(figures.scripts),
        script=_own("page.js"),
    )


class _Figures:
    """Gives each picture its place and its data."""

    def __init__(self) -> None:
        self.scripts: list[str] = []

    def place(self, picture: Picture) -> Html:
        from bokeh.core.types import ID
        from bokeh.embed import json_item

        target = f"figure-{len(self.scripts)}"
        item: Any = json_item(picture.figure, ID(target))
        self.scripts.append(
            f'<script type="application/json" class="bokeh-item">{script_json(item)}</script>'
        )
        chips = legend(picture.legend) if len(picture.legend) > 1 else ""
        note = paragraph(picture.note, "note") if picture.note else ""
        return Html(f'<figure>{chips}<div id="{target}" class="plot"></div>{note}</figure>')


def _section(section: Section, figures: _Figures) -> str:
    lead = paragraph(section.lead, "lead") if section.lead else ""
    blocks: Iterable[Html] = (figures.place(b) if isinstance(b, Picture) else b for b in section.body)
    return f'<section id="{section.anchor}"><h2>{escape(section.title)}</h2>{lead}{"".join(blocks)}</section>'


def _verdict(advice: Advice) -> str:
    return (
        f'<div class="verdict"><p class="question">{escape(advice.question)}</p>'
        f'<p class="finding">{escape(_capital(advice.finding))}</p>'
        f'<p class="caveat">{escape(advice.caveat)}</p></div>'
    )


def _notes(notes: Sequence[str]) -> str:
    items = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return f'<ul class="notes">{items}</ul>' if notes else ""


def _capital(sentence: str) -> str:
    """A strategy's name at the start keeps its letters; only plain words are capitalised."""
    return sentence[:1].upper() + sentence[1:] if sentence.startswith("no ") else sentence


def _bokeh() -> str:
    """Bokeh's scripts, all of them in the page."""
    from bokeh.resources import Resources

    inline = Resources(mode="inline", components=["bokeh"], log_level="error")
    return "".join(f"<script>{text}</script>\n" for text in inline.js_raw)


def _own(name: str) -> str:
    return resources.files("dataflow.report").joinpath(name).read_text("utf-8")


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<header><h1>{title}</h1><p>{subtitle}</p></header>
<main>
{verdict}
<nav>{links}</nav>
{body}
</main>
{bokeh}
{figures}
<script>{script}</script>
</body>
</html>
"""
