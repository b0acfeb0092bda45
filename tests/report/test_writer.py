"""The report of whole, partial and strange runs."""

from __future__ import annotations

import csv
import dataclasses
import json
import re

import pytest

from dataflow import Strategy
from dataflow.errors import ResultsError
from dataflow.measure.tables import ResultsFolder
from dataflow.profile import Profile
from dataflow.report import build


@pytest.fixture
def run(synthetic, tmp_path):
    return synthetic.make_run(tmp_path, blocks=2)


def rows(run, name: str) -> list[dict]:
    return list(csv.DictReader((run / "csv" / name).open(encoding="utf-8")))


def text_of(path) -> str:
    """The page without its scripts and styles."""
    return re.sub(r"(?s)<(script|style).*?</\1>", "", path.read_text("utf-8"))


def test_the_report_is_one_file_with_the_verdict_first(run):
    path = build(run)
    text = text_of(path)
    assert path == run / "report.html"
    assert text.index("at least 6 are needed for a verdict") < text.index("<h2>Strategies</h2>")


def test_every_question_has_its_section(run):
    anchors = re.findall(r'<section id="([a-z-]+)">', text_of(build(run)))
    assert anchors == [
        "strategies", "speed", "time", "memory", "success", "batches", "cache", "worker-time", "efficiency",
        "repeat",
    ]  # fmt: skip


def test_the_page_names_no_other_address(run):
    assert not re.search(r'(?i)(?:src|href)\s*=\s*["\']?\s*(?:https?:)?//', text_of(build(run)))


def test_how_to_repeat_it_is_said(run):
    assert "dataflow bench --cluster local --workload mixed --seed 0" in text_of(build(run))


def test_a_disqualified_arm_is_marked_and_not_recommended(synthetic, tmp_path):
    run = synthetic.make_run(tmp_path, blocks=2, wrong="pool")
    text = text_of(build(run))
    assert "pool (other results)" in text
    assert not any("pool" in finding for finding in re.findall(r'class="finding">(.*?)<', text))


def test_the_csv_files_hold_the_trials_their_timings_and_the_comparison(run, synthetic):
    build(run)
    metrics, strategies = rows(run, "metrics.csv"), rows(run, "strategies.csv")
    assert len(metrics) == 2 * len(synthetic.ARMS)
    assert len(strategies) == len(synthetic.ARMS)
    walls = {r["trial"]: r["seconds"] for r in rows(run, "timings.csv") if r["timing"] == "wall_seconds"}
    assert walls == {r["trial"]: r["wall_seconds"] for r in metrics}


def test_no_cell_of_the_csv_files_is_a_formula(tmp_path):
    folder = ResultsFolder.create(tmp_path, "w", "c")
    folder.append("trials", [{"trial": 0, "strategy": "=cmd()", "documents_per_second": -1.5}])
    folder.save()
    build(folder.path)
    (row,) = rows(folder.path, "metrics.csv")
    assert row["strategy"] == "'=cmd()"
    assert row["documents_per_second"] == "-1.5"


def test_a_single_bare_trial_is_enough(tmp_path):
    folder = ResultsFolder.create(tmp_path, "w", "c")
    folder.append("trials", [{"trial": 0}])
    folder.save()
    text = text_of(build(folder.path))
    assert "no strategy can be recommended" in text.lower()
    assert "left no run.json" in text


def test_a_run_whose_every_trial_failed_says_why(tmp_path):
    folder = ResultsFolder.create(tmp_path, "w", "c")
    folder.append("trials", [{"trial": 0, "strategy": "base", "error": "ClusterError: <gone>"}])
    folder.save()
    assert "ClusterError: &lt;gone&gt;" in text_of(build(folder.path))


def test_zeros_and_values_that_are_no_numbers_are_no_obstacle(tmp_path):
    folder = ResultsFolder.create(tmp_path, "w", "c")
    numbers = (0.0, float("nan"), float("inf"), -1.0)
    folder.append("trials", (
        {"trial": i, "strategy": f"s{i}", "documents_per_second": n, "wall_seconds": n, "efficiency": n,
         "documents": 0, "peak_rss_bytes": 0, "batch_documents_mean": n, "overhead_seconds": n, "factor": "batching",
         "hits": 0,
         "misses": 1, "phase": "cold", "seconds_saved": n, "latency_p50_seconds": n}
        for i, n in enumerate(numbers)
    ))  # fmt: skip
    folder.append("resources", [{"trial": 0, "process": "w", "at_seconds": float("nan"), "rss_bytes": 1}])
    folder.append("stages", [{"trial": 0, "node": "extract", "seconds": float("nan")}])
    folder.save()
    assert build(folder.path).exists()


def test_a_run_that_was_cut_short_says_so_and_so_do_its_notes(tmp_path):
    folder = ResultsFolder.create(tmp_path, "w", "c")
    folder.append("trials", [{"trial": 0, "strategy": "base"}])
    folder.save()
    folder.write_json("run.json", {"complete": False, "notes": ["no Redis: <left out>"]})
    text = text_of(build(folder.path))
    assert "didn't come to its end" in text.replace("&#x27;", "'")
    assert "no Redis: &lt;left out&gt;" in text


def test_a_folder_without_a_run_gets_no_report(tmp_path):
    with pytest.raises(ResultsError, match="isn't a folder of results"):
        build(tmp_path / "nothing")
    with pytest.raises(ResultsError, match="holds no trial"):
        build(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_report_can_be_built_again(run):
    first = build(run).read_text("utf-8")
    assert len(build(run).read_text("utf-8")) == pytest.approx(len(first), rel=0.01)


def test_the_profile_is_the_engines_fastest_strategy_and_what_documents_cost(run):
    described = json.loads((run / "run.json").read_text())
    strategies = {"base": Strategy(), "cluster=processes": Strategy(batching="fixed:9")}
    described["arms"] = [{"name": "pool", "kind": "pool", "strategy": {}}] + [
        {"name": name, "kind": "engine", "strategy": dataclasses.asdict(strategy)}
        for name, strategy in strategies.items()
    ]
    (run / "run.json").write_text(json.dumps(described))
    build(run)
    profile = Profile.load(run)
    assert profile.strategy == strategies[profile.evidence["arm"]]
    assert profile.evidence["documents_per_second"] > 0
    assert profile.costs
    assert all(cost.documents > 0 for cost in profile.costs.values())


def test_a_run_without_a_trial_of_the_engine_recommends_nothing(run):
    build(run)
    assert not (run / "profile.yaml").exists()
