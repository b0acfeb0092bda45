"""DOCX, by python-docx: paragraphs and tables in the order of the document."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

from ..values import Extracted
from .errors import DamagedDocument, EncryptedDocument, OversizedDocument, UnsupportedDocument
from .text import clean

if TYPE_CHECKING:
    from lxml import etree

__all__ = ["docx_pages", "extract_docx", "office_kind"]

MAX_UNPACKED_BYTES = 256 * 2**20
"""For the whole package, as its directory declares; unpacking stops at the declared size of each part."""

MAX_XML_BYTES = 64 * 2**20
"""For all its XML, whose trees take some ten times that."""

MAX_PARTS = 20_000

_MAIN_PART = "word/document.xml"
_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_MOVED_AWAY = f"{_W}moveFrom"

# What an element says beside its children. ``Fallback`` and ``moveFrom`` repeat what stands elsewhere.
_CHARACTERS = {f"{_W}tab": "\t", f"{_W}br": "\n", f"{_W}cr": "\n", f"{_W}noBreakHyphen": "-"}
_WALKED = (
    *(f"{_W}{name}" for name in ("t", "p", "tc", "tr", "tbl")),
    *_CHARACTERS,
    _FALLBACK,
    _MOVED_AWAY,
)


_OTHER_KINDS = {"xl": "Excel workbook", "ppt": "PowerPoint presentation", "META-INF": "program or book"}


def extract_docx(data: bytes) -> Extracted:
    """The text of the body: a line a paragraph, a line a table row with tabs between its cells.

    Headers, footers, comments and deleted text are left out.

    Raises:
        DamagedDocument: no zip archive, or no text part in it that is XML.
        EncryptedDocument: a part of the archive asks for a password.
        OversizedDocument: the archive unpacks to more than ``MAX_UNPACKED_BYTES``, or its XML to
            ``MAX_XML_BYTES``.
        UnsupportedDocument: an Office file, yet no Word document.
    """
    return next(docx_pages(io.BytesIO(data)))


def docx_pages(file: BinaryIO) -> Iterator[Extracted]:
    """The same from an open file, in one piece: its archive isn't copied, its parts and their trees are whole."""
    _check_archive(file)
    yield _extracted(file)


def _extracted(file: BinaryIO) -> Extracted:
    import docx  # here: importing it takes longer than all other parsers together, and most corpora hold none

    try:
        return {"text": _body_text(docx.Document(file).element.body), "warnings": []}
    except MemoryError:
        raise
    # The whole parser stands behind this call, and there's no telling what a damaged package makes it raise.
    except Exception as error:
        return _rescued(file, error)


def office_kind(names: list[str]) -> str:
    """What a zip archive with these members is: ``docx``, or something else in words."""
    tops = {name.split("/", 1)[0] for name in names}
    if _MAIN_PART in names or "word" in tops:
        return "docx"
    for top, kind in _OTHER_KINDS.items():
        if top in tops:
            return kind
    return "docx" if "[Content_Types].xml" in names else "zip archive"


def _check_archive(file: BinaryIO) -> None:
    """Refuse, before anything is unpacked, what is no Word document or would unfold beyond measure."""
    try:
        with zipfile.ZipFile(file) as archive:
            parts = archive.infolist()
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError, UnicodeDecodeError) as error:
        raise DamagedDocument(f"the DOCX is no readable zip archive: {_cause(error)}") from error
    kind = office_kind([part.filename for part in parts])
    if kind != "docx":
        raise UnsupportedDocument(f"the file is no Word document: it is a {kind}")
    if any(part.flag_bits & 1 for part in parts):
        raise EncryptedDocument("the DOCX is a zip archive with a password")
    unpacked = sum(part.file_size for part in parts)
    xml = sum(part.file_size for part in parts if part.filename.endswith((".xml", ".rels")))
    if unpacked > MAX_UNPACKED_BYTES or xml > MAX_XML_BYTES or len(parts) > MAX_PARTS:
        size = file.seek(0, io.SEEK_END)
        raise OversizedDocument(
            f"the DOCX of {size:,} bytes unpacks to {unpacked:,} in {len(parts):,} parts, its XML to "
            f"{xml:,}: a zip bomb, perhaps (at most {MAX_UNPACKED_BYTES:,}, {MAX_PARTS:,} "
            f"and {MAX_XML_BYTES:,} are unpacked)"
        )


def _rescued(file: BinaryIO, error: Exception) -> Extracted:
    """The text part alone, mended where its XML is broken: perhaps only an image is damaged."""
    from lxml import etree

    parser = etree.XMLParser(recover=True, resolve_entities=False, no_network=True, huge_tree=False)
    try:
        with zipfile.ZipFile(file) as archive:
            root = etree.fromstring(archive.read(_MAIN_PART), parser)
    except MemoryError:
        raise
    except Exception as second:  # of zlib, zipfile, lxml: whatever damage does to them
        both = f"{_cause(error)}; nor its text alone: {_cause(second)}"
        raise DamagedDocument(f"the DOCX can't be read: {both}") from error
    text = _body_text(root) if root is not None else ""
    if not text.strip():
        raise DamagedDocument(f"the DOCX can't be read, nor its text alone: {_cause(error)}") from error
    return {"text": text, "warnings": [f"the DOCX is damaged, its text was rescued: {_cause(error)}"]}


def _body_text(body: etree._Element) -> str:
    from lxml import etree

    pieces: list[str] = []
    cells = 0  # how many table cells the walk is inside
    walker = etree.iterwalk(body, events=("start", "end"), tag=_WALKED)
    for event, element in walker:
        tag = element.tag
        if event == "start":
            if tag in (_FALLBACK, _MOVED_AWAY):
                walker.skip_subtree()
            elif tag == f"{_W}t":
                pieces.append(element.text or "")
            elif tag == f"{_W}tc":
                cells += 1
            else:
                pieces.append(_CHARACTERS.get(tag, ""))
        elif tag == f"{_W}p":
            pieces.append(" " if cells else "\n")
        elif tag == f"{_W}tc":
            cells -= 1
            pieces.append("\t")
        elif tag in (f"{_W}tr", f"{_W}tbl"):
            pieces.append(" " if cells else "\n")
    lines = (line.strip() for line in clean("".join(pieces)).split("\n"))
    return "\n".join(lines).strip().replace(" \t", "\t")


def _cause(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
