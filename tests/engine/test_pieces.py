"""Documents that are read piece by piece, on real worker processes and threads."""

import copy
import csv
import io

import fsspec
import pandas as pd
import pytest

from dataflow import run


@pytest.fixture
def pieces(words):
    return words.variants["pieces"]


SOUND = [f"document {i}\n" + "some words\n" * (i % 9) for i in range(60)]


@pytest.mark.parametrize("fuse", [True, False])
def test_pieces_give_what_the_whole_gives(cluster, words, pieces, write_corpus, fuse):
    corpus = write_corpus(*SOUND)
    whole = {o.document: (o.value, o.size_bytes) for o in run(words.pipeline, corpus, cluster=cluster.client)}
    found = run(pieces, corpus, cluster=cluster.client, fuse=fuse, batching="fixed:7")
    assert {o.document: (o.value, o.size_bytes) for o in found} == whole


@pytest.mark.parametrize("cache", ["redis", "tiered", "lru"])
@pytest.mark.parametrize("freshness", ["content", "stat"])
def test_a_cache_changes_no_outcome_and_answers_the_second_time(
    processes, pieces, write_corpus, cache, freshness
):
    corpus = write_corpus(*SOUND, "document 1\nBAD\n", SOUND[3])
    options = {"cluster": processes.client, "cache": cache, "freshness": freshness, "batching": "fixed:100"}
    plain = {o.position: (o.status, o.value) for o in run(pieces, corpus, cluster=processes.client)}
    for _ in range(2):
        with run(pieces, corpus, **options) as running:
            assert {o.position: (o.status, o.value) for o in running} == plain


@pytest.mark.parametrize("url", ["memory://pieces", "zip://*.txt::{folder}/all.zip"])
def test_documents_of_other_file_systems_are_read_piece_by_piece(processes, pieces, tmp_path, url):
    target = url.format(folder=tmp_path)
    filesystem = fsspec.filesystem("memory")
    if url.startswith("zip"):
        import zipfile

        with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
            for i in range(20):
                archive.writestr(f"{i}.txt", f"a\nb {i}\n")
    else:
        for i in range(20):
            filesystem.pipe(f"/pieces/{i}.txt", f"a\nb {i}\n".encode())
    outcomes = list(run(pieces, target, cluster=processes.client))
    assert {tuple(o.value) for o in outcomes} == {("a", "b", str(i)) for i in range(20)}
    assert all(o.size_bytes in (6, 7) for o in outcomes)


@pytest.mark.parametrize("poison", ["SEGFAULT", "DIE", "HANG", "HANG_WITH_THE_LOCK"])
def test_a_piece_that_kills_or_hangs_its_worker_is_one_row_and_its_stage_is_named(
    processes, pieces, write_corpus, tmp_path, poison
):
    folder = write_corpus(*SOUND[:30], f"first line\n{poison}\nlast line\n", *SOUND[30:])
    options = {"timeout_seconds": 2.0, "batching": "fixed:16", "output": tmp_path / "out"}
    with run(pieces, folder, cluster=processes.client, **options) as running:
        assert sum(1 for _ in running) == 61
    table = pd.read_parquet(tmp_path / "out")
    bad = table[table.status != "ok"]
    assert len(table) == table.document.nunique() == 61
    assert bad.document.str.endswith("0030.txt").all()
    assert bad.status.tolist() == ["quarantined"]
    assert bad.error_type.tolist() == ["TimeLimit" if "HANG" in poison else "WorkerDied"]
    assert "in stage lines" in bad.error.iloc[0]
    first = table[table.document.str.endswith("0000.txt")]  # parts come in the order in which they ended
    assert list(first.chunks.iloc[0]) == ["document", "0"]


def rows(data: bytes):
    return csv.DictReader(io.StringIO(data.decode()))


def counted(reader) -> list[str]:
    return [*reader.fieldnames, *(row["a"] for row in reader)]


def opened(data: bytes):
    return io.BytesIO(data)


def first_two(file) -> bytes:
    return file.read(2)


still_open: list[io.BytesIO] = []


def opened_alone(data: bytes):
    still_open.append(io.BytesIO(data))
    return still_open[-1]


def how_many_are_open(file) -> int:
    return sum(not one.closed for one in still_open)


def test_what_stages_open_is_closed_before_the_next_document_is_begun(write_corpus):
    """Whatever the size of a batch: its documents would have all files that there may be."""
    still_open.clear()
    found = run(
        [opened_alone, how_many_are_open], write_corpus(*"abcdef"), cluster="inline", batching="fixed:100"
    )
    assert [o.value for o in found] == [1] * 6
    assert all(one.closed for one in still_open)


def test_a_reader_can_be_copied_by_a_stage(write_corpus):
    def copied(reader) -> list[str]:
        return [row["a"] for row in copy.copy(reader)]

    assert [o.value for o in run([rows, copied], write_corpus("a\n1\n"), cluster="inline")] == [["1"]]


@pytest.mark.parametrize("cache", ["none", "lru"])
def test_what_a_stage_opens_is_for_the_next_one_what_it_is(write_corpus, cache):
    """Readers have names of fields besides what they give, and files are read by the byte."""
    folder = write_corpus("a,b\n1,2\n3,4\n")
    options = {"cluster": "inline", "cache": cache}
    assert [o.value for o in run([rows, counted], folder, **options)] == [["a", "b", "1", "3"]]
    assert [o.value for o in run([opened, first_two], folder, **options)] == [b"a,"]
    assert [o.value for o in run([opened], folder, **options)] == [[b"a,b\n", b"1,2\n", b"3,4\n"]]
