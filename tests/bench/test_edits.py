from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from dataflow import Pipeline, stage
from dataflow.bench.edits import EDITS, EditedCorpus, bumped
from dataflow.bench.material import find_material
from dataflow.bench.suites import COLD_AND_WARM, SUITES
from dataflow.measure.digests import Output
from dataflow.measure.records import Reference
from dataflow.memo.chain import chain_of

PHASES = SUITES["invalidation"].phases


@pytest.fixture
def material(workload, tmp_path):
    return find_material(workload, None, 40, 0, tmp_path / "corpus")


@pytest.fixture
def edited(workload, material, tmp_path):
    return EditedCorpus(workload.pipeline, material, PHASES, tmp_path / "edited", seen)


def seen(documents):
    """An oracle that says what the documents held when it was asked."""
    rows = {i: Path(d.url).read_bytes() for i, d in enumerate(documents)}
    return Reference(Output("", rows), 1.0)


def contents(turn):
    return [Path(d.url).read_bytes() for d in turn.documents]


def changed(one, other):
    return [i for i, (a, b) in enumerate(zip(one, other, strict=True)) if a != b]


def test_the_users_own_documents_are_never_touched(material, edited):
    before = [(Path(d.url).read_bytes(), Path(d.url).stat().st_mtime_ns) for d in material.documents]
    for phase in PHASES:
        edited.enter(phase)
    after = [(Path(d.url).read_bytes(), Path(d.url).stat().st_mtime_ns) for d in material.documents]
    assert after == before
    assert contents(edited.enter("cold")) == [data for data, _ in before]


def test_an_edit_of_the_content_gives_a_tenth_other_bytes_that_no_document_had(edited):
    first = contents(edited.enter("warm"))
    second = contents(edited.enter("content"))
    places = changed(first, second)
    assert len(places) == 4
    assert not {second[i] for i in places} & set(first)


def test_no_two_documents_are_edited_to_be_equal(edited):
    for phase in PHASES:
        held = contents(edited.enter(phase))
        assert len(set(held)) == len(held)


def test_an_edit_of_the_time_leaves_every_byte_and_every_size(edited):
    before = edited.enter("content")
    held = contents(before)
    after = edited.enter("mtime")
    assert contents(after) == held
    touched = [(a, b) for a, b in zip(before.documents, after.documents, strict=True) if a != b]
    assert len(touched) == 4
    assert all(a.modified < b.modified and a.size_bytes == b.size_bytes for a, b in touched)


def test_a_hidden_edit_shows_in_the_bytes_alone(edited):
    before = edited.enter("mtime")
    held = contents(before)
    after = edited.enter("hidden")
    assert after.documents == before.documents
    assert len(changed(held, contents(after))) == 4


def test_the_documents_are_listed_as_the_file_system_has_them_in_each_phase(edited):
    for phase in reversed(PHASES):
        for document in edited.enter(phase).documents:
            status = Path(document.url).stat()
            assert (document.size_bytes, document.modified) == (status.st_size, status.st_mtime)


def test_each_phase_has_the_plain_loops_output_of_its_own_content(edited):
    for phase in ("hidden", "cold", "content", "tag", ""):
        turn = edited.enter(phase)
        assert [turn.reference.output.rows[i] for i in range(len(turn.documents))] == contents(turn)


def test_the_plain_loop_runs_once_for_each_content(workload, material, tmp_path):
    asked = []
    EditedCorpus(workload.pipeline, material, PHASES, tmp_path / "edited", asked.append)
    assert len(asked) == 3  # as it was, after content, after hidden


def test_a_document_that_is_not_there_is_in_no_edit_and_stays_away(workload, material, tmp_path):
    Path(material.documents[3].url).unlink()
    edited = EditedCorpus(workload.pipeline, material, PHASES, tmp_path / "edited", lambda documents: None)
    for phase in PHASES:
        assert not Path(edited.enter(phase).documents[3].url).exists()


def test_one_document_alone_can_be_edited_too(workload, material, tmp_path):
    one = material.sample(1)
    edited = EditedCorpus(workload.pipeline, one, ("cold", "warm", "churn"), tmp_path / "edited", seen)
    assert contents(edited.enter("churn")) == [contents(edited.enter("cold"))[0] + b"\n"]


def test_another_version_of_the_last_pure_stage_changes_its_key_and_no_other():
    def first(data: bytes) -> str:
        return data.decode()

    def second(text: str) -> list[str]:
        return text.split()

    plain = Pipeline(first, stage(timeout=7)(second), stage(pure=False)(len))
    other = bumped(plain)
    (one, two), (same, new) = chain_of(plain)[0].ids, chain_of(other)[0].ids
    assert one == same
    assert two != new
    assert other.stages[1].timeout_seconds == 7
    assert other.stages[2] is plain.stages[2]


def test_the_other_version_travels_to_workers_that_know_the_workload(workload):
    import cloudpickle

    travelled = pickle.loads(cloudpickle.dumps(bumped(workload.pipeline)))
    assert travelled.stages[-1].version == "+edited"
    assert travelled.stages[-1]("two words") == ["two", "words"]


def test_only_code_has_the_other_version(edited):
    versions = {phase: edited.enter(phase).pipeline.stages[-1].version for phase in PHASES}
    assert [phase for phase, version in versions.items() if version] == ["code"]


def test_every_phase_of_every_suite_is_explained():
    for suite in (s for s in SUITES.values() if not s.poisons):
        assert suite.phases[:2] == COLD_AND_WARM
        assert set(suite.phases[2:]) <= set(EDITS)
