from __future__ import annotations

import pickle
import subprocess
import sys

import cloudpickle
import pytest

from dataflow import Document, Pipeline, stage
from dataflow.bench.material import find_material
from dataflow.bench.poison import POISON, POISON_DOCUMENTS, PoisonedCorpus, deadly
from dataflow.measure.digests import Output
from dataflow.measure.records import Reference
from dataflow.reading import read_document


@stage(thread_safe=False)
def named(data: bytes, document: Document) -> str:
    return f"{document.url} {len(data)}"


@pytest.fixture
def material(workload, tmp_path):
    return find_material(workload, None, 12, 5, tmp_path / "corpus")


def test_the_documents_keep_their_order_and_the_poison_comes_among_them(workload, material, tmp_path):
    corpus = PoisonedCorpus(workload.pipeline, material, None, tmp_path / "poison")
    assert corpus.enter("clean").documents == material.documents
    poisoned = corpus.enter("poison").documents
    added = [d for d in poisoned if d not in material.documents]
    assert len(added) == POISON_DOCUMENTS
    assert [d for d in poisoned if d not in added] == list(material.documents)
    assert all(read_document(d.url).startswith(POISON) for d in added)
    assert {d.media_type for d in added} == {"text/plain"}


def test_the_reference_has_the_innocent_rows_at_their_new_places(workload, material, tmp_path):
    rows = {i: bytes([i]) for i in range(len(material.documents))}
    reference = Reference(Output("", rows), 1.0)
    turn = PoisonedCorpus(workload.pipeline, material, reference, tmp_path / "poison").enter("poison")
    assert set(turn.reference.output.rows) | turn.reference.poison == set(range(len(turn.documents)))
    for position, digest in turn.reference.output.rows.items():
        assert turn.documents[position] == material.documents[digest[0]]


def test_without_a_reference_there_is_none_with_poison_either(workload, material, tmp_path):
    assert PoisonedCorpus(workload.pipeline, material, None, tmp_path / "p").enter("poison").reference is None


def test_other_documents_come_out_as_they_were_and_the_stage_is_the_same_otherwise():
    document = Document("x.txt", 3, "text/plain")
    plain = Pipeline(named)
    other = pickle.loads(cloudpickle.dumps(deadly(plain)))
    assert other(b"abc", document) == plain(b"abc", document)
    assert (other.stages[0].name, other.stages[0].thread_safe) == ("named", False)
    assert other.stages[0].returns is str


def test_poison_ends_its_process_by_a_segmentation_fault():
    script = (
        "from dataflow import Pipeline, stage\n"
        "from dataflow.bench.poison import POISON, deadly\n"
        "deadly(Pipeline(stage(lambda data: data)))(POISON)\n"
        "print('survived')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode < 0 or done.returncode == 139
    assert "survived" not in done.stdout
