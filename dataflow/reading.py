"""How one document is read: whole, or as an open file."""

from __future__ import annotations

import functools
import inspect
import io
import os
import shutil
import stat
import tempfile
from collections.abc import Mapping
from typing import IO, Any, cast

from dataflow.urls import PROCESS_LOCAL, filesystem_of, is_plain, local_path, protocol_of

__all__ = ["open_document", "read_document"]

_SEQUENTIAL = {"http", "https"}
_BLOCK_BYTES = 2**20
_AT_ONCE_BYTES = 2**30
_BLOCKS_HELD = 8


def read_document(url: str) -> bytes:
    """The bytes of one document. Whatever the file system raises comes through."""
    if is_plain(url) or protocol_of(url) == "file":
        return _read_local(local_path(url))
    filesystem, path = filesystem_of(url)
    kind: Any = type(filesystem)
    data = filesystem.cat_file(path, **_in_one_request(kind))
    return data if isinstance(data, bytes) else bytes(data)


@functools.cache
def _in_one_request(kind: Any) -> Mapping[str, Any]:
    """What makes a file system ask for a whole file at once.

    s3fs asks for its size first, in a request of its own, and gets what is large in pieces: of a file that is replaced
    meanwhile, pieces of both.
    """
    reads = inspect.signature(getattr(kind, "_cat_file", kind.cat_file)).parameters
    return {"max_concurrency": 1} if "max_concurrency" in reads else {}


def open_document(url: str) -> IO[bytes]:
    """One document as an open file that can be read from any place on, unbuffered.

    Of a remote file some blocks are held at a time. A member of an archive, and what comes by HTTP, where servers may
    refuse to begin in the middle, is copied to a temporary file on disk first. Whatever the file system raises comes
    through.
    """
    protocol = protocol_of(url)
    if protocol == "file":
        return _open_local(local_path(url))
    if protocol in PROCESS_LOCAL:  # it is in memory, and its own file object is shared by all who open it
        return io.BytesIO(read_document(url))
    filesystem, path = filesystem_of(url)
    if "::" in url or protocol in _SEQUENTIAL:
        with filesystem.open(path, "rb", block_size=0) as file:
            return _copied(file)
    filesystem.invalidate_cache(path)  # or the file would end where it ended when it was listed
    held = {"maxblocks": _BLOCKS_HELD}
    file = filesystem.open(path, "rb", block_size=_BLOCK_BYTES, cache_type="blockcache", cache_options=held)
    if file.seekable():
        return cast(IO[bytes], file)
    with file:
        return _copied(file)


def _copied(file: IO[bytes]) -> IO[bytes]:
    copy = tempfile.TemporaryFile()  # noqa: SIM115  (the caller closes it)
    try:
        shutil.copyfileobj(file, copy, _BLOCK_BYTES)
        copy.seek(0)
    except BaseException:
        copy.close()
        raise
    return copy


def _read_local(path: str) -> bytes:
    descriptor, size = _opened(path)
    try:
        if size < _AT_ONCE_BYTES:
            data = os.read(descriptor, size + 1)  # one more, so that what comes short has come to its end
            if len(data) == size:
                return data
            os.lseek(descriptor, 0, os.SEEK_SET)
        # It is large, grew or shrank meanwhile, or its file system doesn't know its size or gives less at once.
        with io.FileIO(descriptor, "rb", closefd=False) as file:
            return file.readall()
    finally:
        os.close(descriptor)


def _open_local(path: str) -> io.FileIO:
    descriptor, _ = _opened(path)
    try:
        return io.FileIO(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def _opened(path: str) -> tuple[int, int]:
    """A regular file's descriptor and size. Opening a pipe would wait for its writer, and a device may never end."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(f"{path} is no regular file")
        return descriptor, status.st_size
    except BaseException:
        os.close(descriptor)
        raise
