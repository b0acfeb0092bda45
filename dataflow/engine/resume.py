"""Resuming: what an output folder has already, whether it is the same run, and what is left to do.

A document is known by its URL, and by how often that URL was listed before: never by a Dask key. The rows that
count say which documents are done; the manifest says which parts count.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import struct
import time
import warnings
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from dataflow.corpus import Corpus
from dataflow.document import Document
from dataflow.engine.contents import has_manifest, read_manifest, refuse_used
from dataflow.engine.manifest import Manifest
from dataflow.engine.output import Keeper, NewOutput, Output
from dataflow.errors import OutputError, one_line

if TYPE_CHECKING:
    from distributed import Client

    from dataflow.graph.plan import Plan
    from dataflow.graph.table import Sink
    from dataflow.pipeline import Pipeline

__all__ = [
    "Committed",
    "Resumption",
    "describe_run",
    "forget_runs",
    "header",
    "refuse_other",
    "resume_output",
]

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

    def open(self, header: dict[str, Any], documents: Corpus) -> Keeper:
        """Record that this run goes on with the folder."""
        self._manifest.listed = lambda: documents.total
        if header:  # there is something left to do
            self._manifest.begin({k: header[k] for k in ("run", "started", "choices") if k in header})
        return self._manifest

    def release(self) -> None:
        """Give the folder's lock up."""
        self._manifest.release()

    def closing_notes(self) -> Iterator[str]:
        """How the corpus differs from what the earlier run listed."""
        before = self._listed_before
        if before is not None and self._listed > before:
            yield f"the corpus has grown by {self._listed - before} documents since that run"
        if self._committed.left:
            yield f"{self._committed.left} documents of the output are no longer in the corpus; their rows stay"


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
    try:
        return Resumption(sink, manifest, _committed(manifest), notes)
    except BaseException:
        manifest.release()
        raise


def header(plan: Plan, corpus: str, recorded: Mapping[str, Any] | None) -> dict[str, Any]:
    """What the manifest says of a run. Without an output, nothing."""
    if plan.sink is None:
        return {}
    return {
        "run": plan.run,
        "started": time.time(),
        **describe_run(plan.pipeline, plan.sink, corpus),
        "strategy": plan.strategy.describe(),
        "choices": dataclasses.asdict(plan.strategy),
        **(recorded or {}),
    }


def forget_runs(runs: Iterable[str], client: Client) -> None:
    """Take the plans of drivers that died from the workers, or those would go on writing parts."""
    for run in runs:
        with contextlib.suppress(Exception):  # the cluster never knew it
            client.unregister_worker_plugin(f"dataflow-{run}")


def describe_run(pipeline: Pipeline, sink: Sink, corpus: str) -> dict[str, Any]:
    """What has to be the same when a run is resumed, for the manifest's header."""
    prints, why_not = _fingerprints(pipeline)
    return {
        "corpus": _absolute(corpus),
        "stages": [s.name for s in pipeline.stages],
        "fingerprints": prints,
        "unfingerprinted": why_not,
        "columns": [[name, kind] for name, kind, _ in sink.columns],
    }


def refuse_other(folder: str, then: dict[str, Any], now: dict[str, Any], *, code: bool = True) -> list[str]:
    """Find out whether two descriptions are of the same run.

    Args:
        folder: for the message.
        then: the manifest's header.
        now: :func:`describe_run` of what is to be done.
        code: other code of a stage is refused; else it is noted.

    Returns:
        What couldn't be checked, a line each.

    Raises:
        OutputError: they aren't the same; the message names the difference.
    """
    for what in ("corpus", "stages", "columns"):
        if what in now and then.get(what, now[what]) != now[what]:
            raise OutputError(
                f"{folder} is the output of another run: its {what} {_are(what)} {_show(then[what])}, "
                f"not {_show(now[what])}. Name the same, or another folder."
            )
    return _compare_code(folder, then, now, refuse=code)


def _compare_code(folder: str, then: dict[str, Any], now: dict[str, Any], *, refuse: bool) -> list[str]:
    notes = []
    before = then.get("fingerprints") or [None] * len(now["stages"])
    for name, old, new in zip(now["stages"], before, now["fingerprints"], strict=True):
        if old is None or new is None:
            why = now["unfingerprinted"].get(name) or "that run recorded no fingerprint"
            notes.append(f"stage {name} is taken for the same by its name alone: {why}")
        elif old != new and refuse:
            raise OutputError(
                f"{folder} can't be resumed: stage {name} has changed since (its code, data that it uses, or the "
                "version of a package). Go back to what it was, or name another folder."
            )
        elif old != new:
            notes.append(
                f"stage {name} has changed since that run: what is replayed is of the code as it is now"
            )
    return notes


def _fingerprints(pipeline: Pipeline) -> tuple[list[str | None], dict[str, str]]:
    """The stages' fingerprints, and why some have none."""
    from dataflow.memo.fingerprint import stage_fingerprint
    from dataflow.memo.keys import Uncacheable

    prints: list[str | None] = []
    why_not: dict[str, str] = {}
    for stage in pipeline.stages:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what the memo warns of is said where something is memoized
                prints.append(stage_fingerprint(stage).hex())
        except Uncacheable as error:
            prints.append(None)
            why_not[stage.name] = one_line(error).rstrip(".")
    return prints, why_not


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
    return _HALVES.unpack(digest)  # type: ignore[return-value]


def _absolute(corpus: str) -> str:
    """A corpus's name that means the same in every folder."""
    if "::" in corpus or "<" in corpus or ("://" in corpus and not corpus.startswith("file://")):
        return corpus
    return os.path.abspath(os.path.expanduser(corpus.removeprefix("file://")))


def _are(what: str) -> str:
    return "was" if what == "corpus" else "were"


def _show(value: Any) -> str:
    if isinstance(value, str):
        return value
    return ", ".join(v if isinstance(v, str) else " ".join(v) for v in value)
