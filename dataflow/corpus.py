"""A corpus: the documents under a URL pattern, listed through fsspec; and how one of them is read.

Files, folders, globs and every URL that fsspec knows: ``papers/``, ``papers/**/*.pdf``,
``zip://*.html::pages.zip``, ``s3://bucket/papers/``, ``https://host/page.html``, ``memory://``.
Listing streams: a folder of a million files is never held in memory.
"""

from __future__ import annotations

import functools
import glob
import io
import os
import re
import shutil
import stat
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import IO, Any, cast

from dataflow.document import Document, guess_media_type, make_document
from dataflow.errors import CorpusError, one_line

__all__ = ["Corpus", "list_corpus", "open_corpus", "open_document", "read_document"]

_PROCESS_LOCAL = {"memory"}  # file systems that another process sees empty
_ARCHIVES = {"zip", "tar", "libarchive"}
_SEQUENTIAL = {"http", "https"}
_WINDING = re.compile(r"//|/\.{1,2}(/|$)|/$").search
_BLOCK_BYTES = 2**20
_AT_ONCE_BYTES = 2**30
_BLOCKS_HELD = 8


@dataclass
class Corpus:
    """Documents that are known to be there: the first was listed. To be iterated once.

    Attributes:
        name: the URL pattern, or ``<iterable>``.
        documents: the stream.
        process_local: only this process can read the documents, so their bytes travel with the batches.
        total: how many there are, once the stream has come to its end.
    """

    name: str
    documents: Iterator[Document]
    process_local: bool = False
    total: int | None = None

    def __iter__(self) -> Iterator[Document]:
        count = 0
        for document in self.documents:
            count += 1
            yield document
        self.total = count


def open_corpus(
    corpus: str | os.PathLike[str] | Iterable[str | Document], *, without: str | None = None
) -> Corpus:
    """Open a corpus: a URL pattern, or any iterable of URLs, paths or documents.

    Args:
        corpus: what to list.
        without: a folder, of which a pattern lists nothing: a run's own output is no document of its corpus.

    Raises:
        CorpusError: it doesn't exist, can't be listed, or holds no document.
    """
    if isinstance(corpus, str | os.PathLike):
        name = os.fspath(corpus)
        documents = list_corpus(name, without=without)
        protocol = _protocol(name)
    else:
        name, protocol = "<iterable>", None
        documents = map(_document_of, corpus)
    first = next(documents, None)
    if first is None:
        if without is not None and isinstance(corpus, str | os.PathLike) and any(list_corpus(name)):
            raise CorpusError(
                f"corpus {name} lies in the run's own output, {without}: name another folder for that."
            )
        raise CorpusError(
            f"corpus {name} is empty: no file matches. "
            "Name a file, a folder or a pattern such as 'docs/**/*.pdf'."
        )
    if protocol is None:
        protocol = _protocol(first.url)
    return Corpus(name, chain([first], documents), protocol in _PROCESS_LOCAL)


def _document_of(member: object) -> Document:
    if type(member) is str:
        return _named(member)
    if isinstance(member, Document):
        return member
    url = os.fspath(member) if isinstance(member, str | os.PathLike) else None
    if not isinstance(url, str):
        raise CorpusError(
            f"a corpus is of URLs, paths and documents, and {one_line(repr(member))[:80]} is none: leave it out."
        )
    return _named(url)


def list_corpus(url: str, *, without: str | None = None) -> Iterator[Document]:
    """List the documents of a URL pattern, one by one.

    A folder is walked to its end, hidden files included; nothing that is there is left out, so a broken
    link is listed too and fails when it is read, as does a folder that can't be looked into. Local folders come in the
    order of their names.

    Args:
        url: the pattern.
        without: a folder, of which nothing is listed.

    Raises:
        CorpusError: there is no such file, or the file system refuses. Raised at the first document.
    """
    try:
        local = _protocol(url) == "file" or ("://" not in url and os.path.lexists(url))
        found = _list_local(url) if local else _list_remote(url)
        yield from found if without is None else _outside(found, url, without)
    except CorpusError:
        raise
    except FileNotFoundError:
        raise CorpusError(f"corpus {url} doesn't exist: check the path or URL.") from None
    except ImportError as error:
        raise CorpusError(f"corpus {url} needs a package that isn't installed: {one_line(error)}") from error
    except Exception as error:  # a file system raises what it likes; to the user it is one thing
        raise CorpusError(
            f"corpus {url} can't be listed: {type(error).__name__}: {one_line(error)}"
        ) from error


def _outside(documents: Iterator[Document], corpus: str, folder: str) -> Iterator[Document]:
    """Those that don't lie in a folder, by whichever of its names."""
    names = _local_names(corpus, folder) if _protocol(folder) == "file" else [folder, _canonical(folder)]
    inside = tuple(f"{name.rstrip('/')}/" for name in names)
    return (document for document in documents if not document.url.startswith(inside))


def _local_names(corpus: str, folder: str) -> list[str]:
    """A folder's path, that without links, and the one by which a corpus comes to it that is itself named by a link."""
    path = _local_path(folder)
    real = os.path.realpath(path)
    names = [path, real]
    if _protocol(corpus) == "file":
        parts = _local_path(corpus).split("/")
        magic = next((n for n, part in enumerate(parts) if glob.has_magic(part)), len(parts))
        base = "/".join(parts[:magic])
        below = os.path.relpath(real, os.path.realpath(base))
        if not below.startswith(".."):
            names.append(os.path.normpath(f"{base}/{below}"))
    return names


def _canonical(url: str) -> str:
    """A folder's URL as its file system writes it: ``gs://`` has another name, and ``memory://`` another slash."""
    from fsspec.core import url_to_fs

    try:
        filesystem, path = url_to_fs(url)
        return str(filesystem.unstrip_protocol(path))
    except Exception:  # it is no corpus's fault: whoever writes there will say so
        return url


def read_document(url: str) -> bytes:
    """The bytes of one document. Whatever the file system raises comes through."""
    if _is_plain(url) or _protocol(url) == "file":
        return _read_local(_local_path(url))
    filesystem, path = _filesystem(url)
    data = filesystem.cat_file(path)
    return data if isinstance(data, bytes) else bytes(data)


def open_document(url: str) -> IO[bytes]:
    """One document as an open file that can be read from any place on, unbuffered.

    Of a remote file some blocks are held at a time. A member of an archive, and what comes by HTTP, where servers may
    refuse to begin in the middle, is copied to a temporary file on disk first. Whatever the file system raises comes
    through.
    """
    protocol = _protocol(url)
    if protocol == "file":
        return _open_local(_local_path(url))
    if protocol in _PROCESS_LOCAL:  # it is in memory, and its own file object is shared by all who open it
        return io.BytesIO(read_document(url))
    filesystem, path = _filesystem(url)
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


def _protocol(url: str) -> str:
    if url.startswith("/"):  # a path, whatever colons are in its names
        return "file"
    scheme, separator, _ = url.partition("://")
    if not separator and "::" not in url:
        return "file"
    return "file" if scheme in ("file", "local") and "::" not in url else scheme.partition("::")[0]


def _is_plain(url: str) -> bool:
    """Whether it is the shortest path of a file on this machine."""
    if url[:1] != "/":
        return False
    return not ("//" in url or "/." in url or url[-1] == "/") or not _WINDING(url)


def _local_path(url: str) -> str:
    if _is_plain(url):
        return url
    for prefix in ("file://", "local://"):
        url = url.removeprefix(prefix)
    return os.path.abspath(os.path.expanduser(url))


def _list_local(url: str) -> Iterator[Document]:
    path = _local_path(url)
    if os.path.isdir(path):
        yield from _walk(path)
    elif os.path.lexists(path):
        yield _local(path)
    elif glob.has_magic(path):
        for match in glob.iglob(path, recursive=True, include_hidden=True):
            if match[-1] != "/":  # what "**" matches first is the folder that it begins in
                yield from _unless_folder(match)
        yield from map(_local, _closed_folders(path))
    else:
        raise FileNotFoundError(path)


def _closed_folders(pattern: str) -> set[str]:
    """The folders that a pattern leads into and that can't be looked into, of which Python's glob says nothing."""
    closed: set[str] = set()
    parts, before = pattern.split("/"), ""
    first = next(n for n, part in enumerate(parts) if glob.has_magic(part))
    for number in range(first, len(parts)):
        if before != "**":  # which has gone into all folders below, and this one's among them
            inside = "/".join(parts[: number + (parts[number] == "**")]) + "/"
            found = (
                glob.iglob(inside, recursive=True, include_hidden=True)
                if glob.has_magic(inside)
                else [inside]
            )
            closed.update(folder.rstrip("/") for folder in found if _is_closed(folder))
        before = parts[number]
    return closed


def _is_closed(folder: str) -> bool:
    try:
        os.scandir(folder).close()
    except (FileNotFoundError, NotADirectoryError):
        return False  # there is nothing to look into
    except OSError:
        return True
    return not os.access(folder, os.X_OK)


def _walk(folder: str) -> Iterator[Document]:
    """Every file below a folder; links to folders are not followed, since they can form circles.

    A folder below that can't be listed is listed itself, and fails with its reason when it is read.
    """
    with os.scandir(folder) as entries:
        found = sorted(entries, key=lambda e: e.name)
    for entry in found:
        if entry.is_file(follow_symlinks=False):
            yield _local(entry.path)
        elif entry.is_dir(follow_symlinks=False):
            try:
                yield from _walk(entry.path)
            except OSError:
                yield _local(entry.path)
        elif not (entry.is_symlink() and os.path.isdir(entry.path)):
            yield _local(entry.path)


def _local(path: str) -> Document:
    return _seen(path, _status(path))


def _unless_folder(path: str) -> Iterator[Document]:
    status = _status(path)
    if status is None or not stat.S_ISDIR(status.st_mode):
        yield _seen(path, status)


def _status(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except (OSError, ValueError):  # ValueError: no file can have that name
        return None


def _seen(path: str, status: os.stat_result | None) -> Document:
    kind = guess_media_type(path)
    if status is None:
        return Document(path, None, kind)
    return make_document(path, status.st_size, kind, status.st_mtime)


def _named(url: str) -> Document:
    """A document known by its URL alone; a local one is looked at, for its size."""
    if _is_plain(url):
        return _local(url)
    if _protocol(url) == "file":
        return _local(_local_path(url))
    return Document(url, None, guess_media_type(url.partition("::")[0]))


def _list_remote(url: str) -> Iterator[Document]:
    filesystem, path = _filesystem(url)
    _, _, archive = url.partition("::")
    if archive and _protocol(archive) == "file":
        archive = _local_path(archive)  # a worker may stand in another folder
    if not archive:
        filesystem.invalidate_cache()  # what it remembers of an earlier listing may have changed since
    found: Iterable[Mapping[str, Any]]
    if glob.has_magic(path):
        found = filesystem.glob(path, detail=True).values()
    elif not path or filesystem.isdir(path):  # an empty archive has no folders, not even its root
        found = _remote_walk(filesystem, path)
    else:
        found = [filesystem.info(path)]
    for info in found:
        if info["type"] != "directory" and not _marks_a_folder(info):
            yield _remote(filesystem, info, archive)


def _marks_a_folder(info: Mapping[str, Any]) -> bool:
    """Whether it is an empty object that stands for a folder in a store that has none, as consoles make them."""
    return not info.get("size") and str(info.get("Key") or info["name"]).endswith("/")


def _remote_walk(filesystem: Any, path: str) -> Iterator[Mapping[str, Any]]:
    for _, _, files in filesystem.walk(path, detail=True):
        yield from (info for info in files.values() if info["name"])


def _remote(filesystem: Any, info: Mapping[str, Any], archive: str) -> Document:
    url = filesystem.unstrip_protocol(info["name"])
    modified = next(
        (info[k] for k in ("mtime", "LastModified", "created", "last_modified") if info.get(k)), None
    )
    etag = info.get("ETag") or info.get("etag")
    return Document(
        url=f"{url}::{archive}" if archive else url,
        size_bytes=info.get("size"),
        media_type=guess_media_type(info["name"]),
        modified=modified.timestamp() if isinstance(modified, datetime) else None,
        etag=str(etag).strip('"') if etag else None,
    )


_lock = threading.Lock()


def _filesystem(url: str) -> tuple[Any, str]:
    """The open file system of a URL and the path in it.

    An archive is opened once a process and kept, since fsspec would open it anew, directory and all, for
    each document that is read from it. One on this machine that was replaced since is another archive.
    """
    from fsspec.core import split_protocol, url_to_fs

    first, separator, archive = url.partition("::")
    if not separator:
        if (protocol := _protocol(url)) in _ARCHIVES:
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
    if _protocol(archive) != "file":
        return ()
    try:
        status = os.stat(_local_path(archive))
    except OSError:  # opening it will say so
        return ()
    return status.st_mtime_ns, status.st_size, status.st_ino


@functools.lru_cache(maxsize=8)
def _archive(protocol: str, archive: str, _version: tuple[int, ...]) -> Any:
    from fsspec.core import url_to_fs

    return url_to_fs(f"{protocol}://::{archive}")[0]


def _absolute(url: str) -> str:
    return Path(_local_path(url)).as_uri() if _protocol(url) == "file" else url
