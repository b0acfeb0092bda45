"""What is larger than Dask's frames comes to the driver as it was, wherever the scheduler is."""

import pytest
from distributed import Client, LocalCluster
from distributed.protocol import deserialize, serialize

from dataflow import run, stage
from dataflow.engine import frames
from dataflow.graph.work import BatchResult

DASKS_BYTES = 64 * 1024**2


@stage
def as_long_as_said(data: bytes) -> bytes:
    return data[:1] * int(data)


@pytest.mark.parametrize("where", ["a scheduler here", "a scheduler of the user's"])
def test_values_that_are_longer_than_a_frame_come_back(where, processes, write_corpus):
    length = DASKS_BYTES + 1
    folder = write_corpus(str(length), "7", str(length + 10**7))
    theirs = LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0")
    with theirs, Client(theirs.scheduler_address) as client:
        chosen = processes.client if where == "a scheduler here" else client
        outcomes = list(run(as_long_as_said, folder, cluster=chosen, batching="fixed:3", collect="ordered"))
    assert [len(o.value) for o in outcomes] == [length, 7, length + 10**7]
    assert outcomes[1].value == b"7" * 7


@pytest.mark.parametrize("size", [0, 1000, frames._FRAME_BYTES, frames._FRAME_BYTES + 1, 2 * DASKS_BYTES + 5])
def test_no_frame_of_a_result_is_so_long_that_it_would_be_cut(size):
    frames.register()
    result = BatchResult(1, [], None, "w", 1.0, 1.0, {"write": 1.0}, {}, values=bytes(size))
    header, sent = serialize(result)
    assert all(memoryview(frame).nbytes < DASKS_BYTES for frame in sent)
    assert deserialize(header, sent) == result
