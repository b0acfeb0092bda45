"""Workers are heard of every other second, and the dashboard's numbers still come."""

import time

import pytest

from dataflow.engine.clusters import open_cluster


def interval(dask_worker):
    return dask_worker.periodic_callbacks["heartbeat"].callback_time / 1000


def seen(dask_scheduler):
    return [worker.last_seen for worker in dask_scheduler.workers.values()]


@pytest.mark.parametrize("name", ["processes", "threads", "distributed"])
def test_a_worker_beats_every_two_seconds(name):
    with open_cluster(name, 1) as opened:
        client, until = opened.client, time.monotonic() + 30
        before = client.run_on_scheduler(seen)
        while client.run_on_scheduler(seen) == before:
            assert time.monotonic() < until
        while set(client.run(interval).values()) != {2.0}:
            assert time.monotonic() < until
