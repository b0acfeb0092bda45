import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflow.document import Document, Documents, as_text, guess_media_type, numbered, url_of


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("a/b.pdf", "application/pdf"),
        ("B.PDF", "application/pdf"),
        ("x.html", "text/html"),
        ("x.htm", "text/html"),
        ("x.md", "text/markdown"),
        ("x.txt", "text/plain"),
        ("x.eml", "message/rfc822"),
        ("x.docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
        ("noname", "application/octet-stream"),
        ("dump.html.gz", "application/octet-stream"),
        ("folder.pdf/readme", "application/octet-stream"),
    ],
)
def test_the_media_type_follows_from_the_name(name, media_type):
    assert guess_media_type(name) == media_type


def test_documents_that_are_kept_as_plain_tuples_are_the_same_ones():
    made = [Document("a.txt", 1, "text/plain"), Document("s3://b/c", None, "x/y", 2.5, "etag")]
    kept = Documents([numbered(position, document) for position, document in enumerate(made)])
    assert kept == made == list(kept)
    assert kept[1] == made[1]
    assert kept[:1] == made[:1]
    assert kept != made[:1]
    assert kept != "a.txt"


@given(st.text(alphabet=["\\", "u", "d", "c", "e", "9", "x", "5", "é", "a", "\udce9", "\udcfe", "/"]))
def test_a_url_comes_back_of_its_text_whatever_bytes_are_in_it(url):
    text = as_text(url)
    text.encode("utf-8")
    assert url_of(text) == url


@pytest.mark.parametrize("url", ["/a/b.txt", r"C:\data\new.txt", "/é.txt", "s3://b/a%20b"])
def test_what_utf8_can_hold_is_its_own_text(url):
    assert as_text(url) == url


def test_two_names_that_look_alike_have_two_texts():
    assert (as_text("caf\udce9"), as_text(r"caf\udce9")) == (r"caf\udce9", r"caf\x5cudce9")
