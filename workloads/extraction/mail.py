"""Mail (RFC 822 and MIME), by the standard library.

The parser works with the ``compat32`` policy: the newer ones parse each header by a recursive grammar, which
takes a crafted address line minutes, and raise out of it on lines that real mail holds.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from email.errors import HeaderParseError
from email.header import decode_header
from email.message import Message
from email.parser import BytesFeedParser
from email.policy import compat32
from typing import BinaryIO

from ..values import Extracted
from .errors import DamagedDocument, OversizedDocument
from .html import extract_html
from .text import clean, decode

__all__ = ["extract_mail", "mail_pages"]

MAX_BYTES = 128 * 2**20
MAX_DEPTH = 30
MAX_PARTS = 5_000
MAX_HEADER_CHARACTERS = 10_000

_BLOCK_BYTES = 8192

_SHOWN = ("Subject", "From", "To", "Cc", "Date")
_BASE64 = re.compile(rb"[A-Za-z0-9+/=\s]*")


class _TooDeep(Exception):
    """Parts nested deeper, or more of them, than any mail program makes."""

    def __init__(self, root: _Part) -> None:
        super().__init__()
        self.root = root


class _Part(Message):
    """A message that knows its depth, so that endless nesting ends before the parser's recursion does."""

    depth = 0
    parts = 0
    root: _Part | None = None

    def attach(self, payload: Message) -> None:  # type: ignore[override]
        """Take a part in; the parser calls it before it reads that part."""
        assert isinstance(payload, _Part)
        root = self.root or self
        payload.root = root
        payload.depth = self.depth + 1
        super().attach(payload)
        root.parts += 1
        if payload.depth > MAX_DEPTH or root.parts > MAX_PARTS:
            raise _TooDeep(root)


def extract_mail(data: bytes) -> Extracted:
    """The headers that people read, the body, and the names of attachments.

    Of alternatives, plain text is preferred to HTML. Attachments and attached mails are named and not read.

    Raises:
        DamagedDocument: no header and no body in it.
        OversizedDocument: more than ``MAX_BYTES``.
    """
    return next(mail_pages(io.BytesIO(data)))


def mail_pages(file: BinaryIO) -> Iterator[Extracted]:
    """The same from an open file, in one piece: its parts are whole in memory, the file as such is not."""
    size = file.seek(0, io.SEEK_END)
    if size > MAX_BYTES:
        raise OversizedDocument(f"the mail has {size:,} bytes; at most {MAX_BYTES:,} are parsed")
    file.seek(0)
    yield _extracted(file)


def _extracted(file: BinaryIO) -> Extracted:
    message, warnings = _parsed(file)
    headers = [f"{name}: {value}" for name in _SHOWN if (value := _header(message, name))]
    bodies: list[str] = []
    attachments: list[str] = []
    for part in _chosen(message):
        if _is_attachment(part):
            attachments.append(f"Attachment: {_file_name(part)}")
            continue
        text, more = _body(part)
        warnings += more
        bodies.append(text.strip())
    pieces = ["\n".join(headers + attachments), *bodies]
    text = clean("\n\n".join(filter(None, pieces)))
    if not text.strip():
        raise DamagedDocument("the mail has neither headers nor a body")
    return {"text": text, "warnings": list(dict.fromkeys(warnings))}


def _parsed(file: BinaryIO) -> tuple[Message, list[str]]:
    parser: BytesFeedParser[Message] = BytesFeedParser(_Part, policy=compat32)
    try:
        while block := file.read(_BLOCK_BYTES):
            parser.feed(block)
        message = parser.close()
    except _TooDeep as found:
        return found.root, [f"parts over {MAX_DEPTH} deep, or over {MAX_PARTS:,} of them, were left out"]
    return message, [_defect(defect) for defect in message.defects]


def _chosen(message: Message, depth: int = 0) -> Iterator[Message]:
    """The parts to show, in order: of ``multipart/alternative`` the plain text, or else the HTML."""
    parts = message.get_payload()
    if not isinstance(parts, list) or message.get_content_type() == "message/rfc822":
        yield message
        return
    if depth > MAX_DEPTH:
        return
    if message.get_content_type() == "multipart/alternative":
        parts = sorted(parts, key=lambda part: _PREFERENCE.get(part.get_content_type(), 1))[:1]
    for part in parts:
        if isinstance(part, Message):
            yield from _chosen(part, depth + 1)


_PREFERENCE = {"text/plain": 0, "text/html": 2, "text/enriched": 3, "text/calendar": 4, "application/ics": 5}


def _is_attachment(part: Message) -> bool:
    if part.get_content_disposition() == "attachment":
        return True
    return part.get_content_type() not in ("text/plain", "text/html", "text/markdown", "text/enriched")


def _body(part: Message) -> tuple[str, list[str]]:
    warnings = []
    if str(part.get("Content-Transfer-Encoding", "")).strip().lower() == "base64":
        payload = part.get_payload()
        if isinstance(payload, str) and not _BASE64.fullmatch(payload.encode("utf-8", "replace")):
            warnings.append("a part's base64 is damaged")
    data = part.get_payload(decode=True)
    if not isinstance(data, bytes):
        return "", ["a part has no body"]
    warnings += [_defect(defect) for defect in part.defects]
    if part.get_content_type() == "text/html":
        page = extract_html(data, _charset(part))
        return page["text"], warnings + page["warnings"]
    text, more = decode(data, _charset(part))
    return text, warnings + more


def _charset(part: Message) -> str | None:
    label = part.get_param("charset")
    if isinstance(label, tuple):  # RFC 2231: (charset, language, value)
        label = label[2]
    return str(label) if label else None


def _header(message: Message, name: str) -> str:
    """A header's value, decoded; as it stands where its encoded words are broken."""
    items = ((key, value) for key, value in message.raw_items() if key.lower() == name.lower())
    raw = str(next(items, ("", ""))[1])[:MAX_HEADER_CHARACTERS]
    try:
        pieces = decode_header(raw)
    except (HeaderParseError, ValueError):
        pieces = [(raw, None)]
    text = "".join(_header_piece(piece, label) for piece, label in pieces)
    return " ".join(text.split())


def _header_piece(piece: str | bytes, label: str | None) -> str:
    if isinstance(piece, str):
        piece = piece.encode("ascii" if _escaped(piece) else "utf-8", "surrogateescape")
    return decode(piece, label)[0]


def _escaped(text: str) -> bool:
    """Whether all that isn't ASCII are bytes that the parser smuggled through as surrogates."""
    return all(c < "\x80" or "\udc80" <= c <= "\udcff" for c in text)


def _file_name(part: Message) -> str:
    try:
        name = part.get_filename()
    except (HeaderParseError, ValueError, LookupError):
        name = None
    return " ".join(str(name).split())[:200] if name else f"unnamed, {part.get_content_type()}"


def _defect(defect: object) -> str:
    """``CloseBoundaryNotFoundDefect`` -> ``close boundary not found``."""
    words = re.findall(r"[A-Z][a-z0-9]*", type(defect).__name__.removesuffix("Defect"))
    return f"the mail's structure is damaged: {' '.join(words).lower()}"
