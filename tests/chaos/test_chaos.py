"""A short chaos: real runs that are killed, cut short and kept from reading, and come out as if nothing had been."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from faults import FAULTS
from rounds import plan_rounds

HERE = Path(__file__).resolve().parent
SHORT = ("worker-kill", "redis-kill", "part-truncated", "reads-fail", "writes-fail")


def test_runs_under_faults_lose_nothing_and_double_nothing(tmp_path):
    arguments = ["--seed", "11", "--documents", "48", "--poison", "0", "--rounds", str(len(SHORT))]
    done = subprocess.run(
        [sys.executable, HERE / "chaos.py", *arguments, "--faults", ",".join(SHORT), "--results", tmp_path],
        capture_output=True, text=True, timeout=500, env={**os.environ, "PYTHONPATH": str(HERE.parent.parent)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "documents lost: 0, doubled: 0" in done.stdout
    rounds = json.loads((tmp_path / "chaos-11.json").read_text())["rounds"]
    assert sorted(name for r in rounds for name in r["injected"]) == sorted(SHORT)
    assert all(count > 0 for r in rounds for count in r["injected"].values())
    assert max(r["drivers"] for r in rounds) == 2  # the one whose driver was killed has been resumed


def test_a_seed_decides_all_that_is_chance():
    assert plan_rounds(5, 40) == plan_rounds(5, 40)
    assert plan_rounds(5, 40) != plan_rounds(6, 40)


def test_a_round_can_be_played_again_without_those_before_it():
    assert plan_rounds(5, 40)[17] == plan_rounds(5, 18)[17]


def test_every_fault_that_this_machine_can_do_has_a_round_of_its_own():
    possible = {name for name, fault in FAULTS.items() if fault.possible()}
    alone = {p.strikes[0][0] for p in plan_rounds(5, len(FAULTS)) if len(p.strikes) == 1}
    assert alone == possible


@pytest.mark.parametrize("seed", range(8))
def test_faults_that_come_together_can_happen_in_one_run(seed):
    for plan in plan_rounds(seed, 60):
        faults = [FAULTS[name] for name, _ in plan.strikes]
        assert all(plan.cluster in f.clusters for f in faults)
        assert all(f.cache in (None, plan.cache) for f in faults)
        assert all(f.stormy in (None, plan.stormy) for f in faults)
