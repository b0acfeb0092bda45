"""Processes that were started for a driver end with it, however it went and whatever they are doing."""

import subprocess
import sys

import pytest

DRIVER = """
import os, signal, sys
import psutil
from dataflow.engine.clusters import open_cluster
if __name__ == "__main__":
    with open_cluster("distributed", 1):
        started = psutil.Process().children(recursive=True)
        print(*(one.pid for one in started), flush=True)
        for one in started:
            if f"distributed.{sys.argv[1]}" in " ".join(one.cmdline()):
                one.suspend()
                print("stopped", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("stopped", ["Nanny", "Scheduler", "nobody"])
def test_a_driver_that_is_killed_leaves_nobody_behind_though_some_were_stopped(tmp_path, stopped, all_end):
    (tmp_path / "script.py").write_text(DRIVER)
    said = tmp_path / "said"  # a pipe would be open for as long as one of them lives
    with said.open("w") as file:
        subprocess.run([sys.executable, "script.py", stopped], cwd=tmp_path, stdout=file, timeout=200)
    numbers, *found = said.read_text().splitlines()
    assert found == ["stopped"] * (stopped != "nobody")
    all_end(numbers.split())
