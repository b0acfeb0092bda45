"""The benchmarks run and compare like with like; how fast anything is, is no test's business."""

import json
import os
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


def test_whole_commands_do_the_same_work(tmp_path):
    corpus = write(tmp_path)
    done = subprocess.run(
        [sys.executable, HERE / "benchmarks.py", "--corpus", corpus, "--repeats", "1", "--workers", "2",
         "--results", tmp_path, "--arms", "serial,pool", "--sections", "commands"],
        capture_output=True, text=True, timeout=500, cwd=HERE.parent.parent,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = tmp_path.glob("benchmarks-*.json")
    found = json.loads(path.read_text())["commands"]["corpus"]
    assert found["equal"]
    assert set(found["samples"]) == {
        "dataflow run", "dataflow run --cluster processes", "a script with serial", "a script with pool",
    }  # fmt: skip


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


def measured(name, **arguments):
    command = [sys.executable, HERE / "caching.py", name, json.dumps(arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_warm_batch_is_measured_beside_a_bare_mget_and_costs_one_round_trip(tmp_path):
    found = measured("warm", corpus=str(write(tmp_path)), batch=20, repeats=2)
    assert set(found["seconds"]) == {"cold", "mget", "near", "far"}
    assert found["kept"] == found["documents"] == 60
    assert found["mgets"] == 1


def test_other_libraries_look_up_the_same_values():
    found = measured("libraries", values=50, value_bytes=100, batch=16, repeats=2)
    assert {"dataflow lru", "dataflow redis"} <= set(found["seconds"])
    assert all(len(samples) == 2 for samples in found["seconds"].values())


def test_the_end_of_a_run_is_idle_from_a_workers_last_batch_on():
    sys.path.append(str(HERE))
    from shapes import _shares

    shares = _shares([[(0.0, 4.0), (5.0, 10.0)], [(0.0, 6.0)]], 2)
    assert shares == {"seconds": 10.0, "idle_end_share": 4 / 20, "between_share": 1 - 19 / 20}


def write(folder: Path) -> Path:
    (folder / "corpus").mkdir()
    for number in range(60):
        path = folder / "corpus" / f"{number}.txt"
        path.write_text("Some words of a text. " * (number + 1))
        os.utime(path, (1.7e9, 1.7e9))  # long ago, so that its size and time tell its state
    return folder / "corpus"
