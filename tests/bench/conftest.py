"""Parts that the tests of the benchmark share: a workload of one stage, and a rig that measures nothing."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from dataflow.measure.records import TrialRecords


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@dataclass
class FakeRig:
    """Notes what is asked of it; every trial takes ``seconds`` on the clock."""

    clock: Clock = field(default_factory=Clock)
    seconds: float = 1.0
    fails: frozenset = frozenset()
    wrong: frozenset = frozenset()
    missing: frozenset = frozenset()
    stop_after: int | None = None
    prepared: tuple = ()
    trials: list = field(default_factory=list)
    forgotten: list = field(default_factory=list)
    pages: list = field(default_factory=list)

    def can_run(self, arm):
        return arm.name not in self.missing

    def trial(self, arm, namespace, row):
        if self.stop_after is not None and len(self.trials) >= self.stop_after:
            raise KeyboardInterrupt
        self.trials.append((row["block"], arm.name, row["phase"], namespace))
        self.clock.now += self.seconds
        if arm.name in self.fails:
            return TrialRecords({**row, "error": "ValueError: no"})
        return TrialRecords(
            {**row, "wall_seconds": self.seconds, "matches_serial": arm.name not in self.wrong}
        )

    def forget(self, arm, namespace):
        self.forgotten.append((arm.name, namespace))

    def page(self, arm, namespace, folder):
        self.pages.append(arm.name)

    def columns(self, arm):
        return {"workload": "fake", "scenario": "fake", "cluster": "fake"}

    def failed(self):
        return self.prepared

    def describe(self):
        return {"corpus": {"documents": 0}}


@pytest.fixture
def fake_rig():
    """The class of rigs that measure nothing."""
    return FakeRig


WORKLOAD = '''"""Words of small texts."""

import os
import signal
import time

from dataflow import Pipeline, stage


@stage
def decode(data: bytes) -> str:
    if data == b"die":
        os.kill(os.getpid(), signal.SIGKILL)
    if data == b"hang":
        time.sleep(600)
    return data.decode("ascii")


@stage
def words(text: str) -> list[str]:
    return text.split()


pipeline = Pipeline(decode, words)


def corpus(folder, *, documents=None, seed=0):
    for i in range(40 if documents is None else documents):
        (folder / f"{i:03}.txt").write_text(f"document {i} of seed {seed}")
    (folder / "bad.txt").write_bytes(b"\\xff")
'''


@pytest.fixture(scope="session")
def workload(tmp_path_factory):
    """A workload that other processes can run: forty small texts and one that can't be decoded."""
    from dataflow.workload import load_workload

    path = tmp_path_factory.mktemp("workload") / "tiny.py"
    path.write_text(WORKLOAD)
    return load_workload(str(path))


@pytest.fixture
def corpus(workload, tmp_path):
    """The workload's documents."""
    from dataflow.bench.material import find_material

    return find_material(workload, None, None, 0, tmp_path / "corpus").documents
