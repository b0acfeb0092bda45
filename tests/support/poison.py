"""Documents that are made to hurt a parser, and the raw PDF that some of them are built of."""

import io
import zipfile

import docx

CATALOG = b"<</Type/Catalog/Pages 2 0 R>>"
EMPTY_PAGE = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]>>"
W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"


def assembled(*objects: bytes) -> bytes:
    """A PDF of raw objects, numbered from 1; the first is the catalog."""
    packed, places = bytearray(b"%PDF-1.4\n"), []
    for number, content in enumerate(objects, 1):
        places.append(len(packed))
        packed += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    size = len(objects) + 1
    tail = b"trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % (size, len(packed))
    return bytes(packed) + b"xref\n0 %d\n0000000000 65535 f \n%s" % (size, table) + tail


def million_pages() -> bytes:
    """A PDF of a few hundred bytes whose page tree claims a million pages, of which one is there."""
    return assembled(CATALOG, b"<</Type/Pages/Count 1000000/Kids[3 0 R]>>", EMPTY_PAGE)


def own_parents() -> bytes:
    """A PDF whose pages are their own parents."""
    return assembled(CATALOG, b"<</Type/Pages/Count 1000000/Kids[2 0 R 2 0 R]>>")


def word(body: str, before: str = "") -> bytes:
    """A Word document whose text part is that XML."""
    packed, made = io.BytesIO(), io.BytesIO()
    docx.Document().save(packed)
    with zipfile.ZipFile(packed) as old, zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name) if name != "word/document.xml" else _text_part(body, before))
    return made.getvalue()


def _text_part(body: str, before: str) -> str:
    return f'{before}<w:document xmlns:w="{W}"><w:body>{body}</w:body></w:document>'


def zip_bomb() -> bytes:
    """A Word document of some hundred kilobytes whose text part unpacks to a hundred megabytes."""
    return word(f"<w:p><w:r><w:t>{'x' * 100_000_000}</w:t></w:r></w:p>")


def laughs() -> str:
    """A document type whose entity ``l9`` unfolds to a billion words."""
    entities = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    return f'<!DOCTYPE html [<!ENTITY l0 "lol">{entities}]>'


def laughing_word() -> bytes:
    """A billion laughs in a Word document."""
    return word("<w:p><w:r><w:t>a &l9; b</w:t></w:r></w:p>", laughs().replace("html", "w:document"))


def deep_word() -> bytes:
    """A Word document whose XML is 100,000 elements deep."""
    return word("<w:sdt>" * 100_000 + "<w:p/>" + "</w:sdt>" * 100_000)


def deep_page() -> bytes:
    """A web page of 100,000 nested elements."""
    return b"<title>T</title>" + b"<div>" * 100_000 + b"deep"


def laughing_mail() -> bytes:
    """A billion laughs in a mail's body."""
    return f"Subject: s\nContent-Type: text/html\n\n{laughs()}<p>a &l9; b".encode()


def deep_mail() -> bytes:
    """A mail of parts within parts, 2,000 deep."""
    part = 'Content-Type: multipart/mixed; boundary="{n}"\n\n--{n}\n\nlevel {n}\n--{n}\n'
    return ("Subject: s\n" + "".join(part.replace("{n}", str(n)) for n in range(2_000))).encode()
