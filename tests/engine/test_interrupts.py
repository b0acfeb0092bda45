from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from dataflow import run
from dataflow.engine.clusters import open_cluster
from dataflow.engine.deploy import _started
from dataflow.engine.interrupts import answered_later, dask_setup


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


def test_ctrl_c_is_answered_when_what_is_under_way_has_ended():
    under_way = []

    @answered_later()
    def work():
        signal.raise_signal(signal.SIGINT)
        under_way.append("to its end")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert under_way == ["to its end"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_is_not_held_back_for_ever():
    reached = []

    def work():
        with answered_later(0.0):
            signal.raise_signal(signal.SIGINT)
            reached.append("never")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert reached == []
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_ctrl_c_does_not_break_off_what_the_first_began(words, write_corpus, tmp_path):
    """All is given back, and only then it is answered."""
    running = run(words.pipeline, write_corpus("one", "two"), cluster="inline", output=tmp_path / "out")
    given_back = []

    def give_back():
        signal.raise_signal(signal.SIGINT)
        given_back.append("to its end")

    running._stack.callback(give_back)
    with pytest.raises(KeyboardInterrupt):
        running.close()
    assert given_back == ["to its end"]
    assert not (tmp_path / "out").exists()


def test_a_thread_leaves_ctrl_c_as_it_is():
    seen = []

    def look():
        with answered_later():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler]


LOST = """
import signal, sys, weakref
from dataflow.engine.clusters import open_cluster

class Pressed:
    def find_spec(self, name, path=None, target=None):
        if name == "distributed.client":  # what is raised in such a callback, Python drops
            reference = weakref.ref(Pressed(), lambda _: signal.raise_signal(signal.SIGINT))

if __name__ == "__main__":
    sys.meta_path.insert(0, Pressed())
    try:
        with open_cluster("processes", 1):
            print("opened")
    except KeyboardInterrupt:
        print("interrupted")
"""


def test_ctrl_c_while_the_driver_imports_dask_is_not_lost(tmp_path):
    (tmp_path / "script.py").write_text(LOST)
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("interrupted\n", "")
