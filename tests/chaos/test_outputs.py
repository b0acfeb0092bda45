"""The proof can fail: each way in which an output may be wrong is seen."""

import json

from outputs import committed_parts, compare, progress


def row(document, **other):
    return {
        "document": document,
        "status": "ok",
        "error_type": None,
        "chunks": ["a"],
        "seconds": 0.1,
        **other,
    }


CALM = [row("/a"), row("/b"), row("/c")]


def test_how_long_it_took_and_how_often_it_was_begun_does_not_count():
    found = [row("storm:///c", seconds=9, attempts=3), row("/b", cache="redis"), row("/a")]
    assert compare(CALM, found).equal


def test_a_document_that_is_missing_is_lost():
    assert compare(CALM, CALM[:2]).lost == ["/c"]


def test_a_document_that_is_there_twice_is_doubled():
    assert compare(CALM, [*CALM, row("/b")]).doubled == ["/b"]


def test_a_document_that_nobody_asked_for_is_foreign():
    assert compare(CALM, [*CALM, row("/d")]).foreign == ["/d"]


def test_another_chunk_or_status_is_a_change_that_names_its_column():
    difference = compare(CALM, [row("/a", chunks=["b"]), row("/b", status="failed"), row("/c")])
    assert len(difference.changed) == 2
    assert "chunks" in difference.changed[0]
    assert "status" in difference.changed[1]
    assert not difference.equal


def test_a_document_that_cannot_be_read_has_to_be_a_failed_one():
    failed = [*CALM[:2], row("/c", status="failed", error_type="OSError", chunks=None)]
    assert compare(CALM, failed, frozenset({"/c"})).equal
    assert not compare(CALM, CALM, frozenset({"/c"})).equal


def test_progress_is_what_whole_lines_of_the_manifest_commit(tmp_path):
    assert progress(tmp_path) == 0
    (tmp_path / "_dataflow").mkdir()
    lines = [{"format": 2}, {"part": "p1", "rows": 3}, {"part": "p2", "rows": 4}, {"lost": ["p1"]}]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (tmp_path / "_dataflow" / "manifest.jsonl").write_text(text + '{"part": "p3", "ro')
    assert committed_parts(tmp_path) == {"p2": 4}
    assert progress(tmp_path) == 4
