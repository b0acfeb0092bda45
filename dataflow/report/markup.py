"""HTML from data. Whatever comes from a document, a path or an exception goes through ``escape`` here."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dataflow.report.plots import Picture

__all__ = ["Html", "Section", "escape", "facts", "heading", "legend", "paragraph", "script_json", "table"]


# A longer list of facts is folded, so that it doesn't bury the rest.
_FOLD_FROM = 12


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


@dataclass
class Section:
    """One question of the report: its anchor, title, one sentence, and what answers it."""

    anchor: str
    title: str
    lead: str
    body: list[Html | Picture] = field(default_factory=list)


def escape(value: Any) -> Html:
    """Any text as HTML; what is :class:`Html` already stays. Control characters are shown, not sent."""
    if isinstance(value, Html):
        return value
    text = "".join(c if c.isprintable() or c in "\n\t" else repr(c)[1:-1] for c in str(value))
    return Html(html.escape(text))


def paragraph(text: str, kind: str = "") -> Html:
    """A paragraph, with a CSS class if ``kind`` is given."""
    attribute = f' class="{escape(kind)}"' if kind else ""
    return Html(f"<p{attribute}>{escape(text)}</p>")


def heading(text: str) -> Html:
    """A heading within a section."""
    return Html(f"<h3>{escape(text)}</h3>")


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], text_columns: int = 1) -> Html:
    """A table that scrolls by itself where the window is narrow.

    Args:
        columns: headers.
        rows: cells, as many as headers.
        text_columns: how many columns from the left hold text; the rest are numbers, to the right.
    """
    head = "".join(f'<th scope="col"{_side(i, text_columns)}>{escape(c)}</th>' for i, c in enumerate(columns))
    body = "".join(f"<tr>{_cells(columns, row, text_columns)}</tr>" for row in rows)
    inner = f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody>"
    return Html(f'<div class="scroll" tabindex="0"><table>{inner}</table></div>')


def facts(data: Mapping[str, Any]) -> Html:
    """Nested data as a list of names and values."""
    items = "".join(
        f"<dt>{escape(k)}</dt><dd>{_fact(str(k), v)}</dd>"
        for k, v in data.items()
        if v not in (None, "", {}, [])
    )
    return Html(f"<dl>{items}</dl>")


def legend(colours: Mapping[str, str]) -> Html:
    """What the colours of a picture mean."""
    chips = "".join(f'<li><i style="background:{escape(c)}"></i>{escape(n)}</li>' for n, c in colours.items())
    return Html(f'<ul class="legend">{chips}</ul>')


def script_json(data: Any) -> Html:
    """JSON that can stand in a script element, whatever strings it holds."""
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, default=str)
    return Html(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def _cells(columns: Sequence[str], row: Sequence[Any], text_columns: int) -> str:
    # a narrow window shows each row as a list, and then needs the column's name in each cell
    return "".join(
        f'<td data-column="{escape(name)}"{_side(i, text_columns)}>{escape(cell)}</td>'
        for i, (name, cell) in enumerate(zip(columns, row, strict=True))
    )


def _side(index: int, text_columns: int) -> str:
    return "" if index < text_columns else ' class="number"'


def _fact(name: str, value: Any) -> Html:
    if isinstance(value, Mapping):
        return _folded(len(value), facts(value)) if len(value) > _FOLD_FROM else facts(value)
    if isinstance(value, (list, tuple)) and any(isinstance(item, Mapping) for item in value):
        inner = "".join(facts(item) if isinstance(item, Mapping) else escape(item) for item in value)
        return _folded(len(value), inner)
    if isinstance(value, (list, tuple)):
        return Html("<br>".join(map(escape, value)))
    if name.endswith("_bytes") and isinstance(value, int):
        return escape(f"{value:,}")
    return escape(value)


def _folded(count: int, inner: str) -> Html:
    entries = "entry" if count == 1 else "entries"
    return Html(f"<details><summary>{count} {entries}</summary>{inner}</details>")
