from __future__ import annotations

import dataclasses

import pytest

from dataflow.bench import material as module
from dataflow.bench.material import cut_to_time, find_material, warm_up_documents
from dataflow.document import Document
from dataflow.errors import ClusterError, CorpusError


def names(documents):
    return [d.url.rpartition("/")[2] for d in documents]


def test_the_workloads_own_corpus_is_written_and_listed_in_order(workload, tmp_path):
    found = find_material(workload, None, 5, 7, tmp_path / "corpus")
    assert names(found.documents) == ["000.txt", "001.txt", "002.txt", "003.txt", "004.txt", "bad.txt"]
    assert found.describe() == {
        "source": "tiny, generated",
        "generated": True,
        "seed": 7,
        "listed": 6,
        "documents": 6,
        "bytes": sum(d.size_bytes for d in found.documents),
        "sampled": False,
    }


def test_of_a_corpus_that_is_there_a_seeded_sample_is_drawn(workload, corpus, tmp_path):
    folder = str(tmp_path / "corpus")
    one, same, other = (find_material(workload, folder, 10, seed, tmp_path) for seed in (1, 1, 2))
    assert len(one.documents) == 10
    assert one.documents == same.documents != other.documents
    assert names(one.documents) == sorted(names(one.documents))
    assert (one.describe()["sampled"], one.listed) == (True, 41)


def test_a_corpus_that_is_not_there_is_an_error(workload, tmp_path):
    with pytest.raises(CorpusError, match="doesn't exist"):
        find_material(workload, str(tmp_path / "nowhere"), None, 0, tmp_path)


def test_a_workload_with_no_corpus_asks_for_one(workload, tmp_path):
    bare = dataclasses.replace(workload, corpus=None)
    with pytest.raises(CorpusError, match="CORPUS=URL"):
        find_material(bare, None, None, 0, tmp_path)


def test_no_documents_are_refused(workload, tmp_path):
    with pytest.raises(CorpusError, match="at least one document"):
        find_material(workload, None, 0, 0, tmp_path)


class Loop:
    """Stands for the loop's process: each document takes a tenth of a second of a clock that it moves."""

    def __init__(self, pipeline, deadly=None):
        self.pipeline, self.now, self.deadly = pipeline, 0.0, deadly

    def map(self, sink, chunks):
        for _, documents in chunks:
            self.now += 0.1 * len(documents)
            if self.deadly in [d for _, d in documents]:
                raise ClusterError("died")
        return iter(())


@pytest.fixture
def cut(workload, tmp_path, monkeypatch):
    """Cut the workload's corpus, with a loop that needs 4.1 seconds for it."""

    def run(seconds, deadly=None):
        found = find_material(workload, None, None, 0, tmp_path / "corpus")
        loop = Loop(workload.pipeline, found.documents[3] if deadly else None)
        monkeypatch.setattr(module.time, "perf_counter", lambda: loop.now)
        said = []
        return cut_to_time(found, loop, seconds, tmp_path / f"scout{seconds}", said.append), said

    return run


def test_a_corpus_that_takes_no_longer_stays_whole(cut):
    found, said = cut(10.0)
    assert (len(found.documents), said) == (41, [])


def test_a_corpus_that_takes_longer_is_sampled_and_that_is_said(cut):
    found, said = cut(2.0)
    assert len(found.documents) == 24
    assert found.describe()["sampled"] is True
    assert "random sample of 24" in said[0]


def test_a_document_that_ends_the_loop_does_not_end_the_cutting(cut):
    found, _ = cut(10.0, deadly=True)
    assert len(found.documents) == 41


def test_the_documents_of_the_warm_up_hold_one_of_each_type():
    documents = [Document(f"{i}.html", 1, "text/html") for i in range(100)]
    documents += [Document("rare.pdf", 1, "application/pdf")]
    chosen = warm_up_documents(documents, 10)
    assert {d.media_type for d in chosen} == {"text/html", "application/pdf"}
    assert 10 <= len(chosen) <= 12


def test_a_pipeline_that_is_memoized_in_part_is_said_before_its_trials():
    from types import SimpleNamespace

    from dataflow import Pipeline, stage
    from dataflow.bench import preparation

    def extract(data: bytes) -> str:
        return data.decode()

    @stage(pure=False)
    def send(text: str) -> int:
        return len(text)

    said: list[str] = []
    for pipeline in (Pipeline(extract, send), Pipeline(extract), Pipeline(stage(pure=False)(extract))):
        preparation._say_how_far(SimpleNamespace(pipeline=pipeline), said.append)
    assert said == ["memoized up to stage extract: stage send says pure=False"]
