from __future__ import annotations

import os
import signal

import pytest
from distributed.comm.core import CommClosedError

from dataflow.bench.warming import close_workers_memos
from dataflow.engine.clusters import open_cluster


class Answering:
    """A client whose workers answer as they are told."""

    def __init__(self, *answers):
        self._answers = answers

    def run(self, function, on_error="raise"):
        assert on_error == "return"
        return dict(enumerate(self._answers))


def test_a_worker_that_died_a_moment_ago_has_no_memos_left_to_close():
    close_workers_memos(Answering(None, CommClosedError("connection reset by peer"), OSError("timed out")))


def test_a_worker_that_lives_and_cannot_close_its_memos_is_an_error():
    with pytest.raises(ValueError, match="still open"):
        close_workers_memos(Answering(None, ValueError("still open")))


def test_workers_that_are_killed_between_two_trials_end_no_benchmark():
    with open_cluster("processes", 2) as opened:
        for _ in range(3):
            for pid in opened.client.run(os.getpid, on_error="ignore").values():
                os.kill(pid, signal.SIGKILL)
            close_workers_memos(opened.client)
