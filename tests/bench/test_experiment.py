from __future__ import annotations

import json

import pyarrow.parquet as pq
import pytest

from dataflow.bench.experiment import Experiment
from dataflow.bench.suites import SUITES, suite_arms
from dataflow.measure.records import TrialRecords
from dataflow.measure.tables import ResultsFolder

SUITE, ARMS = suite_arms("quick")
TRIALS_A_BLOCK = sum(len(arm.phases) for arm in ARMS)


@pytest.fixture
def start(tmp_path, fake_rig):
    """Make an experiment on a fake rig; what is said and reported is kept on it."""

    def make(arms=ARMS, seed=0, **options):
        rig = fake_rig(**options)
        results = ResultsFolder.create(tmp_path / "results", "fake", "fake")
        rig.said, rig.reports, rig.results = [], [], results
        experiment = Experiment(
            rig,
            SUITES["quick"],
            arms,
            results,
            seed=seed,
            say=rig.said.append,
            progress=rig.reports.append,
            clock=rig.clock,
        )
        return experiment, rig

    return make


def rows(rig):
    return pq.read_table(rig.results.path / "trials.parquet").to_pylist()


def run_json(rig):
    return json.loads((rig.results.path / "run.json").read_text())


def test_each_block_holds_every_arm_once_and_every_trial_is_saved(start):
    experiment, rig = start()
    experiment.run(blocks=3)
    assert len(rows(rig)) == 3 * TRIALS_A_BLOCK
    assert [r["trial"] for r in rows(rig)] == list(range(3 * TRIALS_A_BLOCK))
    for block in range(3):
        named = [r["strategy"] for r in rows(rig) if r["block"] == block and r["phase"] != "warm"]
        assert sorted(named) == sorted(a.name for a in ARMS)
        positions = [r["position"] for r in rows(rig) if r["block"] == block]
        assert positions == list(range(TRIALS_A_BLOCK))


def test_a_phase_that_is_run_once_is_in_the_first_block_alone_and_the_bar_knows(start, tmp_path, fake_rig):
    suite, arms = suite_arms("batching")
    rig = fake_rig()
    reports = []
    results = ResultsFolder.create(tmp_path / "results", "fake", "fake")
    Experiment(
        rig, suite, arms, results, progress=reports.append, say=lambda text: None, clock=rig.clock
    ).run(3)
    phases = {block: {phase for b, _, phase, _ in rig.trials if b == block} for block in range(3)}
    assert phases == {0: {"clean", "poison"}, 1: {"clean"}, 2: {"clean"}}
    assert {report.total for report in reports} == {len(rig.trials)}
    assert rig.forgotten == []  # no arm has a cache


def test_the_order_differs_from_block_to_block_and_is_the_seeds(start):
    def order(seed):
        experiment, rig = start(seed=seed)
        experiment.run(blocks=2)
        return [r["strategy"] for r in rows(rig)]

    one = order(1)
    assert one[:TRIALS_A_BLOCK] != one[TRIALS_A_BLOCK:]
    assert one == order(1)
    assert one != order(2)


def test_a_warm_trial_comes_right_after_the_cold_one_with_the_same_keys_and_no_other_trial_has_them(start):
    experiment, rig = start()
    experiment.run(blocks=2)
    namespaces = {}
    for at, (block, name, phase, namespace) in enumerate(rig.trials):
        if phase == "warm":
            assert rig.trials[at - 1] == (block, name, "cold", namespace)
        if phase:
            namespaces.setdefault(namespace, []).append(phase)
    assert set(map(tuple, namespaces.values())) == {("cold", "warm")}
    assert len(namespaces) == 4


def test_what_was_cached_is_forgotten_once_for_each_cached_arm_of_each_block(start):
    experiment, rig = start()
    experiment.run(blocks=2)
    in_blocks = [f for f in rig.forgotten if not f[1].endswith("-page")]
    assert sorted(name for name, _ in in_blocks) == ["cache=lru"] * 2 + ["cache=redis"] * 2


def test_the_first_block_says_how_many_there_is_time_for(start):
    experiment, rig = start(seconds=SUITE.seconds / TRIALS_A_BLOCK / 3.5)
    experiment.run()
    assert max(r["block"] for r in rows(rig)) + 1 == 3
    assert any(said.startswith("3 blocks") for said in rig.said)


def test_a_slow_machine_still_runs_the_least_number_of_blocks(start):
    experiment, rig = start(seconds=1000.0)
    experiment.run()
    assert run_json(rig)["blocks"]["done"] == SUITE.least_blocks


def test_an_arm_that_fails_is_a_row_with_its_error_and_the_others_go_on(start):
    experiment, rig = start(fails=frozenset({"fuse=off"}))
    experiment.run(blocks=2)
    bad = [r for r in rows(rig) if r["error"]]
    assert {r["strategy"] for r in bad} == {"fuse=off"}
    assert len(rows(rig)) == 2 * TRIALS_A_BLOCK
    assert "fuse=off failed: ValueError: no" in run_json(rig)["notes"]


def test_an_arm_that_failed_twice_is_not_tried_again(start):
    experiment, rig = start(fails=frozenset({"pool"}))
    experiment.run(blocks=4)
    assert sum(r["strategy"] == "pool" for r in rows(rig)) == 2


def test_an_output_that_differs_from_the_plain_loops_is_said(start):
    experiment, rig = start(wrong=frozenset({"collect=gather"}))
    experiment.run(blocks=1)
    assert "collect=gather: its output differs from the plain loop's" in rig.said
    wrong = [r["strategy"] for r in rows(rig) if r["matches_serial"] is False]
    assert wrong == ["collect=gather"]


def test_an_arm_that_cannot_run_is_left_out_and_named_in_the_run(start):
    experiment, rig = start(missing=frozenset({"cache=redis"}))
    experiment.run(blocks=1)
    assert "cache=redis" not in {r["strategy"] for r in rows(rig)}
    assert run_json(rig)["left_out"] == ["cache=redis"]


def test_a_baseline_that_could_not_be_prepared_is_a_failed_trial(start):
    records = TrialRecords({"trial": 0, "error": "ClusterError: died"}, {"resources": [{"trial": 0}]})
    experiment, rig = start(missing=frozenset({"serial"}), prepared=(("serial", records),))
    experiment.run(blocks=1)
    serial = [r for r in rows(rig) if r["strategy"] == "serial"]
    assert [(r["trial"], r["error"]) for r in serial] == [(0, "ClusterError: died")]
    assert [r["trial"] for r in rows(rig)] == list(range(len(rows(rig))))


def test_ctrl_c_keeps_what_was_saved(start):
    experiment, rig = start(stop_after=5)
    experiment.run(blocks=2)
    assert len(rows(rig)) == 5
    said = run_json(rig)
    assert (said["interrupted"], said["complete"], said["trials"]) == (True, False, 5)
    assert rig.pages == []


def test_ctrl_c_before_the_first_trial_leaves_nothing(start):
    experiment, rig = start(stop_after=0)
    with pytest.raises(KeyboardInterrupt):
        experiment.run(blocks=2)
    assert not rig.results.path.exists()


def test_pages_are_made_after_the_blocks_and_a_failure_is_only_said(start, monkeypatch):
    experiment, rig = start()

    def page(arm, namespace, folder):
        rig.pages.append((arm.name, len(rig.trials)))
        raise OSError("the scheduler has gone")

    rig.page = page
    experiment.run(blocks=1)
    assert ("base", TRIALS_A_BLOCK) in rig.pages
    assert any("no performance report of base" in note for note in run_json(rig)["notes"])
    assert run_json(rig)["complete"] is True


def test_progress_counts_every_trial_and_ends_at_its_total(start):
    experiment, rig = start()
    experiment.run(blocks=2)
    assert [r.done for r in rig.reports] == list(range(2 * TRIALS_A_BLOCK + 1))
    assert {r.total for r in rig.reports} == {2 * TRIALS_A_BLOCK}
    assert rig.reports[0].seconds_left is None
    assert rig.reports[TRIALS_A_BLOCK].seconds_left == pytest.approx(TRIALS_A_BLOCK)
    assert rig.reports[-1].seconds_left == 0.0
