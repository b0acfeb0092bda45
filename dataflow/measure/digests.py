"""What a trial put out, as digests: to see that a fast strategy is also a right one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Output", "Rows", "read_output"]

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

    def moved(self, places: Sequence[int]) -> Output:
        """The same rows where each document has another place: ``places[i]`` is that of the one at ``i``."""
        rows = {places[i]: digest for i, digest in self.rows.items()}
        return _output(rows, {places[i]: n for i, n in self.characters.items()}, self.doubled)


def read_output(folder: Path, parts: Iterable[str]) -> Output:
    """Read the parts of an output and digest their rows: status and value columns, and no times.

    A row's digest knows nothing of its position: that is what it is found by.

    Args:
        folder: the output's.
        parts: names of the files that count.

    Raises:
        OSError, pyarrow.ArrowException: a part can't be read.
    """
    import pyarrow.parquet as pq

    rows = Rows()
    for name in parts:
        file = pq.ParquetFile(folder / name)
        columns = [c for c in file.schema_arrow.names if c not in _ABOUT_THE_RUN]
        for batch in file.iter_batches(256, columns=columns):
            rows.take(batch.to_pylist())
    return rows.output()


class Rows:
    """Digests rows as they come, and keeps none."""

    def __init__(self) -> None:
        self._rows: dict[int, bytes] = {}
        self._characters: dict[int, int] = {}
        self._doubled = 0

    def take(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Digest some rows of an output; columns that say how it went are passed over."""
        for row in rows:
            position = row["position"]
            self._doubled += position in self._rows
            self._rows[position] = _digest(row)
            if row.get("characters") is not None:
                self._characters[position] = row["characters"]

    def output(self) -> Output:
        """What was taken so far."""
        return _output(self._rows, self._characters, self._doubled)


def _output(rows: Mapping[int, bytes], characters: Mapping[int, int], doubled: int) -> Output:
    whole = hashlib.blake2b(doubled.to_bytes(8, "big"), digest_size=16)
    for position in sorted(rows):
        whole.update(position.to_bytes(8, "big") + rows[position])
    return Output(whole.hexdigest(), rows, characters, doubled)


def _digest(row: Mapping[str, Any]) -> bytes:
    told = {name: value for name, value in row.items() if name not in _ABOUT_THE_RUN and name != "position"}
    text = json.dumps(told, sort_keys=True, default=_plain)
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def _plain(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
