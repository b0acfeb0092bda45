from __future__ import annotations

import os
import socket

import pytest

from dataflow.graph.work import BatchResult
from dataflow.measure.overheads import BETWEEN, parts_of
from dataflow.measure.subject import Execution

HERE = f"{socket.gethostname()}:{os.getpid()}"


def execution(worker=HERE, batches=1, marks=True):
    found = Execution(started=10.0, ended=12.0)
    if marks:
        found.marks = {"opened": 10.5, "sent": 10.6, "come": 11.6, "committed": 11.8}
    nodes = {"probe": 0.1, "extract": 0.3}
    found.batches = [
        BatchResult(i, [], None, worker, 0.5, 0.5, nodes, {}, None, 10.8) for i in range(batches)
    ]
    return found


def test_each_part_has_its_time_and_together_they_are_the_wall_time():
    parts = dict(parts_of(execution()))
    assert list(parts) == [
        *("open", "send", "to the worker", "probe", "extract", BETWEEN, "back", "commit", "close")
    ]
    assert parts["to the worker"] == pytest.approx(0.2)
    assert parts["back"] == pytest.approx(0.3)
    assert sum(parts.values()) == pytest.approx(2.0)


def test_another_machines_clock_tells_nothing_so_both_ways_are_one_part():
    parts = dict(parts_of(execution(worker="elsewhere:1")))
    assert parts["to the worker and back"] == pytest.approx(0.5)
    assert sum(parts.values()) == pytest.approx(2.0)


def test_a_loop_without_steps_of_a_client_adds_up_too():
    found = execution(marks=False)
    found.started, found.ended = 10.8, 11.3
    parts = dict(parts_of(found))
    assert parts["open"] == parts["send"] == parts["commit"] == parts["close"] == 0
    assert sum(parts.values()) == pytest.approx(0.5)


@pytest.mark.parametrize("batches", [0, 2])
def test_batches_that_overlap_have_no_parts(batches):
    assert parts_of(execution(batches=batches)) == []
