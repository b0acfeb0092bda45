"""A document: a reference to one file, never its bytes."""

from __future__ import annotations

import mimetypes
import posixpath
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import starmap
from typing import overload

from dataflow.errors import utf8
from dataflow.frozen import maker

__all__ = [
    "UNKNOWN_MEDIA_TYPE",
    "Document",
    "Documents",
    "Numbered",
    "as_text",
    "as_texts",
    "guess_media_type",
    "make_document",
    "numbered",
    "url_of",
]

UNKNOWN_MEDIA_TYPE = "application/octet-stream"

# A registry of our own: the machine's mime.types files would make the same name mean different things.
_TYPES = mimetypes.MimeTypes(filenames=())
for _type, _suffix in (
    ("text/markdown", ".md"),
    ("text/markdown", ".markdown"),
    ("message/rfc822", ".eml"),
    ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", ".docx"),
    ("text/html", ".xhtml"),
):
    _TYPES.add_type(_type, _suffix)


@dataclass(frozen=True, slots=True)
class Document:
    """A reference to one file.

    Attributes:
        url: a path on this machine, or a URL that fsspec opens.
        size_bytes: its size when it was listed; ``None`` where the file system doesn't say.
        media_type: guessed from the name, ``application/octet-stream`` where the name says nothing.
        modified: seconds since the epoch, where the file system says.
        etag: the entity tag, where the store has one.
    """

    url: str
    size_bytes: int | None
    media_type: str
    modified: float | None = None
    etag: str | None = None

    def __reduce__(self) -> tuple[Callable[..., Document], tuple[object, ...]]:
        # Millions of them travel, and this takes a fifth of the time of calling the class.
        return make_document, (self.url, self.size_bytes, self.media_type, self.modified, self.etag)


make_document = maker(Document, "make_document")
"""A document of its fields in their order."""

Numbered = tuple[int, str, int | None, str, float | None, str | None]
"""A document's position in its corpus, and its fields in their order."""


def numbered(position: int, document: Document) -> Numbered:
    """A document that is known by its position."""
    return (
        position,
        document.url,
        document.size_bytes,
        document.media_type,
        document.modified,
        document.etag,
    )


class Documents(Sequence[Document]):
    """Documents as plain tuples; each is made when it is asked for.

    A driver through whose hands millions go holds nothing at which the garbage collector looks more than once: that
    took a third of its time.
    """

    __slots__ = ("rows",)

    def __init__(self, rows: Sequence[Numbered]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Document]:
        return starmap(make_document, [row[1:] for row in self.rows])

    @overload
    def __getitem__(self, which: int) -> Document: ...

    @overload
    def __getitem__(self, which: slice) -> Documents: ...

    def __getitem__(self, which: int | slice) -> Document | Documents:
        if isinstance(which, slice):
            return Documents(self.rows[which])
        return make_document(*self.rows[which][1:])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Documents | list | tuple):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]


def as_text(url: str) -> str:
    """A URL as text that UTF-8 can hold, from which :func:`url_of` makes it again: a file's name may be any bytes.

    What Python reads such bytes as is escaped (``\\udce9``), and so is the backslash of a name that looks like that.
    """
    if "\\" in url:
        url = _LOOKS_ESCAPED.sub(r"\\x5c", url)
    return url if url.isascii() else utf8(url)


def as_texts(urls: Sequence[str]) -> Sequence[str]:
    """As :func:`as_text`, of many, few of which need it."""
    whole = "".join(urls)
    return urls if whole.isascii() and "\\" not in whole else [as_text(url) for url in urls]


def url_of(text: str) -> str:
    """The URL that :func:`as_text` wrote."""
    return _ESCAPED.sub(_unescaped, text) if "\\" in text else text


def _unescaped(found: re.Match[str]) -> str:
    return chr(int(found[1], 16)) if found[1] else "\\"


_LOOKS_ESCAPED = re.compile(r"\\(?=ud[89a-f][0-9a-f]{2}|x5c)")
_ESCAPED = re.compile(r"\\(?:u(d[89a-f][0-9a-f]{2})|x5c)")


def guess_media_type(name: str) -> str:
    """The media type that a file's name suggests; the content is looked at by whoever reads it."""
    dot = name.rfind(".")
    found = _known.get(name[dot:]) if dot > 0 and name[dot - 1] not in "/." else None
    return found or _type_of(posixpath.splitext(name)[1])


_known: dict[str, str] = {}
_MOST_KNOWN = 1024


def _type_of(suffix: str) -> str:
    # The last suffix is all that counts: what is compressed has no type, whatever is in it.
    guessed, encoding = _TYPES.guess_type(f"name{suffix}", strict=False)
    found = guessed if guessed and not encoding else UNKNOWN_MEDIA_TYPE
    if suffix and len(_known) < _MOST_KNOWN:
        _known[suffix] = found
    return found
