"""What a URL of a document or a folder means: a path on this machine, or a file system and a path in it."""

from __future__ import annotations

import functools
import os
import re
import threading
from pathlib import Path
from typing import Any

from dataflow.errors import CorpusError

__all__ = ["PROCESS_LOCAL", "filesystem_of", "is_plain", "local_path", "protocol_of"]

PROCESS_LOCAL = {"memory"}  # file systems that another process sees empty

_ARCHIVES = {"zip", "tar", "libarchive"}
_WINDING = re.compile(r"//|/\.{1,2}(/|$)|/$").search


def protocol_of(url: str) -> str:
    """The outermost protocol of a URL; ``file`` for paths."""
    if url.startswith("/"):  # a path, whatever colons are in its names
        return "file"
    scheme, separator, _ = url.partition("://")
    if not separator and "::" not in url:
        return "file"
    return "file" if scheme in ("file", "local") and "::" not in url else scheme.partition("::")[0]


def is_plain(url: str) -> bool:
    """Whether it is the shortest path of a file on this machine."""
    if url[:1] != "/":
        return False
    return not ("//" in url or "/." in url or url[-1] == "/") or not _WINDING(url)


def local_path(url: str) -> str:
    """The absolute path of a file on this machine."""
    if is_plain(url):
        return url
    for prefix in ("file://", "local://"):
        url = url.removeprefix(prefix)
    return os.path.abspath(os.path.expanduser(url))


_lock = threading.Lock()


def filesystem_of(url: str) -> tuple[Any, str]:
    """The open file system of a URL and the path in it.

    An archive is opened once a process and kept, since fsspec would open it anew, directory and all, for
    each document that is read from it. One on this machine that was replaced since is another archive.
    """
    from fsspec.core import split_protocol, url_to_fs

    first, separator, archive = url.partition("::")
    if not separator:
        if (protocol := protocol_of(url)) in _ARCHIVES:
            name = url.partition("://")[2]
            raise CorpusError(
                f"corpus {url} names no archive: write {protocol}://*::{name} for all that is in {name}."
            )
        filesystem, path = url_to_fs(url)
        return filesystem, path
    protocol, path = split_protocol(first)
    with _lock:
        return _archive(protocol or first, _absolute(archive), _version(archive)), path if protocol else ""


def _version(archive: str) -> tuple[int, ...]:
    """What changes with an archive on this machine; nothing of one elsewhere, which would have to be asked."""
    if protocol_of(archive) != "file":
        return ()
    try:
        status = os.stat(local_path(archive))
    except OSError:  # opening it will say so
        return ()
    return status.st_mtime_ns, status.st_size, status.st_ino


@functools.lru_cache(maxsize=8)
def _archive(protocol: str, archive: str, _version: tuple[int, ...]) -> Any:
    from fsspec.core import url_to_fs

    return url_to_fs(f"{protocol}://::{archive}")[0]


def _absolute(url: str) -> str:
    return Path(local_path(url)).as_uri() if protocol_of(url) == "file" else url
