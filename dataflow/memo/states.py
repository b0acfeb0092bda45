"""What a file system says of a document, and when that may stand for the document's content."""

from __future__ import annotations

import os
import struct
import time

from dataflow.corpus import list_corpus
from dataflow.document import Document
from dataflow.errors import CorpusError

__all__ = ["RACY_SECONDS", "state_of", "unchanged"]

_STATE = struct.Struct(">cqdI")
_UNKNOWN_SIZE = -1
RACY_SECONDS = 2.0
"""A file modified more recently than this may change again and keep its time: FAT counts in steps of 2 s."""


def state_of(document: Document, bounded: bool = False, now: float | None = None) -> tuple[bytes, str]:
    """The document's state as bytes; or none, and why.

    Args:
        document: as it was just listed.
        bounded: the values have an end (a life or a tag), so that a document of which the file system says
            nothing counts as unchanged until then.
        now: seconds since 1970.

    Returns:
        The state and ``""``; or ``b""`` and ``racy`` (modified just now, or in the future: its time says
        nothing yet) or ``unknown`` (neither entity tag nor time).
    """
    if document.etag:
        return _packed(b"e", document, document.etag), ""
    if document.modified is not None:
        if (time.time() if now is None else now) - document.modified < RACY_SECONDS:
            return b"", "racy"
        return _packed(b"m", document), ""
    if bounded:
        return _packed(b"u", document), ""
    return b"", "unknown"


def _packed(kind: bytes, document: Document, etag: str = "") -> bytes:
    """Kind, size, time, the entity tag's length, the entity tag and the URL: different states, different bytes."""
    tag = etag.encode("utf-8", "surrogatepass")
    size = _UNKNOWN_SIZE if document.size_bytes is None else document.size_bytes
    modified = document.modified if kind == b"m" and document.modified is not None else 0.0
    return _STATE.pack(kind, size, modified, len(tag)) + tag + document.url.encode("utf-8", "surrogatepass")


def unchanged(document: Document) -> bool:
    """Whether the document is still as it was listed: asked after it was read, before its state is believed.

    Without that, bytes that were written between listing and reading would be kept under the old state, and
    served when the old bytes, with the old entity tag or time, come back.
    """
    if not document.etag and document.modified is None:
        return True  # there is nothing to compare; only asked where values have an end
    try:
        if "://" not in document.url:
            status = os.stat(document.url)
            return (status.st_size, status.st_mtime) == (document.size_bytes, document.modified)
        again = next(list_corpus(document.url), None)
    except (OSError, CorpusError):
        return False
    return again is not None and (again.size_bytes, again.modified, again.etag) == (
        document.size_bytes,
        document.modified,
        document.etag,
    )
