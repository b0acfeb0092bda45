"""What a long document takes whole, and in pieces: peaks of child processes, held against each other."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.poison import CATALOG, assembled

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the peak is read in /proc")

ROOT = Path(__file__).parents[2]
MIB = 2**20

CHILD = """
import re, sys
from pathlib import Path
from typing import Iterable
from dataflow import Pipeline, run
from workloads.extraction import extract, pages
from workloads.values import Extracted

def length(extracted: Extracted) -> int:
    return len(extracted["text"])

def length_of_pages(pieces: Iterable[Extracted]) -> int:
    return sum(len(piece["text"]) for piece in pieces)

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024

arm, warm_up, corpus = sys.argv[1:]
pipeline = Pipeline(extract, length) if arm == "whole" else Pipeline(pages, length_of_pages)
assert all(o.status == "ok" for o in run(pipeline, warm_up, cluster="inline"))
before = peak()
found = sum(o.value for o in run(pipeline, corpus, cluster="inline", batching="fixed:8"))
print(peak() - before, found)
"""


def growth(arm: str, warm_up: Path, corpus: Path) -> tuple[int, int]:
    """By how many bytes the peak grew, and how many characters were found."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD, arm, str(warm_up), str(corpus)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    grown, found = map(int, done.stdout.split())
    return max(grown, MIB), found  # less than a megabyte is noise


def scanned(count: int) -> bytes:
    """A PDF of pictures with a line of text on each, as scanners make them."""
    font = b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"
    kids = b" ".join(b"%d 0 R" % (4 + 3 * n) for n in range(count))
    objects = [CATALOG, b"<</Type/Pages/Count %d/Kids[%s]>>" % (count, kids), font]
    for number in range(count):
        page = 4 + 3 * number
        drawn = b"q 600 0 0 800 0 0 cm /I Do Q BT /F 12 Tf 9 9 Td (page %d) Tj ET" % number
        picture = number.to_bytes(3, "big") * (500 * 600)
        objects += [
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents %d 0 R"
            b"/Resources<</Font<</F 3 0 R>>/XObject<</I %d 0 R>>>>>>" % (page + 1, page + 2),
            b"<</Length %d>>stream\n%s\nendstream" % (len(drawn), drawn),
            b"<</Type/XObject/Subtype/Image/Width 500/Height 600/ColorSpace/DeviceRGB/BitsPerComponent 8"
            b"/Length %d>>stream\n%s\nendstream" % (len(picture), picture),
        ]
    return assembled(*objects)


@pytest.fixture
def warm_up(tmp_path):
    folder = tmp_path / "warm"
    folder.mkdir()
    (folder / "a.txt").write_text("a text\n" * 100)
    (folder / "a.pdf").write_bytes(scanned(1))
    return folder


@pytest.mark.parametrize(("name", "factor"), [("long.pdf", 3), ("long.txt", 6)])
def test_a_long_document_takes_a_fraction_in_pieces(tmp_path, warm_up, name, factor):
    data = scanned(90) if name.endswith("pdf") else b"A line of plain text, as long as any.\n" * 1_000_000
    (tmp_path / name).write_bytes(data)
    whole, found = growth("whole", warm_up, tmp_path / name)
    pieces, found_in_pieces = growth("pages", warm_up, tmp_path / name)
    assert found == found_in_pieces > 0
    assert whole > len(data)
    assert whole > factor * pieces


def test_a_corpus_of_any_size_takes_as_much_as_one_of_its_documents(tmp_path, warm_up):
    text = b"A line of plain text, as long as any.\n" * 100_000
    few, many = tmp_path / "few", tmp_path / "many"
    for folder, count in ((few, 2), (many, 60)):
        folder.mkdir()
        (folder / "0.txt").write_bytes(text)
        for number in range(1, count):
            os.link(folder / "0.txt", folder / f"{number}.txt")
    of_few, _ = growth("pages", warm_up, few)
    of_many, found = growth("pages", warm_up, many)
    assert found == 60 * len(text)
    assert of_many < 2 * of_few + 4 * MIB
    assert of_many * 10 < 60 * len(text)
