"""Chunks: they cover the text, stay under the maximum and end where readers would end them."""

from __future__ import annotations

import itertools
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workloads.chunking import MAXIMUM_CHARACTERS, OVERLAP_CHARACTERS, chunk, spans, split

texts = st.text(
    st.sampled_from("abc .!?\n\t\u0301\u200d\U0001f1e9\U0001f1ea。é\u1100\u1161"), max_size=400
) | st.text(max_size=400)
sizes = st.integers(2, 60).flatmap(
    lambda target: st.tuples(st.just(target), st.integers(target, 2 * target), st.integers(0, target // 2))
)


@given(texts, sizes)
def test_every_character_that_is_not_blank_is_in_a_chunk(text, size):
    covered = bytearray(len(text))
    for start, end in spans(text, *size):
        covered[start:end] = b"\1" * (end - start)
    assert all(covered[i] or c.isspace() for i, c in enumerate(text))


@given(texts, sizes)
def test_chunks_are_trimmed_slices_in_order_and_never_longer_than_the_maximum(text, size):
    _, maximum, _ = size
    places = list(spans(text, *size))
    assert all(0 < end - start <= maximum for start, end in places)
    assert places == sorted(set(places))
    assert all(piece == piece.strip() for piece in split(text, *size))


@given(texts, sizes)
def test_neighbours_share_no_more_than_the_overlap(text, size):
    places = list(spans(text, *size))
    assert all(end - start <= size[2] for (_, end), (start, _) in itertools.pairwise(places))


@given(texts, sizes)
def test_the_same_text_gives_the_same_chunks(text, size):
    assert split(text, *size) == split(text, *size)


def test_a_chunk_ends_with_its_paragraph():
    first, second = "One sentence. " * 50, "Another one. " * 50
    assert split(f"{first.strip()}\n\n{second.strip()}", overlap=0)[0] == first.strip()


def test_a_chunk_ends_with_its_sentence_and_the_next_repeats_whole_sentences():
    text = "This sentence stands here many times over. " * 100
    chunks = split(text)
    assert all(piece.endswith("over.") and piece.startswith("This") for piece in chunks)
    assert sum(map(len, chunks)) > len(text)


def test_a_chunk_grows_over_the_target_to_end_with_its_sentence():
    sentence = "x" * 590 + " " + "y" * 600 + ". "
    assert split(sentence * 3, overlap=0)[0] == sentence.strip()


def test_japanese_without_blanks_is_cut_after_its_full_stops():
    assert all(piece.endswith("。") for piece in split("委員会は年次報告書を承認した。" * 300))


@pytest.mark.parametrize(
    "cluster", ["e\u0301", "\U0001f469\u200d\U0001f467", "\U0001f1e9\U0001f1ea", "\u1112\u1161\u11ab"]
)
def test_no_cut_divides_what_readers_see_as_one_character(cluster):
    for piece in split(cluster * 3_000):
        assert piece.startswith(cluster)
        assert piece.endswith(cluster)


def test_marks_without_end_are_cut_all_the_same():
    chunks = split("a" + "\u0301" * 10_000)
    assert max(map(len, chunks)) <= MAXIMUM_CHARACTERS
    assert all(unicodedata.combining(c) for c in chunks[-1])


@pytest.mark.parametrize("unit", ["a", "ab ", ".", '."', "\n", " \n", "\u0301", "\U0001f1e9"])
def test_ten_megabytes_in_one_line_take_a_number_of_chunks_that_is_linear_in_its_length(unit):
    text = unit * (10_000_000 // len(unit))
    assert len(split(text)) <= len(text) // (500 - OVERLAP_CHARACTERS) + 1


def test_blank_text_has_no_chunks():
    assert split("") == split(" \n\t ") == []


def test_the_stage_counts_the_characters_of_the_text_and_passes_the_warnings_on():
    assert chunk({"text": " Some text. ", "warnings": ["odd"]}) == {
        "characters": 12,
        "chunks": ["Some text."],
        "warnings": ["odd"],
    }


@pytest.mark.parametrize("size", [(1, 10, 0), (10, 5, 0), (10, 10, 6), (10, 10, -1)])
def test_impossible_sizes_are_refused(size):
    with pytest.raises(ValueError, match="no chunks of"):
        split("text", *size)
