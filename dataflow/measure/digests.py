"""What a trial put out, as digests: to see that a fast strategy is also a right one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Output", "read_output"]

#: Columns that say how it went and not what came out.
_ABOUT_THE_RUN = frozenset(
    {"document", "media_type", "size_bytes", "error_type", "error", "attempts", "cache", "seconds"}
)


@dataclass(frozen=True, slots=True)
class Output:
    """The rows of a trial.

    Attributes:
        digest: hex, of all rows in the corpus's order; the same for equal results, whatever the parts.
        rows: a digest a row, by the document's place in the corpus.
        characters: of the text, by the same, where the output has such a column.
        doubled: rows of a document that another row speaks of already.
    """

    digest: str
    rows: Mapping[int, bytes]
    characters: Mapping[int, int] = field(default_factory=dict)
    doubled: int = 0


def read_output(folder: Path, parts: Iterable[str]) -> Output:
    """Read the parts of an output and digest their rows: status and value columns, and no times.

    Args:
        folder: the output's.
        parts: names of the files that count.

    Raises:
        OSError, pyarrow.ArrowException: a part can't be read.
    """
    import pyarrow.parquet as pq

    rows: dict[int, bytes] = {}
    characters: dict[int, int] = {}
    doubled = 0
    for name in parts:
        file = pq.ParquetFile(folder / name)
        columns = [c for c in file.schema_arrow.names if c not in _ABOUT_THE_RUN]
        for batch in file.iter_batches(256, columns=columns):
            for row in batch.to_pylist():
                doubled += row["position"] in rows
                rows[row["position"]] = _digest(row)
                if row.get("characters") is not None:
                    characters[row["position"]] = row["characters"]
    whole = hashlib.blake2b(digest_size=16)
    for position in sorted(rows):
        whole.update(rows[position])
    whole.update(doubled.to_bytes(8, "big"))
    return Output(whole.hexdigest(), rows, characters, doubled)


def _digest(row: Mapping[str, Any]) -> bytes:
    text = json.dumps(row, sort_keys=True, default=_plain)
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def _plain(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
