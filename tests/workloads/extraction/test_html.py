"""Web pages: what a reader sees of them, in which encoding, and pages made to hurt a parser."""

from __future__ import annotations

import pytest

from workloads.extraction import OversizedDocument, UnsupportedDocument
from workloads.extraction import html as module
from workloads.extraction.html import extract_html
from workloads.extraction.markup import text_without_parser


def text(page: str) -> str:
    return extract_html(page.encode())["text"]


def test_scripts_styles_and_other_unseen_content_are_dropped():
    page = (
        "<p>a<script>var p='<p>x</p>'</script><style>b{}</style><noscript>n</noscript><template>t</template>b"
    )
    assert text(page) == "ab"


def test_the_title_comes_first_and_blocks_become_lines_and_paragraphs():
    page = "<title>T</title><h1>Head</h1><p>one\n two<p>three<ul><li>a<li>b</ul><div>c</div>d<br>e"
    assert text(page) == "T\n\nHead\n\none two\n\nthree\n\na\nb\n\nc\nd\ne"


def test_inline_tags_divide_no_word():
    assert text("<p>un<b>believ</b>able <i>x</i>") == "unbelievable x"


def test_a_table_row_is_a_line_with_tabs():
    assert text("<table><tr><th>a<th>b<tr><td>1<td>2 3</table>") == "a\tb\n1\t2 3"


def test_preformatted_text_keeps_its_lines_and_blanks():
    assert text("<p>x</p><pre>\n  def f():\n      pass\n</pre><p>y") == "x\n\n  def f():\n      pass\n\ny"


def test_entities_are_characters():
    assert text("<p>&lt;b&gt; &amp; caf&eacute; &#x1F600;") == "<b> & café \U0001f600"


@pytest.mark.parametrize(
    "head",
    ['<meta charset="koi8-r">', '<META http-equiv="Content-Type" content="text/html; charset=KOI8-R">'],
)
def test_the_encoding_is_that_of_the_meta_tag(head):
    assert extract_html(f"{head}<p>Привет".encode("koi8-r")) == {"text": "Привет", "warnings": []}


def test_a_byte_order_mark_outweighs_the_meta_tag():
    assert extract_html('<meta charset="koi8-r"><p>é'.encode("utf-8-sig"))["text"] == "é"
    assert extract_html("<p>é".encode("utf-16"))["text"] == "é"


def test_a_page_that_lies_about_utf8_is_read_as_windows_1252_with_a_warning():
    read = extract_html('<meta charset="utf-8"><p>déjà vu à Genève: “là”'.encode("windows-1252"))
    assert read["text"] == "déjà vu à Genève: “là”"
    assert read["warnings"] == ["it says utf-8 and isn't; read as cp1252, by its looks"]


def test_a_codec_that_unpacks_data_is_no_encoding():
    read = extract_html(b'<meta charset="zlib"><p>x')
    assert read == {"text": "x", "warnings": ["it names the unknown encoding 'zlib'"]}


def test_binary_data_is_no_page():
    with pytest.raises(UnsupportedDocument):
        extract_html(bytes(range(256)) * 10)


def test_a_page_beyond_the_limit_is_refused(monkeypatch):
    monkeypatch.setattr(module, "MAX_BYTES", 10)
    with pytest.raises(OversizedDocument, match="at most 10"):
        extract_html(b"<p>" + b"x" * 10)


def test_a_hundred_thousand_nested_elements_are_read_without_the_parser(monkeypatch):
    monkeypatch.setattr(module, "LexborHTMLParser", None)  # it would take a quarter of a minute
    read = extract_html(b"<title>T</title>" + b"<div>" * 100_000 + b"deep &amp; dark")
    assert read["text"] == "T\ndeep & dark"
    assert "nested too deep" in read["warnings"][0]


def test_formatting_left_open_in_thousands_of_paragraphs_is_read_without_the_parser(monkeypatch):
    monkeypatch.setattr(module, "LexborHTMLParser", None)  # it would make sixty million nodes
    page = "".join(f"<b id={i}>" for i in range(2_000)) + "<p>x" * 30_000
    assert extract_html(page.encode())["text"].split() == ["x"] * 30_000


def test_a_long_sound_page_goes_to_the_parser():
    page = "<title>T</title>" + "<ul><li><p>one <b>two</b> <a href=x>three</a><br>" * 5 + "</ul>" * 5
    read = extract_html((page * 2_000).encode())
    assert read["warnings"] == []
    assert read["text"].count("one two three") == 10_000


@pytest.mark.parametrize(
    "unit", ["<!--", "<script>", "<a ", "<", '<a b="', "</div>", "<title>", "&", "<svg>", "<table>"]
)
def test_endless_repetition_of_a_tag_ends(unit):
    text(unit * 100_000 + "x").encode()


def test_text_without_a_parser_drops_scripts_and_comments():
    assert text_without_parser("<p>a<!-- <b> -->b<script>if(a<b)</script>c") == "a\nb\nc"
