"""The format is what the bytes say; the name decides where they say nothing."""

from __future__ import annotations

import pytest

from dataflow import Document
from workloads.extraction import EmptyDocument, UnsupportedDocument, extract, sniff, text_of
from workloads.extraction.dispatch import DOCX, HTML, MAIL, MARKDOWN, PDF, PLAIN


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (b"%PDF-1.7\n", PDF),
        (b"\n\n garbage %PDF-1.7\n", PDF),
        (b"PK\x03\x04", DOCX),
        (b"<!doctype html><p>", HTML),
        (b"\xef\xbb\xbf  <!-- x -->\n<HTML>", HTML),
        (b'<?xml version="1.0"?>\n<html>', HTML),
        (b"Received: by x\r\n with y\r\nSubject: z\r\n\r\n", MAIL),
        (b"just words", PLAIN),
    ],
)
def test_a_name_that_says_nothing_leaves_it_to_the_content(data, media_type):
    assert sniff(data) == media_type


@pytest.mark.parametrize("media_type", [PLAIN, MARKDOWN, MAIL, HTML])
def test_text_is_what_its_name_says(media_type):
    assert sniff(b"Subject: x\nFrom: y\n\n# Title", media_type) == media_type


def test_a_text_about_pdf_is_no_pdf():
    assert sniff(b"A file begins with %PDF-1.7", PLAIN) == PLAIN


def test_a_name_that_lies_is_a_warning():
    read = text_of(b"<html><p>a page", PDF)
    assert read == {"text": "a page", "warnings": [f"it is named as {PDF} and is {HTML}"]}


def test_an_empty_file_is_named_so():
    with pytest.raises(EmptyDocument, match="empty"):
        text_of(b"", PDF)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\x89PNG\r\n", "PNG"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"\x7fELF", "program"),
        (b"%!PS-Adobe", "PostScript"),
    ],
)
def test_a_format_that_is_not_read_is_named(data, kind):
    with pytest.raises(UnsupportedDocument, match=kind):
        text_of(data, PLAIN)


def test_a_type_that_is_not_read_is_read_as_text_if_it_is_text():
    assert text_of(b'{"a": 1}', "application/json")["text"] == '{"a": 1}'
    with pytest.raises(UnsupportedDocument, match="application/x-thing"):
        text_of(bytes(100), "application/x-thing")


def test_the_stage_reads_by_media_type_and_is_locked_under_threads():
    document = Document("x.html", 3, HTML)
    assert extract(b"<p>x", document) == {"text": "x", "warnings": []}
    assert not extract.thread_safe
    assert extract.wants_document
