"""The quarantine of an output folder: which documents are in it and why, and how they are done again.

A replay runs those documents and puts the new rows in the place of the old ones, part by part. Each part is
replaced at once (see ``Manifest.rewrite``), so that whoever reads the folder finds each document once, also
while a replay is under way and wherever it is killed.
"""

from __future__ import annotations

import os
import secrets
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dataflow.corpus import Corpus, open_corpus
from dataflow.document import Document, url_of
from dataflow.engine.contents import read_manifest, read_part
from dataflow.engine.identity import describe_run, refuse_other
from dataflow.engine.journal import FOLDER
from dataflow.engine.listing import Listing
from dataflow.engine.manifest import Manifest
from dataflow.engine.output import Keeper, Output
from dataflow.engine.running import Run
from dataflow.engine.starting import start
from dataflow.errors import OutputError, one_line
from dataflow.outcome import FAILED, QUARANTINED
from dataflow.pipeline import Pipeline, Stage
from dataflow.strategy import Strategy

if TYPE_CHECKING:
    import pyarrow as pa

    from dataflow.graph.table import Sink
    from dataflow.graph.work import Part

__all__ = ["Entry", "list_quarantine", "replay"]

_READERS = 8
_COLUMNS = (
    "document", "position", "media_type", "size_bytes", "status", "error_type", "error", "attempts"
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Entry:
    """A document that isn't ``ok``.

    Attributes:
        part: the file that holds its row.
        document: its URL; the other fields are as in :class:`~dataflow.Outcome`.
    """

    part: str
    document: str
    position: int
    media_type: str
    size_bytes: int | None
    status: str
    error_type: str
    error: str
    attempts: int


def list_quarantine(folder: str, *, failed: bool = False) -> Iterator[Entry]:
    """The quarantined documents of an output folder, part by part.

    Args:
        folder: path or URL.
        failed: the failed ones too.

    Raises:
        OutputError: the folder is no output, or a part of it can't be read.
    """
    from fsspec.core import url_to_fs

    wanted = (QUARANTINED, FAILED) if failed else (QUARANTINED,)
    names = list(read_manifest(folder).parts)
    filesystem, path = url_to_fs(folder)

    def entries(name: str) -> list[Entry]:
        try:
            rows = read_part(filesystem, f"{path}/{name}", list(_COLUMNS)).to_pylist()
        except (OSError, ValueError, KeyError) as error:
            raise OutputError(
                f"{folder}/{name} can't be read ({one_line(error)}): do its documents again with "
                "`dataflow run ... --resume`."
            ) from error
        wanted_rows = [row for row in rows if row["status"] in wanted]
        return [Entry(name, **{**row, "document": url_of(row["document"])}) for row in wanted_rows]

    with ThreadPoolExecutor(_READERS) as readers:
        for begin in range(0, len(names), 256):
            for found in readers.map(entries, names[begin : begin + 256]):
                yield from found


def replay(
    folder: str | os.PathLike[str],
    pipeline: Pipeline,
    *,
    failed: bool = False,
    strategy: Strategy | None = None,
    timeout_seconds: float | None = None,
    cluster: Any = "auto",
    **place: Any,
) -> Run | None:
    """Do the quarantined documents of an output folder again, and put the new rows in the old ones' place.

    Args:
        folder: path or URL of the output.
        pipeline: the same stages as then, with the same columns. Their code may have changed: a parser that was
            mended is a good reason to replay.
        failed: the failed documents too.
        strategy: how to run; as that run did if left out.
        timeout_seconds: another time limit, also for stages that have their own.
        cluster: where, as for :func:`~dataflow.run`.
        **place: ``workers``, ``redis_url``, ``search_path``, ``namespace`` and ``on_batch``, as there.

    Returns:
        The run, to be iterated; ``None`` where the quarantine is empty.

    Raises:
        DataflowError: any of its kinds; the message names the mend.
    """
    from dataflow.graph.table import sink_for

    name = os.fspath(folder)
    name = name if "://" in name else os.path.abspath(os.path.expanduser(name))
    header = read_manifest(name).header
    description = describe_run(pipeline, sink_for(pipeline, name), "")
    del description["corpus"]
    notes = refuse_other(name, header, description, code=False)
    chosen = strategy or strategy_of(header)
    if timeout_seconds is not None:
        chosen = chosen.replace(timeout_seconds=timeout_seconds)
        pipeline = _with_limit(pipeline, timeout_seconds)
    manifest = Manifest.reopen(name)
    try:
        entries = list(list_quarantine(name, failed=failed))
        if not entries:
            manifest.release()
            return None
        sink = sink_for(pipeline, f"{name}/{FOLDER}/replay-{secrets.token_hex(4)}")
        output = Replay(sink, manifest, entries, notes)
        listing = Listing(lambda: open_corpus([_document(e) for e in entries]))
    except BaseException:
        manifest.release()
        raise
    return start(pipeline, listing, output, chosen, cluster=cluster, **place)


def strategy_of(header: dict[str, Any]) -> Strategy:
    """How the run of a manifest's header was run, with no document ending the replay."""
    known = Strategy.__dataclass_fields__
    choices = {k: v for k, v in header.get("choices", {}).items() if k in known}
    return Strategy(**choices).replace(errors="bisect", collect="as_completed")


class Replay(Output):
    """A replay of some documents of a folder: workers write aside, and the driver puts the rows in place.

    Args:
        sink: a folder of its own below the output's.
        manifest: of the output, open and locked.
        entries: the documents.
        notes: what the user should know, a line each.

    Attributes:
        rows: rows of the whole output.
    """

    def __init__(self, sink: Sink, manifest: Manifest, entries: Sequence[Entry], notes: list[str]) -> None:
        super().__init__(sink)
        self.notes, self.before = notes, manifest.rows
        self.rows = manifest.rows
        self._manifest, self._aside = manifest, sink.folder
        self._entries = {(e.document, e.position): e for e in entries}

    def numbered(self, documents: Iterable[Document]) -> Iterator[tuple[int, Document]]:
        """The documents, under the positions that they had."""
        return zip((position for _, position in self._entries), documents, strict=True)

    def open(self, header: Callable[[], dict[str, Any]], documents: Corpus) -> Keeper:
        """Record that a replay begins."""
        said = header()
        self._manifest.begin({"replay": said["run"], "started": said["started"]})
        self._manifest.make_aside(self._aside)
        return self

    @property
    def leavings(self) -> list[str]:
        """What couldn't be tidied up, a line each."""
        return self._manifest.leavings

    def release(self) -> None:
        """Give the folder's lock up."""
        self._manifest.release()

    described = True  # that it begins was recorded at once

    def describe(self) -> None:
        """Nothing is left to be said."""

    def commit(self, parts: Sequence[Part]) -> None:
        """Put the rows that were written aside in the old ones' place.

        Raises:
            OutputError: a part can't be replaced; what isn't replaced keeps its old rows.
        """
        fresh: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for part in parts:
            for row in self._manifest.take_aside(self._aside, part.name).to_pylist():
                fresh[self._entry(row).part].append(row)
        for name, rows in fresh.items():
            self._manifest.rewrite(name, _encoded(self._merged(self._manifest.read_part(name), rows)))

    def _entry(self, row: dict[str, Any]) -> Entry:
        return self._entries[url_of(row["document"]), row["position"]]

    def finish(self, *, complete: bool) -> int:
        """Remove what lies aside and give up the lock."""
        self._manifest.leave_aside(self._aside)
        self._manifest.release()
        return 0

    def _merged(self, table: pa.Table, rows: list[dict[str, Any]]) -> pa.Table:
        """A part with some rows replaced, all in their order; attempts are added up."""
        import pyarrow as pa

        for row in rows:
            row["attempts"] += self._entry(row).attempts
        fresh = pa.Table.from_pylist(rows, schema=table.schema)
        place_of = {(row["document"], row["position"]): table.num_rows + i for i, row in enumerate(rows)}
        keys = zip(table["document"].to_pylist(), table["position"].to_pylist(), strict=True)
        indices = [place_of.get(key, i) for i, key in enumerate(keys)]
        return pa.concat_tables([table, fresh]).take(pa.array(indices, type=pa.int64()))


def _encoded(table: pa.Table) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer, compression="zstd", use_dictionary=["media_type", "status", "error_type"])
    return bytes(buffer.getvalue())


def _document(entry: Entry) -> str | Document:
    # A file of this machine is looked at anew: it may have been mended since.
    if os.path.isabs(entry.document):
        return entry.document
    return Document(entry.document, entry.size_bytes, entry.media_type)


def _with_limit(pipeline: Pipeline, seconds: float) -> Pipeline:
    """The same stages, those with a time limit of their own under another one."""
    return Pipeline(*(s if s.timeout_seconds is None else _limited(s, seconds) for s in pipeline.stages))


def _limited(stage: Stage[..., Any], seconds: float) -> Stage[..., Any]:
    return Stage(
        stage.function,
        pure=stage.pure,
        version=stage.version,
        deps=stage.deps,
        ignore=stage.ignore,
        thread_safe=stage.thread_safe,
        timeout=seconds,
        document_fields=stage.document_fields,
    )
