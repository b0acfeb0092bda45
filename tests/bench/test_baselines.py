from __future__ import annotations

import pytest

from dataflow import Strategy
from dataflow.bench.baselines import CHUNKSIZES, PoolSubject, Processes, SerialSubject, tuned_chunksize
from dataflow.corpus import open_corpus
from dataflow.errors import ClusterError
from dataflow.measure.digests import read_output
from dataflow.measure.subject import EngineSubject


@pytest.fixture(scope="module")
def pool(workload):
    """Two warm processes."""
    processes = Processes(2, workload.pipeline, workload.search_path, patience_seconds=2)
    yield processes
    processes.close()


@pytest.fixture
def poisoned(tmp_path):
    """A corpus in which one document does what it says."""

    def make(deed):
        folder = tmp_path / deed
        folder.mkdir()
        for name, text in (("a", "fine"), ("b", deed), ("c", "fine")):
            (folder / f"{name}.txt").write_text(text)
        return list(open_corpus(str(folder)))

    return make


def test_loop_pool_and_engine_put_out_the_same(workload, corpus, pool, tmp_path):
    subjects = {
        "serial": SerialSubject(pool),
        "pool": PoolSubject(pool, 3),
        "engine": EngineSubject(workload.pipeline, Strategy(), None),
    }
    digests = set()
    for name, subject in subjects.items():
        execution = subject.execute(corpus, tmp_path / name)
        output = read_output(tmp_path / name, execution.parts)
        digests.add(output.digest)
        assert sorted(output.rows) == list(range(len(corpus)))
        assert sorted(o.position for o in execution.outcomes) == list(range(len(corpus)))
    assert len(digests) == 1


def test_a_document_that_raises_is_a_failed_one(corpus, pool, tmp_path):
    execution = SerialSubject(pool).execute(corpus, tmp_path / "out")
    failed = [o for o in execution.outcomes if o.status == "failed"]
    assert [(o.document.rpartition("/")[2], o.error_type) for o in failed] == [
        ("bad.txt", "UnicodeDecodeError")
    ]


def test_a_document_that_is_not_there_is_a_failed_one(corpus, pool, tmp_path):
    import os

    os.remove(corpus[0].url)
    execution = PoolSubject(pool, 8).execute(corpus, tmp_path / "out")
    assert {o.error_type for o in execution.outcomes if o.position == 0} == {"FileNotFoundError"}


def test_the_loop_is_one_batch_and_its_time_is_its_own(corpus, pool, tmp_path):
    execution = SerialSubject(pool).execute(corpus, tmp_path / "out")
    (batch,) = execution.batches
    assert execution.ended - execution.started == pytest.approx(batch.seconds)
    assert execution.started < execution.first <= execution.ended
    assert set(batch.node_seconds) == {"probe", "decode", "words", "write"}
    assert sum(batch.node_seconds.values()) <= batch.seconds


def test_the_loop_writes_in_parts_and_keeps_every_row(corpus, pool, tmp_path, workload):
    from dataflow.bench import baselines

    many = list(corpus) * 15
    assert len(many) > baselines._ROWS_A_PART
    execution = SerialSubject(pool).execute(many, tmp_path / "out")
    assert len(execution.parts) == 2
    assert len(read_output(tmp_path / "out", execution.parts).rows) == len(many)


def test_the_pool_takes_its_chunks_in_order(corpus, pool, tmp_path):
    execution = PoolSubject(pool, 16).execute(corpus, tmp_path / "out")
    sizes = {b.number: len(b.outcomes) for b in execution.batches}
    assert sizes == {1: 16, 2: 16, 3: 9}


def test_the_chunk_size_is_one_that_was_tried(corpus, pool, tmp_path):
    assert tuned_chunksize(pool, corpus, tmp_path) in CHUNKSIZES
    assert tuned_chunksize(pool, corpus[:1], tmp_path / "one") == 1


def test_a_document_that_ends_the_process_is_an_error_and_the_next_trial_works(
    poisoned, corpus, pool, tmp_path
):
    with pytest.raises(ClusterError, match="ended the baseline's process"):
        SerialSubject(pool).execute(poisoned("die"), tmp_path / "out")
    assert len(SerialSubject(pool).execute(corpus, tmp_path / "again").outcomes) == len(corpus)


def test_a_document_that_hangs_is_an_error(poisoned, pool, tmp_path):
    with pytest.raises(ClusterError, match="a document hangs"):
        PoolSubject(pool, 1).execute(poisoned("hang"), tmp_path / "out")


def test_every_process_is_sampled(pool, corpus, tmp_path):
    (probe,) = PoolSubject(pool, 8).probes()
    probe.start()
    assert {s.process for s in probe.stop()} == {"driver", "pool-0", "pool-1"}
