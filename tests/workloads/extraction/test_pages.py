"""Piece by piece as whole: the same text, warnings and failures, and never the whole document in memory."""

from __future__ import annotations

import gc
import io
from pathlib import Path
from random import Random

import pypdfium2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pypdfium2.internal import ObjectTracker
from reportlab.pdfgen.canvas import Canvas

from dataflow import Document, DocumentError, Pipeline
from dataflow.document import guess_media_type
from dataflow.memo.fingerprint import stage_fingerprint
from tests.support.poison import million_pages
from workloads import batch, mixed
from workloads.checks import folder_bytes
from workloads.extraction import blocks, extract, pages, pages_of, pdf, text_of
from workloads.values import joined

RUSSIAN = "Комиссия утвердила годовой отчёт в Казани.\r\n" * 7
JAPANESE = "委員会は年次報告書を全会一致で承認した。\n" * 20


def whole(data: bytes, media_type: str):
    try:
        return text_of(data, media_type)
    except DocumentError as error:
        return type(error).__name__, str(error)


def in_pieces(data: bytes, media_type: str):
    try:
        return joined(pages_of(io.BytesIO(data), media_type))
    except DocumentError as error:
        return type(error).__name__, str(error)


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("sound")
    batch.corpus(folder, documents=12, seed=4)
    return folder_bytes(folder)


def test_every_format_sound_or_damaged_gives_the_same_in_pieces(sound):
    rng = Random(7)
    for name, data in sound.items():
        media_type = guess_media_type(name)
        assert in_pieces(data, media_type) == whole(data, media_type)
        for _ in range(25):
            damaged = bytearray(data[: rng.choice((len(data), rng.randrange(1, len(data))))])
            for _ in range(rng.choice((1, 10, 100))):
                damaged[rng.randrange(len(damaged))] = rng.randrange(256)
            for said in (media_type, rng.choice(("", "text/html", "application/pdf", "image/png"))):
                assert in_pieces(bytes(damaged), said) == whole(bytes(damaged), said)


def test_a_mixed_corpus_gives_the_same_chunks_in_pieces(tmp_path):
    mixed.corpus(tmp_path, documents=60, seed=8)
    for path in sorted(p for p in tmp_path.rglob("*") if p.is_file()):
        with path.open("rb") as file:
            try:
                expected = mixed.pipeline(path.read_bytes(), document(path))
            except DocumentError as error:
                with pytest.raises(type(error)):
                    mixed.variants["pages"](file, document(path))
            else:
                assert mixed.variants["pages"](file, document(path)) == expected


def document(path: Path):
    return Document(str(path), path.stat().st_size, guess_media_type(str(path)))


@given(
    st.binary(max_size=300) | st.text(max_size=100).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.sampled_from(["text/plain", "text/markdown", "text/html", "message/rfc822", ""]),
    st.integers(1, 5),
)
def test_any_bytes_give_the_same_in_blocks_of_any_size(data, media_type, size):
    before, blocks.BLOCK_BYTES = blocks.BLOCK_BYTES, size
    try:
        assert in_pieces(data, media_type) == whole(data, media_type)
    finally:
        blocks.BLOCK_BYTES = before


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("\ufeffA mark, naïve.\r\nend\r", "utf-8"),
        ("A mark, naïve.\r\nend\r", "utf-8-sig"),
        (RUSSIAN, "utf-16"),
        (RUSSIAN, "utf-32"),
        ("Plain letters, unmarked.\r\n" * 9, "utf-16-le"),
        ("Plain letters, unmarked.\r\n" * 9, "utf-32-be"),
        ("déjà vu: “là”\r", "windows-1252"),
        (RUSSIAN, "koi8-r"),
        (JAPANESE, "shift_jis"),
        (JAPANESE, "euc-jp"),
        (JAPANESE, "iso2022_jp"),
        ("\0\ufeff\0\r\0\n\ud800x", "utf-8"),
    ],
)
def test_a_block_may_end_within_a_character_or_a_line_end(monkeypatch, text, encoding, size):
    monkeypatch.setattr(blocks, "BLOCK_BYTES", size)
    data = text.encode(encoding, "surrogatepass")
    for damaged in (
        data,
        data[:-1],
        data[: len(data) // 2] + b"\xff" + data[len(data) // 2 :],
        data + b"\xe2\x82",
    ):
        assert in_pieces(damaged, "text/plain") == whole(damaged, "text/plain")


def test_an_encrypted_office_container_is_found_wherever_its_name_stands(monkeypatch):
    name = "EncryptedPackage".encode("utf-16-le")
    for at in (500, 2**16 - 10, 2**17):
        data = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(at) + name
        assert in_pieces(data, "") == whole(data, "")
        assert in_pieces(data, "")[0] == "EncryptedDocument"
    data = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(2**17)
    assert in_pieces(data, "")[0] == "UnsupportedDocument"


# PDF


def written(count: int) -> bytes:
    packed = io.BytesIO()
    canvas = Canvas(packed, invariant=1, pageCompression=0)
    for page in range(count):
        for line in range(20):
            canvas.drawString(60, 780 - 14 * line, f"page {page} line {line}")
        canvas.showPage()
    canvas.save()
    return packed.getvalue()


def test_a_pdf_that_is_opened_again_at_every_page_gives_the_same_sound_or_damaged(monkeypatch):
    monkeypatch.setattr(pdf, "REOPEN_BYTES", -1)
    rng, data = Random(11), written(6)
    assert in_pieces(data, "application/pdf") == whole(data, "application/pdf")
    for _ in range(150):
        damaged = bytearray(data[: rng.choice((len(data), rng.randrange(1, len(data))))])
        for _ in range(rng.choice((1, 10, 100))):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        assert in_pieces(bytes(damaged), "application/pdf") == whole(bytes(damaged), "application/pdf")


def test_one_page_is_open_at_a_time_and_none_outlives_an_early_end():
    gc.collect()
    kinds = (pypdfium2.PdfPage, pypdfium2.PdfTextPage)
    before = [len(ObjectTracker[kind]) for kind in kinds]
    documents = len(ObjectTracker[pypdfium2.PdfDocument])
    found = pages_of(io.BytesIO(written(5)), "application/pdf")
    for _ in range(3):
        next(found)
        assert [len(ObjectTracker[kind]) for kind in kinds] == before
    found.close()
    assert len(ObjectTracker[pypdfium2.PdfDocument]) == documents


def test_a_read_that_fails_is_no_damage_of_the_pdf():
    class Failing(io.BytesIO):
        left = 20

        def readinto(self, buffer):
            Failing.left -= 1
            if Failing.left < 0:
                raise OSError("the network is gone")
            return super().readinto(buffer)

    for Failing.left in (0, 3, 20):
        with pytest.raises(OSError, match="the network is gone"):
            list(pages_of(Failing(written(50)), "application/pdf"))


def test_a_million_pages_that_are_not_there_are_noted_as_one_range():
    data = million_pages()
    assert in_pieces(data, "application/pdf") == whole(data, "application/pdf")


def test_the_stage_can_be_memoized_and_says_what_it_is():
    assert stage_fingerprint(pages) != stage_fingerprint(extract)
    assert (pages.takes_file, pages.streams, pages.thread_safe) == (True, True, False)
    assert Pipeline(pages)(b"abc", document(Path(__file__))) == [{"text": "abc", "warnings": []}]
