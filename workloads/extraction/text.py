"""Bytes to clean Unicode: what all formats share."""

from __future__ import annotations

import codecs
import re

__all__ = [
    "BINARY_SAMPLE_BYTES",
    "SAMPLE_BYTES",
    "bad_and_good",
    "clean",
    "decode",
    "guess_encoding",
    "is_utf8",
    "known_encoding",
    "looks_binary",
    "no_utf8",
    "replaced",
    "unmarked_wide_encoding",
    "without_bom",
    "words",
]


def words(text: str) -> frozenset[str]:
    """The words of a text, for tables of names."""
    return frozenset(text.split())


_BOMS = (  # UTF-32 first: its mark begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)

# What browsers do: these labels are used for text that really is in the larger encoding.
_WIDER = {
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "tis-620": "cp874",
    "iso8859-11": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
}

# Codecs of Python that documents may name. Not among them: those that unpack or are quadratic (punycode,
# utf-7).
_TEXT_ENCODINGS = words(
    "utf-8 utf-16 utf-16-le utf-16-be utf-32 utf-32-le utf-32-be cp866 cp874 cp932 cp949 cp1250 cp1251 "
    "cp1252 cp1253 cp1254 cp1255 cp1256 cp1257 cp1258 iso8859-2 iso8859-3 iso8859-4 iso8859-5 iso8859-6 "
    "iso8859-7 iso8859-8 iso8859-10 iso8859-13 iso8859-14 iso8859-15 iso8859-16 koi8-r koi8-u mac-roman "
    "mac-cyrillic cp437 cp850 cp852 gb18030 big5 big5hkscs euc_jp euc_jis_2004 shift_jis_2004 iso2022_jp "
    "johab "
)

_LABEL = re.compile(r"[A-Za-z0-9_.:-]{1,40}")
_NON_ASCII = re.compile(rb"[\x80-\xff]")
_NON_ASCII_RUN = re.compile(rb"[\x80-\xff]{3,}")
_SHIFT_JIS = ("cp932", "shift_jis", "shift_jis_2004", "shift_jisx0213")
_HALFWIDTH_KATAKANA = re.compile("[\uff61-\uff9f]")

# Enough bytes to tell an encoding by; guessing from more only takes longer.
SAMPLE_BYTES = 16_384

# Replacement characters a good non-ASCII one that still let a text count as UTF-8 with damage.
_DAMAGE_RATIO = 0.25


_CONTROLS = bytes(c for c in range(32) if c not in b"\t\n\x0b\x0c\r\x1a\x1b") + b"\x7f"
BINARY_SAMPLE_BYTES = 1 << 16
# A tenth of all bytes in compressed or compiled data are control characters; text has next to none.
_BINARY_SHARE = 0.03


def clean(text: str, *, begins: bool = True) -> str:
    """The text with ``\\n`` as line end, and without NUL, byte-order mark and lone surrogates.

    Of a text in pieces, only the first ``begins`` it, and may have a mark; and none but the last ends in ``\\r``.
    """
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "\0" in text:
        text = text.replace("\0", "")
    if text.isascii():
        return text
    if begins and text.startswith("\ufeff"):
        text = text[1:]
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-8", "ignore").decode("utf-8")
    return text


def known_encoding(label: str | None) -> str | None:
    """Python's name of the encoding that a document's label means; ``None`` if it is none for text."""
    if label is None or not _LABEL.fullmatch(label):
        return None
    try:
        name = codecs.lookup(label).name
    except LookupError:
        return None
    name = _WIDER.get(name, name)
    return name if name in _TEXT_ENCODINGS else None


def without_bom(data: bytes) -> tuple[bytes, str | None]:
    """The bytes after the byte-order mark, and the encoding that it names, if there is one."""
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            return data[len(mark) :], encoding
    return data, None


def decode(data: bytes, label: str | None = None) -> tuple[str, list[str]]:
    """Decode bytes by their byte-order mark, the label that came with them, or what they look like.

    Args:
        data: text in some encoding.
        label: the encoding as a header or ``<meta>`` names it; it may be wrong or unknown.

    Returns:
        The text, cleaned, and warnings about bytes or labels that were wrong. Always the same for the same
        arguments.
    """
    data, marked = without_bom(data)
    encoding = marked or known_encoding(label)
    warnings = []
    if label and not encoding:
        warnings.append(f"it names the unknown encoding {label[:40]!r}")
    if encoding in (None, "utf-8"):
        text, more = _probably_utf8(data, claimed=encoding is not None)
    else:
        text, more = _as(data, str(encoding))
    return clean(text), warnings + more


def _probably_utf8(data: bytes, *, claimed: bool) -> tuple[str, list[str]]:
    try:
        return data.decode("utf-8"), []
    except UnicodeDecodeError:
        pass
    text = data.decode("utf-8", "replace")
    bad, good = bad_and_good(text)
    if is_utf8(bad, good):
        return text, [replaced(bad, "utf-8")]
    encoding = guess_encoding(data)
    text, warnings = _as(data, encoding)
    return text, [no_utf8(encoding, claimed=claimed), *warnings]


def bad_and_good(text: str) -> tuple[int, int]:
    """How many replacement characters a text holds, and how many other non-ASCII ones."""
    bad = text.count("\ufffd")
    return bad, len(text) - len(text.encode("ascii", "ignore")) - bad


def is_utf8(bad: int, good: int) -> bool:
    """Whether bytes that decode as UTF-8 with so many replacement and good characters are UTF-8 with some damage."""
    return bad <= max(good, 1) * _DAMAGE_RATIO


def guess_encoding(data: bytes) -> str:
    """The likeliest 8-bit or Asian encoding, by the first ``SAMPLE_BYTES``.

    In western text a byte above 127 stands alone among ASCII letters, and statistics on so few of them
    guess wildly: that is windows-1252. Where they come in runs there is enough to go by.
    """
    sample = data[:SAMPLE_BYTES]
    if len(data) > len(sample) and b"\n" in sample:
        sample = sample[: sample.rindex(b"\n")]  # not in the middle of a character
    if sum(map(len, _NON_ASCII_RUN.findall(sample))) * 2 > len(_NON_ASCII.findall(sample)):
        from charset_normalizer import from_bytes  # here: few documents need it, and loading it takes 10 ms

        for excluded in ((), _SHIFT_JIS):
            for match in from_bytes(sample, cp_exclusion=list(excluded)):
                found = known_encoding(match.encoding)
                if found and not found.startswith("utf") and not _halfwidth(str(match)):
                    return found
    return "cp1252"


def _halfwidth(text: str) -> bool:
    """Whether it is mostly halfwidth katakana: what Cyrillic looks like when it's read as Japanese."""
    return len(_HALFWIDTH_KATAKANA.findall(text)) * 3 > len(text)


def _as(data: bytes, encoding: str) -> tuple[str, list[str]]:
    try:
        return data.decode(encoding), []
    except UnicodeDecodeError:
        text = data.decode(encoding, "replace")
    return text, [replaced(text.count("\ufffd"), encoding)]


def no_utf8(encoding: str, *, claimed: bool) -> str:
    """The warning about text that should be UTF-8."""
    said = "says utf-8 and isn't" if claimed else "names no encoding and isn't utf-8"
    return f"it {said}; read as {encoding}, by its looks"


def replaced(count: int, encoding: str) -> str:
    """The warning about bytes that don't decode."""
    places = "1 place doesn't" if count == 1 else f"{count} places don't"
    return f"{places} decode as {encoding}; U+FFFD stands there"


def looks_binary(data: bytes) -> bool:
    """Whether too many control characters stand in the first 64 KiB for it to be text of 8-bit units."""
    sample = data[:BINARY_SAMPLE_BYTES]
    controls = len(sample) - len(sample.translate(None, _CONTROLS))
    return controls > len(sample) * _BINARY_SHARE


def unmarked_wide_encoding(data: bytes) -> str | None:
    """UTF-16 or UTF-32 without a mark: ASCII characters leave zeros at every second or fourth byte only."""
    sample = data[: 4096 - len(data[:4096]) % 4]
    if len(sample) < 8 or not sample.count(0):
        return None
    shares = [sample[i::4].count(0) * 4 / len(sample) for i in range(4)]
    zeros = "".join("0" if share > 0.7 else "x" if share < 0.3 else "?" for share in shares)
    return {"x000": "utf-32-le", "000x": "utf-32-be", "x0x0": "utf-16-le", "0x0x": "utf-16-be"}.get(zeros)
