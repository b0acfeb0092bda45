"""Bounds that several rooms share."""

from __future__ import annotations

import re

__all__ = ["LONGEST_SECONDS", "parse_size"]

#: The longest time limit: the interpreter's timers overflow beyond some centuries, and nobody waits a month.
LONGEST_SECONDS = 30 * 24 * 3600.0

_UNITS = {"": 1, "k": 1000, "m": 1000**2, "g": 1000**3, "ki": 1024, "mi": 1024**2, "gi": 1024**3}


def parse_size(text: str) -> int:
    """Bytes of a size such as ``1MiB``; 0 where it is none."""
    match = re.fullmatch(r"(\d+)([kmg]i?)?b?", text.strip().lower(), re.ASCII)
    return int(match[1]) * _UNITS[match[2] or ""] if match else 0
