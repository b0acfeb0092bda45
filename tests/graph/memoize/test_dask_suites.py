"""Dask's own tests of delayed and bag, with memo nodes in every graph that they compute."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from dataflow.memo.server import EmbeddedServer

SUPPORT = Path(__file__).resolve().parents[2] / "support"
ROOT = SUPPORT.parent.parent
# Left out for their time alone: each starts processes, a server, or shuffles for seconds.
SLOW = "not processes and not s3 and not groupby_tasks_2 and not disk and not temporary_directory"


@pytest.mark.parametrize("suite", ["dask.tests.test_delayed", "dask.bag.tests.test_bag"])
def test_no_test_of_dask_fails_for_the_memo_nodes(suite, tmp_path):
    if importlib.util.find_spec(suite) is None:
        pytest.skip(f"{suite} isn't installed with Dask")
    with EmbeddedServer(max_bytes=64 * 2**20) as server:
        failed, said = run(suite, server.url, tmp_path)
    if failed:
        failed -= run(suite, "", tmp_path)[0]

    assert not failed, said
    assert int(re.search(r"misses=(\d+)", said)[1]) > 100
    assert int(re.search(r"(\d+) passed", said)[1]) > 50


def run(suite, url, folder):
    """Run a suite in a process of its own; returns the names of what failed, and what was said."""
    command = [
        sys.executable, "-m", "pytest", "-q", "-p", "memoized_dask", "-p", "no:cacheprovider",
        "-W", "ignore", "-k", SLOW, "--rootdir", str(folder), "--pyargs", suite,
    ]  # fmt: skip
    paths = os.pathsep.join([str(SUPPORT), str(ROOT)])
    environment = {**os.environ, "MEMOIZE": url, "PYTHONPATH": paths}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    said = done.stdout[-8000:] + done.stderr[-2000:]
    assert done.returncode in (0, 1), said
    return set(re.findall(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.M)), said
