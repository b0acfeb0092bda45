"""Numbers as people read them: three digits, and units that fit."""

from __future__ import annotations

import math

__all__ = ["NOTHING", "amount", "finite", "megabytes", "percent", "seconds", "times", "whole"]

#: What stands where there is no number.
NOTHING = "-"


def finite(value: float | None) -> float | None:
    """The number itself, or ``None`` where it is no number that can be drawn or added."""
    return float(value) if value is not None and math.isfinite(value) else None


def amount(value: float | None) -> str:
    """Three significant digits, or all digits of a large whole part: 0.00123, 4.56, 78.9, 1,234."""
    if value is None or not math.isfinite(value):
        return NOTHING
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{min(digits, 9)}f}"


def whole(value: float | None) -> str:
    """A count: without digits where it has none."""
    return f"{value:,.0f}" if value is not None and value == round(value) else amount(value)


def times(ratio: float | None) -> str:
    """A ratio: ``1.24x``."""
    return NOTHING if ratio is None or not math.isfinite(ratio) else f"{ratio:,.2f}x"


def percent(fraction: float | None) -> str:
    """A fraction as percent. What isn't all or nothing never looks like it."""
    if fraction is None or not math.isfinite(fraction):
        return NOTHING
    value = 100 * fraction
    if 0 < fraction < 1:
        value = min(max(value, 0.1), 99.9)
    return f"{value:.1f}%" if value % 1 else f"{value:.0f}%"


def megabytes(size_bytes: float | None) -> str:
    """Bytes in MB of a million."""
    return NOTHING if size_bytes is None else f"{amount(size_bytes / 1e6)} MB"


def seconds(value: float | None) -> str:
    """Seconds, or milliseconds where they are few."""
    if value is None or not math.isfinite(value):
        return NOTHING
    return f"{amount(value * 1000)} ms" if abs(value) < 0.1 and value else f"{amount(value)} s"
