"""What an output holds, and how it differs from an undisturbed run's."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Columns that tell how the run went, and not what a document is.
INCIDENTAL = ("seconds", "attempts", "cache")

Row = dict[str, Any]
_NONE = object()


@dataclass(frozen=True, slots=True)
class Difference:
    """Documents that an output lacks, has more than once, has although nobody asked, or has otherwise."""

    lost: list[str]
    doubled: list[str]
    foreign: list[str]
    changed: list[str]

    @property
    def equal(self) -> bool:
        """Whether there is none."""
        return not (self.lost or self.doubled or self.foreign or self.changed)

    def __str__(self) -> str:
        parts = (f"{n} {kind}: {', '.join(found[:3])}" for kind, found in self._found() if (n := len(found)))
        return "; ".join(parts) or "equal"

    def _found(self) -> Iterable[tuple[str, list[str]]]:
        return (
            ("lost", self.lost),
            ("doubled", self.doubled),
            ("foreign", self.foreign),
            ("changed", self.changed),
        )


def read_rows(folder: Path) -> list[Row]:
    """All rows of an output, as any reader finds them: by the folder's listing and nothing else."""
    import pandas

    table = pandas.read_parquet(folder, dtype_backend="pyarrow")
    rows: list[Row] = json.loads(table.to_json(orient="records"))
    return rows


def compare(
    expected: Iterable[Row], found: Iterable[Row], broken: frozenset[str] = frozenset()
) -> Difference:
    """How rows differ from those of an undisturbed run.

    Args:
        expected: of the undisturbed run.
        found: of the one that was disturbed.
        broken: documents that can't be read in the disturbed run, and have to be `failed` there.
    """
    wanted = {name(row): row for row in expected}
    rows = list(found)
    counts = Counter(map(name, rows))
    changed = {
        f"{n} ({what})"
        for row in rows
        if (n := name(row)) in wanted and (what := _otherwise(row, wanted[n], broken=n in broken))
    }
    return Difference(
        lost=sorted(set(wanted) - set(counts)),
        doubled=sorted(n for n, count in counts.items() if count > 1),
        foreign=sorted(set(counts) - set(wanted)),
        changed=sorted(changed),
    )


def name(row: Row) -> str:
    """A document's path, whichever file system it was read through."""
    document: str = row["document"]
    return document.removeprefix("storm://")


def _otherwise(row: Row, wanted: Row, *, broken: bool) -> str:
    """The columns in which a row differs from what it should be; empty for none."""
    if broken:
        return (
            "" if (row["status"], row["error_type"]) == ("failed", "OSError") else f"status {row['status']}"
        )
    columns = (row.keys() | wanted.keys()) - {*INCIDENTAL, "document"}
    different = sorted(c for c in columns if row.get(c, _NONE) != wanted.get(c, _NONE))
    return ", ".join(f"{c}: {row.get(c)!s:.60} for {wanted.get(c)!s:.60}" for c in different)


def committed_parts(folder: Path) -> dict[str, int]:
    """Parts that count and their rows, by the manifest; a torn last line counts for nothing."""
    parts: dict[str, int] = {}
    for path in sorted(folder.glob("_dataflow/manifest*.jsonl")):
        for line in path.read_bytes().split(b"\n")[:-1]:
            record = json.loads(line)
            if "part" in record:
                parts[record["part"]] = record["rows"]
            for part in record.get("lost", ()):
                parts.pop(part, None)
    return parts


def progress(folder: Path) -> int:
    """Documents that are committed so far; 0 where there is nothing yet."""
    try:
        return sum(committed_parts(folder).values())
    except (FileNotFoundError, ValueError):  # being made, or being replaced
        return 0
