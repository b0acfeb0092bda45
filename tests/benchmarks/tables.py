"""Samples as text: medians with the least and the most, in columns."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

__all__ = ["spread", "table"]


def spread(samples: Sequence[float], form: str = ".2f") -> str:
    """The median, and in brackets the least and the most."""
    return f"{median(samples):{form}} ({min(samples):{form}}-{max(samples):{form}})"


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Rows in columns, the first one to the left."""
    cells = [list(map(str, row)) for row in (head, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    lines = [
        "  ".join(
            c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in cells
    ]
    return "\n".join(f"  {line.rstrip()}" for line in lines)
