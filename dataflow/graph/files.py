"""A document as an open file, for a first stage that takes one: opened, digested, read in spite of hiccups."""

from __future__ import annotations

import io
import time
from contextlib import suppress
from typing import IO, TYPE_CHECKING

from dataflow.graph.patience import patiently
from dataflow.memo.keys import digest_file
from dataflow.memo.states import state_of, unchanged
from dataflow.reading import open_document

if TYPE_CHECKING:
    from dataflow.graph.work import Item

__all__ = ["OpenDocument", "digest_content", "is_as_digested"]

_BUFFER_BYTES = 2**16


class OpenDocument:
    """A document while it is open; closes itself at the block's end.

    Args:
        url: the document's.
        payload: its bytes, where they travelled with the batch.

    Attributes:
        file: what a stage is given.

    Raises:
        OSError: it can't be opened; or whatever else the file system raises.
    """

    def __init__(self, url: str, payload: bytes | None = None) -> None:
        self._raw = _PatientFile(url) if payload is None else None
        self.file: io.BufferedIOBase = (
            io.BytesIO(payload or b"") if self._raw is None else io.BufferedReader(self._raw, _BUFFER_BYTES)
        )
        self.size_bytes = self.file.seek(0, io.SEEK_END)
        self.file.seek(0)

    @property
    def error(self) -> Exception | None:
        """Why a read failed for good. A parser may hide it, and take what it couldn't read for damage."""
        return self._raw.error if self._raw else None

    def close(self) -> None:
        """Close the file, also where the stage has closed or detached its own."""
        with suppress(Exception):  # it was only read from
            self.file.close()
        if self._raw:
            self._raw.close()


def digest_content(item: Item) -> None:
    """Note a document's digest and size, by reading through it once."""
    item.digested, document = time.time(), OpenDocument(item.document.url)
    try:
        item.digest, item.size_bytes = digest_file(document.file), document.file.tell()
    finally:
        document.close()


def is_as_digested(item: Item) -> bool:
    """Whether a document that was computed is still the one that was digested before.

    Between the two it was closed. Where its state can't vouch for it, it is read once more.
    """
    state, _ = state_of(item.document, now=item.digested)
    if state and unchanged(item.document):
        return True
    before, again = item.digest, type(item)(item.document, item.position, item.attempts)
    try:
        digest_content(again)
    except Exception:  # it has gone
        return False
    return again.digest == before


class _PatientFile(io.RawIOBase):
    """A file that is opened anew, and read on, where a read fails for a moment."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._place = 0
        self._file: IO[bytes] | None = None
        self.error: Exception | None = None
        patiently(self._opened)

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """The place."""
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place."""
        self._checkClosed()
        if whence == io.SEEK_CUR:
            offset += self._place
        elif whence == io.SEEK_END:
            offset += patiently(lambda: self._opened().seek(0, io.SEEK_END))
        if offset < 0:
            raise ValueError(f"there is no place {offset} in a file")
        self._place = offset
        return offset

    def readinto(self, buffer: object) -> int:
        """Read from the place on."""
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        try:
            data = patiently(lambda: self._read(len(view)))
        except Exception as error:
            self.error = error
            raise
        view[: len(data)] = data
        self._place += len(data)
        return len(data)

    def close(self) -> None:
        """Close what lies behind it too."""
        self._let_go()
        self.error = None  # its frames hold this file
        super().close()

    def _read(self, size: int) -> bytes:
        try:
            file = self._opened()
            file.seek(self._place)
            return file.read(size)
        except Exception:
            self._let_go()
            raise

    def _opened(self) -> IO[bytes]:
        if self._file is None:
            self._file = open_document(self._url)
        return self._file

    def _let_go(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            with suppress(Exception):
                file.close()
