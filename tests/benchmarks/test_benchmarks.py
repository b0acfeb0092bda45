"""The benchmarks run and compare like with like; how fast anything is, is no test's business."""

import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def test_every_arm_does_the_same_work(tmp_path):
    small = [
        "--corpus",
        write(tmp_path),
        "--repeats",
        "1",
        "--workers",
        "2",
        "--chunksize",
        "8",
        "--results",
        tmp_path,
    ]
    done = subprocess.run(
        [sys.executable, HERE / "benchmarks.py", *small, "--arms", "dataflow,pool", "--sections", "throughput"],
        capture_output=True, text=True, timeout=500, cwd=HERE.parent.parent,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = tmp_path.glob("benchmarks-*.json")
    found = json.loads(path.read_text())["throughput"]["corpus"]
    assert found["documents"] == 60
    assert found["equal"]
    assert set(found["samples"]) == {"serial", "dataflow", "pool"}


def test_the_costs_beside_the_work_are_measured(tmp_path):
    arguments = json.dumps({"corpus": str(write(tmp_path)), "batching": "adaptive", "workers": 2})
    done = subprocess.run(
        [sys.executable, HERE / "shapes.py", "tail", arguments], capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert 0 <= found["idle_end_share"] < 1
    assert 0 <= found["between_share"] < 1
    assert found["seconds"] > 0


def test_the_end_of_a_run_is_idle_from_a_workers_last_batch_on():
    sys.path.append(str(HERE))
    from shapes import _shares

    shares = _shares([[(0.0, 4.0), (5.0, 10.0)], [(0.0, 6.0)]], 2)
    assert shares == {"seconds": 10.0, "idle_end_share": 4 / 20, "between_share": 1 - 19 / 20}


def write(folder: Path) -> Path:
    (folder / "corpus").mkdir()
    for number in range(60):
        (folder / "corpus" / f"{number}.txt").write_text("Some words of a text. " * (number + 1))
    return folder / "corpus"
