import pytest

from dataflow.document import guess_media_type


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
