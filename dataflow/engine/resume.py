"""Resuming: what an output folder has already, whether it is the same run, and what is left to do.

A document is known by its URL, and by how often that URL was listed before: never by a Dask key. The rows that
count say which documents are done; the manifest says which parts count.
"""

from __future__ import annotations

import contextlib
import hashlib
import struct
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from dataflow.corpus import Corpus
from dataflow.document import Document
from dataflow.engine.contents import has_manifest, read_manifest, refuse_used
from dataflow.engine.identity import describe_run, refuse_other
from dataflow.engine.manifest import Manifest
from dataflow.engine.output import Keeper, NewOutput, Output
from dataflow.errors import counted

if TYPE_CHECKING:
    from distributed import Client

    from dataflow.graph.table import Sink
    from dataflow.pipeline import Pipeline

__all__ = ["Committed", "Resumption", "forget_runs", "resume_output"]

_READERS = 8
_HALVES = struct.Struct("<QQ")


class Committed:
    """The documents that are done: 32 bytes for each, so that a million take 32 MB.

    Args:
        rows: URL and position of each row that counts.
    """

    def __init__(self, rows: Iterable[tuple[str, int]]) -> None:
        import numpy as np

        found = np.fromiter(
            ((*_digest(url), position) for url, position in rows),
            dtype=[("high", "u8"), ("low", "u8"), ("position", "i8")],
        )
        found.sort(order=("high", "low", "position"))
        # Columns of plain numbers: a look-up by bisection takes a microsecond on them, and ten on a record.
        self._high, self._low = array("Q", found["high"].tobytes()), array("Q", found["low"].tobytes())
        self._position = array("q", found["position"].tobytes())
        self._taken_at = array("q", np.full(len(found), -1, dtype="i8").tobytes())
        self.left = len(found)

    def __len__(self) -> int:
        return len(self._high)

    def take(self, url: str, position: int) -> int | None:
        """Strike a listed document off, if it is done; else the position under which it is to be done.

        Where a URL is listed twice and done once, its contents are the same at both places: the one that comes
        first is struck off, and the other is done under the position that is left over.

        Returns:
            ``None`` where it is done.
        """
        rows = self._rows(url)
        free = [i for i in rows if self._taken_at[i] < 0]
        if free:
            exact = [i for i in free if self._position[i] == position]
            self._taken_at[(exact or free)[0]] = position
            self.left -= 1
            return None
        return next((self._taken_at[i] for i in rows if self._position[i] == position), position)

    def _rows(self, url: str) -> range:
        high, low = _digest(url)
        start = bisect_left(self._high, high)
        while start < len(self._high) and self._high[start] == high and self._low[start] != low:
            start += 1
        end = start
        while end < len(self._high) and self._high[end] == high and self._low[end] == low:
            end += 1
        return range(start, end)


class Resumption(Output):
    """A run that goes on with an earlier one's folder.

    Args:
        sink: names the folder.
        manifest: open, and locked.
        committed: the documents that are done.
        notes: what the user should know, a line each.
    """

    def __init__(self, sink: Sink, manifest: Manifest, committed: Committed, notes: list[str]) -> None:
        super().__init__(sink)
        contents = manifest.contents
        self.notes, self.before = notes, manifest.rows
        self.unfinished_runs = [] if contents.ended else contents.runs[-1:]
        self._manifest, self._committed = manifest, committed
        self._listed, self._listed_before = 0, contents.listed

    def numbered(self, documents: Iterable[Document]) -> Iterator[tuple[int, Document]]:
        """Position and document of all that isn't done."""
        for position, document in enumerate(documents):
            self._listed += 1
            under = self._committed.take(document.url, position)
            if under is None:
                self.skipped += 1
            else:
                yield under, document

    def open(self, header: Callable[[], dict[str, Any]], documents: Corpus) -> Keeper:
        """Record that this run goes on with the folder."""
        self._manifest.listed = lambda: documents.total
        said = header()
        if said:  # there is something left to do
            self._manifest.begin({k: said[k] for k in ("run", "started", "choices") if k in said})
        return self._manifest

    def release(self) -> None:
        """Give the folder's lock up."""
        self._manifest.release()

    def closing_notes(self) -> Iterator[str]:
        """How the corpus differs from what the earlier run listed."""
        before = self._listed_before
        if before is not None and self._listed > before:
            yield f"the corpus has grown by {counted(self._listed - before, 'document')} since that run"
        if self._committed.left:
            one = self._committed.left == 1
            gone = (
                "is no longer in the corpus; its row stays"
                if one
                else "are no longer in the corpus; their rows stay"
            )
            yield f"{counted(self._committed.left, 'document')} of the output {gone}"


def resume_output(pipeline: Pipeline, sink: Sink, corpus: str) -> Output:
    """Open what an earlier run left in a folder; a new or empty folder is simply begun.

    Args:
        pipeline: what is to be done; it has to be what was done.
        sink: names the folder and the columns, which have to be the same too.
        corpus: the corpus's name; likewise.

    Raises:
        OutputError: the folder holds something else, or another pipeline's or corpus's output; or another driver
            is at it.
    """
    if not has_manifest(sink.folder):
        refuse_used(sink.folder)
        return NewOutput(sink)
    # Looked at before it is touched: a folder that is refused stays as it is.
    now = describe_run(pipeline, sink, corpus)
    notes = refuse_other(sink.folder, read_manifest(sink.folder).header, now)
    manifest = Manifest.reopen(sink.folder)
    notes += [
        f"{name} in the output's folder is no run's: pandas.read_parquet reads it too"
        for name in manifest.foreign
    ]
    try:
        return Resumption(sink, manifest, _committed(manifest), notes)
    except BaseException:
        manifest.release()
        raise


def forget_runs(runs: Iterable[str], client: Client) -> None:
    """Take the plans of drivers that died from the workers, or those would go on writing parts."""
    for run in runs:
        with contextlib.suppress(Exception):  # the cluster never knew it
            client.unregister_worker_plugin(f"dataflow-{run}")


def _committed(manifest: Manifest) -> Committed:
    """Read which documents are done. Parts that can't be read no longer count."""
    unreadable: list[str] = []
    parts = list(manifest.contents.parts.values())

    def read(part: dict[str, Any]) -> list[tuple[str, int]]:
        try:
            return manifest.read_ids(part)
        except (OSError, ValueError, KeyError):  # pyarrow's errors are all of these
            unreadable.append(part["part"])
            return []

    with ThreadPoolExecutor(_READERS) as readers:
        committed = Committed(row for rows in _bounded_map(readers, read, parts) for row in rows)
    manifest.lose(unreadable)
    return committed


def _bounded_map(readers: ThreadPoolExecutor, read: Any, parts: list[Any]) -> Iterator[Any]:
    """As ``readers.map``, with a few hundred results in memory at most."""
    for start in range(0, len(parts), 256):
        yield from readers.map(read, parts[start : start + 256])


def _digest(url: str) -> tuple[int, int]:
    digest = hashlib.blake2b(url.encode("utf-8", "surrogatepass"), digest_size=16).digest()
    high, low = _HALVES.unpack(digest)
    return high, low
