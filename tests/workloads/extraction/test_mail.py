"""Mails: headers, the best body, and what thirty years of mail programs and attackers make of them."""

from __future__ import annotations

from email.message import EmailMessage

import pytest

from workloads.extraction import DamagedDocument, OversizedDocument
from workloads.extraction import mail as module
from workloads.extraction.mail import MAX_DEPTH, extract_mail


def read(mail: str | bytes) -> tuple[str, list[str]]:
    extracted = extract_mail(mail if isinstance(mail, bytes) else mail.encode())
    return extracted["text"], extracted["warnings"]


def test_the_headers_that_people_read_come_first():
    mail = "Received: x\nDate: today\nTo: b@c\nSubject: Hi\nFrom: a@b\n\nBody.\n"
    assert read(mail) == ("Subject: Hi\nFrom: a@b\nTo: b@c\nDate: today\n\nBody.", [])


def test_encoded_words_are_decoded_and_broken_ones_stand_as_they_are():
    text, _ = read("Subject: =?utf-8?b?w6k=?= =?koi8-r?q?=F0?=\nFrom: =?utf-8?b?w?=\n\nx")
    assert text.startswith("Subject: éП\nFrom: =?utf-8?b?w?=")


def test_raw_bytes_in_a_header_are_guessed():
    assert read("Subject: é\n\nx".encode())[0].startswith("Subject: é")
    assert read("Subject: déjà\n\nx".encode("latin-1"))[0].startswith("Subject: déjà")


def test_of_alternatives_the_plain_text_is_read():
    message = EmailMessage()
    message["Subject"] = "s"
    message.set_content("plain")
    message.add_alternative("<p>html</p>", subtype="html")
    assert read(message.as_bytes())[0] == "Subject: s\n\nplain"


def test_html_alone_is_read_as_a_page_in_its_charset():
    message = EmailMessage()
    message.set_content("<title>T</title><p>é<script>x</script>", subtype="html", charset="latin-1")
    assert read(message.as_bytes())[0] == "T\n\né"


def test_html_without_a_charset_names_it_itself():
    mail = 'Content-Type: text/html\n\n<meta charset="koi8-r"><p>Привет'.encode("koi8-r")
    assert read(mail) == ("Привет", [])


def test_attachments_and_attached_mails_are_named_and_not_read():
    inner = EmailMessage()
    inner.set_content("inner text")
    message = EmailMessage()
    message.set_content("outer")
    message.add_attachment(b"%PDF-", "application", "pdf", filename="réport.pdf")
    message.add_attachment("attached text", filename="notes.txt")
    message.add_attachment(inner)
    text, _ = read(message.as_bytes())
    assert text == (
        "Attachment: réport.pdf\nAttachment: notes.txt\nAttachment: unnamed, message/rfc822\n\nouter"
    )


@pytest.mark.parametrize("charset", ["no-such", "zlib", "../../etc", "x" * 1000, "\x00", "punycode"])
def test_an_unknown_charset_is_a_warning(charset):
    text, warnings = read(f'Content-Type: text/plain; charset="{charset}"\n\ntext')
    assert text == "text"
    assert "unknown encoding" in warnings[0]


def test_broken_base64_yields_what_decodes_and_a_warning():
    text, warnings = read("Content-Transfer-Encoding: base64\n\naGVs*bG8\n")
    assert "hello" in text
    assert warnings


def test_bytes_that_do_not_decode_are_replaced_with_a_warning():
    text, warnings = read(b'Content-Type: text/plain; charset="shift_jis"\n\nabc\x81\n')
    assert text.startswith("abc\ufffd")
    assert "cp932" in warnings[0]


def test_a_multipart_without_its_end_yields_its_parts_and_a_warning():
    mail = 'Content-Type: multipart/mixed; boundary="b"\n\n--b\n\none\n--b\n\ntwo'
    text, warnings = read(mail)
    assert text == "one\n\ntwo"
    assert warnings == ["the mail's structure is damaged: close boundary not found"]


def nested(depth: int) -> str:
    return "Subject: s\n" + "".join(
        f'Content-Type: multipart/mixed; boundary="{n}"\n\n--{n}\n\nlevel {n}\n--{n}\n' for n in range(depth)
    )


def test_parts_nested_without_end_are_read_down_to_a_limit():
    text, warnings = read(nested(2_000))
    assert "level 0" in text
    assert f"level {MAX_DEPTH + 1}" not in text
    assert "left out" in warnings[0]


def test_more_parts_than_any_mail_has_are_left_out(monkeypatch):
    monkeypatch.setattr(module, "MAX_PARTS", 10)
    text, warnings = read('Content-Type: multipart/mixed; boundary="b"\n\n' + "--b\n\npart\n" * 50)
    assert 9 <= text.count("part") <= 11
    assert "left out" in warnings[0]


def test_a_header_of_a_million_brackets_is_only_text():
    assert read("From: " + "(" * 1_000_000 + "\n\nbody")[0].endswith("body")


def test_what_holds_neither_headers_nor_a_body_is_damaged():
    with pytest.raises(DamagedDocument):
        extract_mail(b"\n\n \n")


def test_a_mail_beyond_the_limit_is_refused(monkeypatch):
    monkeypatch.setattr(module, "MAX_BYTES", 10)
    with pytest.raises(OversizedDocument):
        extract_mail(b"Subject: too long")
