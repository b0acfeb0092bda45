"""A corpus: the documents under a URL pattern, listed through fsspec.

Files, folders, globs and every URL that fsspec knows: ``papers/``, ``papers/**/*.pdf``,
``zip://*.html::pages.zip``, ``s3://bucket/papers/``, ``https://host/page.html``, ``memory://``.
Listing streams: a folder of a million files is never held in memory.
"""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Any

from dataflow.document import Document, guess_media_type, make_document
from dataflow.errors import CorpusError, one_line
from dataflow.urls import PROCESS_LOCAL, filesystem_of, is_plain, local_path, protocol_of

__all__ = ["Corpus", "list_corpus", "open_corpus"]


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
        protocol = protocol_of(name)
    else:
        name, protocol = "<iterable>", None
        documents = map(_document_of, corpus)
    first = next(documents, None)
    if first is None:
        if without is not None and isinstance(corpus, str | os.PathLike) and any(list_corpus(name)):
            raise CorpusError(
                f"corpus {name} lies in the run's own output, {without}: name another folder for that."
            )
        if not isinstance(corpus, str | os.PathLike):
            raise CorpusError(f"corpus {name} is empty: it has named no document. Give one that names some.")
        raise CorpusError(
            f"corpus {name} is empty: no file matches. "
            "Name a file, a folder or a pattern such as 'docs/**/*.pdf'."
        )
    if protocol is None:
        protocol = protocol_of(first.url)
    return Corpus(name, chain([first], documents), protocol in PROCESS_LOCAL)


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
        local = protocol_of(url) == "file" or ("://" not in url and os.path.lexists(url))
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
    names = _local_names(corpus, folder) if protocol_of(folder) == "file" else [folder, _canonical(folder)]
    inside = tuple(f"{name.rstrip('/')}/" for name in names)
    return (document for document in documents if not document.url.startswith(inside))


def _local_names(corpus: str, folder: str) -> list[str]:
    """A folder's path, that without links, and the one by which a corpus comes to it that is itself named by a link."""
    path = local_path(folder)
    real = os.path.realpath(path)
    names = [path, real]
    if protocol_of(corpus) == "file":
        parts = local_path(corpus).split("/")
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


def _list_local(url: str) -> Iterator[Document]:
    path = local_path(url)
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
    if is_plain(url):
        return _local(url)
    if protocol_of(url) == "file":
        return _local(local_path(url))
    return Document(url, None, guess_media_type(url.partition("::")[0]))


def _list_remote(url: str) -> Iterator[Document]:
    filesystem, path = filesystem_of(url)
    _, _, archive = url.partition("::")
    if archive and protocol_of(archive) == "file":
        archive = local_path(archive)  # a worker may stand in another folder
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
