import math
import os
import subprocess
import sys
import tempfile

from dataflow.graph.scratch import scratch_folder

KILLED = """
import os
from dataflow.graph.scratch import scratch_folder
with scratch_folder("test") as folder:
    print(folder, flush=True)
    os.kill(os.getpid(), 9)
"""


def test_a_folder_goes_with_its_block():
    with scratch_folder("test") as folder:
        assert os.path.isdir(folder)
    assert not os.path.exists(folder)


def test_a_folder_of_a_killed_process_goes_with_the_next_one(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr("dataflow.graph.scratch._swept", -math.inf)  # it is looked for once a minute
    left = subprocess.run([sys.executable, "-c", KILLED], capture_output=True, text=True).stdout.strip()
    assert os.path.isdir(left)
    (tmp_path / "dataflow-of-mine").mkdir()
    with scratch_folder("test") as mine:
        assert os.path.isdir(mine)
        assert not os.path.exists(left)
        with scratch_folder("other"):
            assert os.path.isdir(mine)
    assert os.listdir(tmp_path) == ["dataflow-of-mine"]
