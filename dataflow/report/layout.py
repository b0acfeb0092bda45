"""What the report's sections have in common: arms by group, strips of one number, and nothing to show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dataflow.report.markup import Html, Section, heading, paragraph
from dataflow.report.plots import Picture, Value, strip
from dataflow.report.summary import Arm, groups_of

__all__ = ["by_group", "column", "empty", "strips"]


def strips(
    anchor: str,
    title: str,
    lead: str,
    arms: Sequence[Arm],
    value: Value,
    axis: str,
    reference: float | None = None,
) -> Section:
    """A section with a strip for each group of arms."""
    section = Section(anchor, title, lead)
    for name, members in by_group(arms):
        if picture := strip(members, value, axis, reference=reference):
            section.body += [*name, picture]
    return section if section.body else empty(section, "This run left no number for it.")


def by_group(arms: Sequence[Arm]) -> list[tuple[list[Html | Picture], list[Arm]]]:
    """The arms of each group, under a heading where there are several groups."""
    groups = groups_of(arms)
    return [([heading(g.label)] if len(groups) > 1 else [], members) for g, members in groups.items()]


def column(name: str, factor: float = 1) -> Value:
    """Reads one number of a trial, times ``factor``."""

    def value(row: Mapping[str, Any]) -> float | None:
        found = row.get(name)
        return None if found is None else factor * float(found)

    return value


def empty(section: Section, why: str) -> Section:
    """A section that says why it is empty."""
    section.body.append(paragraph(why, "note"))
    return section
