"""Bounds that several rooms share."""

from __future__ import annotations

__all__ = ["LONGEST_SECONDS"]

#: The longest time limit: the interpreter's timers overflow beyond some centuries, and nobody waits a month.
LONGEST_SECONDS = 30 * 24 * 3600.0
