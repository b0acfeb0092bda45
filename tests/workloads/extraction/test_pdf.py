"""PDFs: sound, scanned, cut off, encrypted, and made to hurt."""

from __future__ import annotations

import gc
import io
from random import Random

import pypdfium2
import pytest
from pypdfium2.internal import ObjectTracker
from reportlab.lib import pdfencrypt
from reportlab.pdfgen.canvas import Canvas

from dataflow import DocumentError
from tests.support.poison import CATALOG, EMPTY_PAGE, assembled
from workloads.extraction import DamagedDocument, EncryptedDocument, OversizedDocument
from workloads.extraction import pdf as module
from workloads.extraction.pdf import extract_pdf


def written(pages: list[list[str]], **options: object) -> bytes:
    packed = io.BytesIO()
    canvas = Canvas(packed, invariant=1, **options)
    for lines in pages:
        for number, line in enumerate(lines):
            canvas.drawString(60, 780 - 14 * number, line)
        canvas.showPage()
    canvas.save()
    return packed.getvalue()


def test_pages_are_paragraphs_and_lines_end_with_a_newline():
    assert extract_pdf(written([["one", "two"], ["three"]])) == {"text": "one\ntwo\n\nthree", "warnings": []}


def test_text_beyond_the_edges_of_a_page_is_read():
    assert extract_pdf(written([["inside"]], pagesize=(10, 10)))["text"] == "inside"


def test_a_pdf_without_text_is_no_failure_and_says_so():
    read = extract_pdf(written([[], []]))
    assert read["text"] == ""
    assert "scanned" in read["warnings"][0]


def test_a_password_is_named_as_the_cause():
    locked = written([["secret"]], encrypt=pdfencrypt.StandardEncryption("key", "owner", strength=128))
    with pytest.raises(EncryptedDocument, match="password"):
        extract_pdf(locked)


def test_a_pdf_that_is_cut_off_is_named_so():
    with pytest.raises(DamagedDocument, match="cut off"):
        extract_pdf(written([["text"]])[:120])


def test_what_is_no_pdf_is_named_so():
    with pytest.raises(DamagedDocument, match="header is missing"):
        extract_pdf(b"certainly not")


def test_a_page_that_cannot_be_loaded_is_a_warning():
    read = extract_pdf(assembled(CATALOG, b"<</Type/Pages/Count 2/Kids[3 0 R 9 0 R]>>", EMPTY_PAGE))
    assert read["warnings"][0] == "1 of 2 pages can't be loaded: 2"


def test_a_million_pages_that_are_not_there_are_given_up():
    read = extract_pdf(assembled(CATALOG, b"<</Type/Pages/Count 1000000/Kids[3 0 R]>>", EMPTY_PAGE))
    assert read["warnings"][0] == "999,999 of 1,000,000 pages can't be loaded: 2-1000000"


def test_pages_that_are_their_own_parents_end():
    with pytest.raises(DamagedDocument):
        extract_pdf(assembled(CATALOG, b"<</Type/Pages/Count 5/Kids[2 0 R 2 0 R]>>"))


@pytest.mark.parametrize("depth", [100, 5_000])
def test_a_page_tree_of_any_depth_ends(depth):
    levels = [b"<</Type/Pages/Count 1/Kids[%d 0 R]>>" % (number + 1) for number in range(2, depth + 2)]
    try:
        extract_pdf(assembled(CATALOG, *levels, EMPTY_PAGE))["text"].encode()
    except DamagedDocument as error:
        assert "page" in str(error)  # noqa: PT017  (either outcome is right: PDFium's own limit decides)


def test_too_many_pages_are_refused(monkeypatch):
    monkeypatch.setattr(module, "MAX_PAGES", 2)
    with pytest.raises(OversizedDocument):
        extract_pdf(written([["a"], ["b"], ["c"]]))


def test_damage_of_any_kind_gives_text_or_a_named_failure_and_the_same_each_time():
    rng = Random(5)
    sound = written(
        [[f"page {page} line {line}" for line in range(30)] for page in range(4)], pageCompression=0
    )
    for _ in range(300):
        damaged = bytearray(sound[: rng.choice((len(sound), rng.randrange(1, len(sound))))])
        for _ in range(rng.choice((1, 10, 100))):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        results = [outcome(bytes(damaged)) for _ in range(2)]
        assert results[0] == results[1]


def outcome(data: bytes) -> str:
    try:
        text = extract_pdf(data)["text"]
    except DocumentError as error:
        return f"{type(error).__name__}: {error}"
    text.encode()
    return text


def test_nothing_of_pdfium_outlives_the_call():
    gc.collect()
    kinds = (pypdfium2.PdfDocument, pypdfium2.PdfPage, pypdfium2.PdfTextPage)
    before = [len(ObjectTracker[kind]) for kind in kinds]
    extract_pdf(written([["one"], ["two"]]))
    outcome(assembled(CATALOG, b"<</Type/Pages/Count 2/Kids[3 0 R 9 0 R]>>", EMPTY_PAGE))
    outcome(written([["one"]])[:200])
    assert [len(ObjectTracker[kind]) for kind in kinds] == before
