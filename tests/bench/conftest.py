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
        return TrialRecords({**row, "wall_seconds": self.seconds, "matches_serial": arm.name not in self.wrong})

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
