from __future__ import annotations

import signal
import threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from dataflow.engine.clusters import open_cluster
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
