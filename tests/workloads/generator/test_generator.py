"""The generator: real files in each format, whose text comes back."""

from __future__ import annotations

from random import Random

import pytest

from dataflow import DocumentError
from dataflow.document import guess_media_type
from workloads.extraction import text_of
from workloads.generator.article import write_article
from workloads.generator.damage import DAMAGES
from workloads.generator.files import FORMATS, Plan, write_mixed
from workloads.generator.pdf import PDF_LANGUAGES
from workloads.generator.words import LANGUAGES, sentence

# Polish text in an encoding that nothing names is read as windows-1252: its letters stand as others.
CASES = [
    (suffix, language)
    for suffix in FORMATS
    for language in (PDF_LANGUAGES if suffix == ".pdf" else LANGUAGES)
    if (suffix, language.code) != (".txt", "pl")
]


@pytest.mark.parametrize(("suffix", "language"), CASES, ids=lambda case: getattr(case, "code", case))
def test_the_text_of_an_article_comes_back_from_its_file(suffix, language):
    article = write_article(Random(1), 2_000, (language,))
    read = text_of(FORMATS[suffix](article, Random(2)), guess_media_type(f"x{suffix}"))
    found = "".join(read["text"].split()).casefold()
    for heading, paragraphs in article.sections:
        for text in (heading, *paragraphs):
            assert "".join(text.split()).casefold() in found


@pytest.mark.parametrize("suffix", FORMATS)
def test_the_same_chance_gives_the_same_bytes(suffix):
    files = {FORMATS[suffix](write_article(Random(4), 3_000, PDF_LANGUAGES), Random(5)) for _ in range(3)}
    assert len(files) == 1


@pytest.mark.parametrize("language", LANGUAGES, ids=lambda language: language.code)
def test_every_phrase_of_a_language_can_be_written_in_each_of_its_encodings(language):
    for encoding in language.encodings[1:]:
        for seed in range(30):
            sentence(language, Random(seed)).replace("€", "").encode(encoding)


@pytest.mark.parametrize("harm", DAMAGES, ids=lambda harm: harm.__name__)
@pytest.mark.parametrize("suffix", FORMATS)
def test_a_damaged_file_gives_text_or_a_named_failure(suffix, harm):
    for seed in range(5):
        data = FORMATS[suffix](write_article(Random(seed), 1_000, PDF_LANGUAGES), Random(seed))
        damaged, new_suffix = harm(data, suffix, Random(seed))
        assert (damaged, new_suffix) != (data, suffix)
        try:
            text_of(damaged, guess_media_type(f"x{new_suffix}"))["text"].encode()
        except DocumentError as error:
            assert str(error)  # noqa: PT017  (either outcome is right)


def test_a_plan_without_faults_writes_only_sound_files(tmp_path):
    write_mixed(tmp_path, Plan(documents=12, characters=500, spread=0.5), seed=1)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 12
    for path in files:
        assert text_of(path.read_bytes(), guess_media_type(path.name))["text"]
