"""Word documents: order, tables, damage, encryption and bombs."""

from __future__ import annotations

import io
import zipfile

import docx
import pytest

from workloads.extraction import (
    DamagedDocument,
    EncryptedDocument,
    OversizedDocument,
    UnsupportedDocument,
    text_of,
)
from workloads.extraction import docx as module
from workloads.extraction.docx import extract_docx

W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
MC = "http://schemas.openxmlformats.org/markup-compatibility/2006"


def written(fill) -> bytes:
    document = docx.Document()
    fill(document)
    packed = io.BytesIO()
    document.save(packed)
    return packed.getvalue()


def with_parts(data: bytes, **changed: bytes | None) -> bytes:
    """The package with parts replaced, left out (``None``) or added; ``document`` is the main one."""
    parts = {
        {"document": "word/document.xml", "image": "word/media/image.png"}.get(k, k): v
        for k, v in changed.items()
    }
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            content = parts.pop(name, old.read(name))
            if content is not None:
                new.writestr(name, content)
        for name, content in parts.items():
            new.writestr(name, content or b"")
    return packed.getvalue()


def body(xml: str, before: str = "") -> bytes:
    return f'{before}<w:document xmlns:w="{W}" xmlns:mc="{MC}"><w:body>{xml}</w:body></w:document>'.encode()


def paragraph(text: str) -> str:
    return f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>"


@pytest.fixture(scope="module")
def plain() -> bytes:
    return written(lambda document: document.add_paragraph("hello"))


def test_paragraphs_and_tables_come_in_the_order_of_the_document():
    def fill(document):
        document.add_heading("Head", 1)
        table = document.add_table(2, 2)
        for cell, text in zip(
            [c for row in table.rows for c in row.cells], ["a", "b c", "1", "2"], strict=True
        ):
            cell.text = text
        document.add_paragraph("after")

    assert extract_docx(written(fill)) == {"text": "Head\na\tb c\n1\t2\n\nafter", "warnings": []}


def test_tabs_breaks_and_links_belong_to_the_text(plain):
    link = "<w:hyperlink><w:r><w:t>c</w:t></w:r></w:hyperlink>"
    xml = f"<w:p><w:r><w:t>a</w:t><w:tab/><w:t>b</w:t><w:br/></w:r>{link}</w:p>"
    assert extract_docx(with_parts(plain, document=body(xml)))["text"] == "a\tb\nc"


def test_deleted_and_repeated_text_is_left_out(plain):
    xml = (
        "<w:p><w:del><w:r><w:delText>gone</w:delText></w:r></w:del><w:moveFrom><w:r><w:t>moved</w:t></w:r></w:moveFrom>"
        "<w:r><mc:AlternateContent><mc:Choice><w:t>new</w:t></mc:Choice><mc:Fallback><w:t>old</w:t></mc:Fallback>"
        "</mc:AlternateContent></w:r></w:p>"
    )
    assert extract_docx(with_parts(plain, document=body(xml)))["text"] == "new"


def test_a_cell_that_claims_a_billion_columns_costs_nothing(plain):
    cell = '<w:tc><w:tcPr><w:gridSpan w:val="1000000000"/></w:tcPr><w:p><w:r><w:t>x</w:t></w:r></w:p></w:tc>'
    assert (
        extract_docx(with_parts(plain, document=body(f"<w:tbl><w:tr>{cell}</w:tr></w:tbl>")))["text"] == "x"
    )


def test_a_part_that_unpacks_beyond_the_limit_is_refused_before_it_is_unpacked(plain, monkeypatch):
    bomb = with_parts(plain, document=body(paragraph("x" * (module.MAX_XML_BYTES + 1))))
    assert len(bomb) < 200_000
    monkeypatch.setattr(zipfile.ZipFile, "open", None)  # nothing may be unpacked
    with pytest.raises(OversizedDocument, match="zip bomb"):
        extract_docx(bomb)


def test_a_bomb_in_another_part_is_refused(plain, monkeypatch):
    monkeypatch.setattr(module, "MAX_UNPACKED_BYTES", 1_000_000)
    with pytest.raises(OversizedDocument):
        extract_docx(with_parts(plain, image=bytes(1_000_001)))


def test_a_part_that_unpacks_to_more_than_it_declares_is_not_unpacked_further(plain):
    honest = with_parts(plain, document=body(paragraph("x" * 1_000_000)))
    with zipfile.ZipFile(io.BytesIO(honest)) as archive:
        size = archive.getinfo("word/document.xml").file_size
    lying = honest.replace(size.to_bytes(4, "little"), (500).to_bytes(4, "little"))
    with pytest.raises(DamagedDocument):
        extract_docx(lying)


def test_a_billion_laughs_expand_to_nothing(plain):
    entities = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    before = f'<!DOCTYPE w:document [<!ENTITY l0 "lol">{entities}]>'
    read = extract_docx(with_parts(plain, document=body(paragraph("a &l9; b") + paragraph("end"), before)))
    assert read["text"].startswith("a")
    assert "lol" not in read["text"]


def test_an_entity_never_reads_a_file(plain, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("secret")
    before = f'<!DOCTYPE w:document [<!ENTITY file SYSTEM "{secret.as_uri()}">]>'
    read = extract_docx(with_parts(plain, document=body(paragraph("a &file; b") + paragraph("end"), before)))
    assert read["text"].endswith("end")
    assert "secret" not in read["text"]


def test_xml_of_endless_depth_ends(plain):
    deep = body("<w:sdt>" * 100_000 + paragraph("x") + "</w:sdt>" * 100_000)
    with pytest.raises(DamagedDocument):
        extract_docx(with_parts(plain, document=deep))


def test_broken_xml_yields_the_text_before_the_break_and_a_warning(plain):
    read = extract_docx(with_parts(plain, document=body(paragraph("first") + "<w:p><w:r><w:t>second</w:p")))
    assert read["text"].startswith("first")
    assert "rescued" in read["warnings"][0]


def test_a_package_without_its_directory_of_types_still_yields_its_text(plain):
    read = extract_docx(with_parts(plain, **{"[Content_Types].xml": None}))
    assert read["text"] == "hello"
    assert "rescued" in read["warnings"][0]


def test_a_package_without_text_part_is_damaged(plain):
    with pytest.raises(DamagedDocument):
        extract_docx(with_parts(plain, document=None))


def test_a_truncated_package_is_damaged(plain):
    for tenth in range(1, 10):
        with pytest.raises(DamagedDocument, match="zip archive"):
            extract_docx(plain[: len(plain) * tenth // 10])


def test_a_zip_archive_with_a_password_is_encrypted(plain):
    flagged = bytearray(plain)
    place = flagged.index(b"PK\x01\x02")
    flagged[place + 8] |= 1
    with pytest.raises(EncryptedDocument):
        extract_docx(bytes(flagged))


def test_an_encrypted_office_container_is_told_from_a_legacy_one():
    container = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500)
    with pytest.raises(EncryptedDocument):
        text_of(container + "EncryptedPackage".encode("utf-16-le"))
    with pytest.raises(UnsupportedDocument, match="legacy"):
        text_of(container)


@pytest.mark.parametrize(("member", "kind"), [("xl/workbook.xml", "Excel"), ("readme.txt", "zip archive")])
def test_another_kind_of_archive_is_named(member, kind):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(member, "x")
    with pytest.raises(UnsupportedDocument, match=kind):
        extract_docx(packed.getvalue())
