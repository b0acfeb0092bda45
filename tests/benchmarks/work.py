"""The work that every arm does: read a document, extract its text, cut it in chunks, leave a row in a Parquet file."""

from __future__ import annotations

import hashlib
import json
import sys
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT)]

Row = tuple[str, str, int, list[str]]
ROWS_A_PART = 512


def work(path: str) -> Row:
    """One document: path, status, characters, chunks."""
    from dataflow.document import Document, guess_media_type
    from dataflow.errors import DocumentError
    from workloads.chunking import chunk
    from workloads.extraction import extract

    with open(path, "rb") as file:
        data = file.read()
    try:
        value = chunk(extract(data, Document(path, len(data), guess_media_type(path))))
    except DocumentError:
        return path, "failed", 0, []
    return path, "ok", value["characters"], value["chunks"]


def work_chunk(paths: Sequence[str], output: str) -> int:
    """Some documents, written by the process that did them."""
    write_rows([work(p) for p in paths], output)
    return len(paths)


def work_one_chunk(job: tuple[Sequence[str], str]) -> int:
    """As :func:`work_chunk`, for maps that pass one argument."""
    return work_chunk(*job)


def work_all_chunks(job: tuple[Sequence[str], str]) -> int:
    """The same of many, some at a time."""
    paths, output = job
    return sum(work_chunk(chunk, output) for chunk in cut(paths, ROWS_A_PART))


def write_rows(rows: Sequence[Row], output: str) -> None:
    """One Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = ("document", "status", "characters", "chunks")
    kinds = (pa.string(), pa.string(), pa.int64(), pa.list_(pa.string()))
    columns = [pa.array([r[i] for r in rows], type=kind) for i, kind in enumerate(kinds)]
    pq.write_table(
        pa.table(dict(zip(names, columns, strict=True))),
        f"{output}/part-{uuid.uuid4().hex}.parquet",
        compression="zstd",
    )


def write_stream(rows: Iterable[Row], output: str) -> None:
    """Parquet files of a few hundred rows, as they come."""
    held: list[Row] = []
    for row in rows:
        held.append(row)
        if len(held) == ROWS_A_PART:
            write_rows(held, output)
            held = []
    if held:
        write_rows(held, output)


def cut(paths: Sequence[str], size: int) -> list[Sequence[str]]:
    """Paths in chunks."""
    return [paths[i : i + size] for i in range(0, len(paths), size)]


def digest_of(output: str) -> str:
    """What an output says of each document, whichever arm wrote it."""
    import pyarrow.dataset

    table = pyarrow.dataset.dataset(output, exclude_invalid_files=False).to_table(
        columns=["document", "status", "characters", "chunks"]
    )
    rows = sorted(
        (r["document"], r["status"], r["characters"] or 0, r["chunks"] or []) for r in table.to_pylist()
    )
    return hashlib.blake2b(json.dumps(rows).encode(), digest_size=16).hexdigest()


def list_files(corpus: Path) -> list[str]:
    """The documents of a folder, in one order for all arms."""
    return sorted(str(p) for p in corpus.rglob("*") if p.is_file())
