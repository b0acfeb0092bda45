"""Plain text and Markdown in every encoding they come in."""

from __future__ import annotations

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflow import DocumentError
from workloads.extraction import UnsupportedDocument, text_of
from workloads.extraction.plain import extract_plain
from workloads.extraction.text import clean, decode

RUSSIAN = "Комиссия утвердила годовой отчёт в Казани. " * 5
JAPANESE = "委員会は年次報告書を全会一致で承認した。\n" * 20


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-le", "utf-16-be", "utf-32-le"]
)
def test_unicode_is_read_with_and_without_a_mark(encoding):
    assert extract_plain("A plain text, naïve.\n".encode(encoding)) == {
        "text": "A plain text, naïve.\n",
        "warnings": [],
    }


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("déjà vu: “là”", "windows-1252"),
        ("Größe", "latin-1"),
        (RUSSIAN, "windows-1251"),
        (RUSSIAN, "koi8-r"),
        (JAPANESE, "shift_jis"),
        (JAPANESE, "euc-jp"),
        (JAPANESE * 100, "shift_jis"),
    ],
)
def test_an_old_encoding_is_told_by_its_looks_and_the_guess_is_said(text, encoding):
    read = extract_plain(text.encode(encoding))
    assert read["text"] == text
    assert "by its looks" in read["warnings"][0]


def test_utf8_with_a_few_broken_bytes_stays_utf8():
    read = extract_plain(RUSSIAN.encode() + b"\xff" + RUSSIAN.encode())
    assert read["text"] == f"{RUSSIAN}\ufffd{RUSSIAN}"
    assert read["warnings"] == ["1 place doesn't decode as utf-8; U+FFFD stands there"]


def test_line_ends_become_newlines_and_nul_goes():
    assert clean("a\r\nb\rc\0\ud800d\ufeff") == "a\nb\ncd\ufeff"


@pytest.mark.parametrize("data", [bytes(range(256)) * 4, b"\0\1\2\3" * 100, codecs.BOM_UTF8[:2] + bytes(64)])
def test_binary_data_is_no_text(data):
    with pytest.raises(UnsupportedDocument, match="binary"):
        extract_plain(data)


@given(
    st.binary(min_size=1, max_size=300),
    st.sampled_from(["text/plain", "text/markdown", "text/html", "message/rfc822", ""]),
)
def test_any_bytes_give_text_that_encodes_or_a_named_failure(data, media_type):
    try:
        read = text_of(data, media_type)
    except DocumentError as error:
        assert str(error)  # noqa: PT017  (either outcome is right)
    else:
        read["text"].encode("utf-8")
        assert "\r" not in read["text"]
        assert "\0" not in read["text"]
        assert read == text_of(data, media_type)


@given(st.text(st.characters(exclude_characters="\r\0\ufeff", exclude_categories=["Cs"]), max_size=200))
def test_utf8_comes_back_unchanged(text):
    assert decode(text.encode()) == (text, [])
