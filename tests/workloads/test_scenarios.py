"""The three scenarios, and the check that they and every other workload pass."""

from __future__ import annotations

import os
import subprocess
import sys
import types
from collections import Counter
from hashlib import sha256
from pathlib import Path

import pytest

from dataflow import DocumentError, Pipeline
from workloads import batch, mixed, single
from workloads.checks import check_workload, documents_in, folder_bytes

ROOT = Path(__file__).parents[2]

WRITE_AND_HASH = """
import sys
from hashlib import sha256
from pathlib import Path
from workloads import batch, mixed
from workloads.checks import folder_bytes
digest = sha256()
for workload in (batch, mixed):
    folder = Path(sys.argv[1]) / workload.__name__
    folder.mkdir()
    workload.corpus(folder, documents=18, seed=3)
    for name, data in folder_bytes(folder).items():
        digest.update(name.encode() + data)
print(digest.hexdigest())
"""


@pytest.mark.parametrize("workload", [single, batch, mixed], ids=lambda module: module.__name__)
def test_every_workload_passes_the_conformance_check(workload, tmp_path):
    check_workload(workload, tmp_path)


def test_another_process_with_another_hash_seed_writes_the_same_bytes(tmp_path):
    digests = set()
    for hash_seed in ("0", "1"):
        folder = tmp_path / hash_seed
        folder.mkdir()
        done = subprocess.run(
            [sys.executable, "-c", WRITE_AND_HASH, str(folder)],
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        )
        digests.add(done.stdout)
    assert len(digests) == 1


def test_the_single_corpus_is_one_pdf_of_several_pages(tmp_path):
    single.corpus(tmp_path, documents=5)
    ((data, document),) = documents_in(tmp_path)
    assert document.media_type == "application/pdf"
    assert data.count(b"/Type /Page\n") >= 3
    assert len(single.pipeline(data, document)["chunks"]) > 5


def test_the_batch_corpus_holds_as_many_of_each_format_and_all_of_them_can_be_read(tmp_path):
    batch.corpus(tmp_path, documents=30)
    documents = documents_in(tmp_path)
    assert Counter(Path(d.url).suffix for _, d in documents) == dict.fromkeys(
        (".pdf", ".html", ".docx", ".eml", ".md", ".txt"), 5
    )
    lengths = [batch.pipeline(data, document)["characters"] for data, document in documents]
    assert max(lengths) < 3 * min(lengths)


def test_the_mixed_corpus_holds_copies_empty_files_and_damage_in_their_shares(tmp_path):
    mixed.corpus(tmp_path, documents=100)
    files = folder_bytes(tmp_path)
    digests = Counter(sha256(data).hexdigest() for data in files.values() if data)
    assert len(files) == 100
    assert sum(1 for data in files.values() if not data) == 2
    assert sum(digests.values()) - len(digests) == 10
    assert len({len(data) for data in files.values()}) > 80


def test_the_mixed_corpus_yields_values_and_named_failures(tmp_path):
    mixed.corpus(tmp_path, documents=100)
    outcomes: Counter[str] = Counter()
    for data, document in documents_in(tmp_path):
        try:
            outcomes["ok"] += bool(mixed.pipeline(data, document)["chunks"])
        except DocumentError as error:
            outcomes[type(error).__name__] += 1
    assert outcomes["EmptyDocument"] == 2
    assert outcomes["ok"] >= 94


def test_the_check_finds_a_corpus_that_changes(tmp_path):
    counter = iter(range(100))
    module = types.ModuleType("restless")
    module.__doc__ = "Never the same."
    module.pipeline = Pipeline(lambda data: data)
    module.corpus = lambda folder, *, documents, seed: (folder / "a").write_text(str(next(counter)))
    with pytest.raises(AssertionError, match="other bytes for the same seed"):
        check_workload(module, tmp_path)


def test_the_check_finds_a_value_that_no_codec_keeps(tmp_path):
    module = types.ModuleType("tuples")
    module.__doc__ = "Tuples come back as lists."
    module.pipeline = Pipeline(lambda data: (1, 2))
    module.corpus = lambda folder, *, documents, seed: (folder / "a").write_text(str(seed))
    with pytest.raises(AssertionError, match="survive msgpack"):
        check_workload(module, tmp_path)


def test_the_check_finds_a_variant_with_other_results(tmp_path):
    module = types.ModuleType("two_faced")
    module.__doc__ = "Its variant counts otherwise."
    module.pipeline = Pipeline(lambda data: len(data))
    module.variants = {"pages": Pipeline(lambda data: len(data) + 1)}
    module.corpus = lambda folder, *, documents, seed: (folder / "a").write_text(str(seed))
    with pytest.raises(AssertionError, match="variant 'pages' gives"):
        check_workload(module, tmp_path)
