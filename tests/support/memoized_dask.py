"""A pytest plugin that memoizes every collection just before Dask computes it; for Dask's own tests.

``MEMOIZE`` holds the server's URL, or nothing: then the tests run as they are, for comparison.
"""

from __future__ import annotations

import functools
import os
import sys

import dask
import dask.base

from dataflow.graph.memoize import memoize, node_counters
from dataflow.memo.spec import MemoSpec

SECRET = b"a secret of the tests, 32 bytes."


def pytest_configure(config):
    # One process and one thread: the default of bags starts processes for every test.
    dask.config.set(scheduler="sync")
    for mark in ("slow", "network", "gpu"):
        config.addinivalue_line("markers", f"{mark}: of Dask's own tests")
    if url := os.environ.get("MEMOIZE"):
        spec = MemoSpec("redis", url=url, secret=SECRET, admission=False)
        dask.base.collections_to_expr = memoizing(dask.base.collections_to_expr, spec)


def memoizing(original, spec):
    @functools.wraps(original)
    def collections_to_expr(collections, optimize_graph=True):
        # Only what is computed: ``persist`` and ``optimize`` put the results under the old names.
        if sys._getframe(1).f_code.co_name == "compute":
            collections = memoize(list(collections), spec, optimize_graph=optimize_graph)
        return original(collections, optimize_graph)

    return collections_to_expr


def pytest_terminal_summary(terminalreporter):
    numbers = " ".join(f"{name}={int(number)}" for name, number in node_counters().items())
    terminalreporter.write_line(f"memo nodes: {numbers}")
