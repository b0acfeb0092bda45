from __future__ import annotations

import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from dataflow.engine.clusters import _started, open_cluster
from dataflow.engine.interrupts import dask_setup


def test_the_drivers_own_handling_of_ctrl_c_is_left_alone():
    before = signal.getsignal(signal.SIGINT)
    dask_setup(None)
    assert signal.getsignal(signal.SIGINT) == before


def test_a_worker_in_a_thread_changes_nothing():
    thread = threading.Thread(target=dask_setup, args=(None,))
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGINT) is not signal.SIG_IGN


def test_a_process_of_its_own_leaves_ctrl_c_to_the_driver():
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        pool.submit(dask_setup, None).result()
        assert pool.submit(signal.getsignal, signal.SIGINT).result() == signal.SIG_IGN


def test_the_workers_of_a_cluster_do():
    with open_cluster("processes", 1) as opened:
        assert set(opened.client.run(signal.getsignal, signal.SIGINT).values()) == {signal.SIG_IGN}


def test_it_does_not_reach_a_worker_that_is_still_importing():
    with open_cluster("processes", 1) as opened:
        (blocked,) = opened.client.run(lambda: signal.pthread_sigmask(signal.SIG_BLOCK, [])).values()
    assert signal.SIGINT in blocked


def test_ctrl_c_while_a_cluster_starts_closes_it_in_order():
    interrupted, closed = threading.Event(), threading.Event()

    def interrupt(_signal, _frame):
        interrupted.set()
        raise KeyboardInterrupt

    class Cluster:
        def __init__(self):
            os.kill(os.getpid(), signal.SIGINT)
            interrupted.wait()

        def close(self):
            closed.set()

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            _started(Cluster)
    finally:
        signal.signal(signal.SIGINT, before)
    assert closed.is_set()
