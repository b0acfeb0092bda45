"""What each suite is answered with, on invented trials; tests/bench/test_questions.py does it on real ones."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest

from dataflow.measure.tables import ResultsFolder
from dataflow.report import build
from dataflow.report.answers import answers
from dataflow.report.results import load


@pytest.fixture
def ask(tmp_path):
    """Make a run of some trials; returns its folder and the suite's answers."""

    def make(suite, *arms, blocks=1, parts=None):
        folder = ResultsFolder.create(tmp_path, "mixed", "local")
        folder.write_json("run.json", {"environment": {"machine": {"cores_affinity": 2}}})
        trial = 0
        for block in range(blocks):
            for arm in arms:
                row = {"suite": suite, "workload": "mixed", "phase": "", "matches_serial": True, **arm}
                speed = row["documents_per_second"] = row.pop("speed", 10.0) * (1 + block / 100)
                row |= {"trial": trial, "block": block, "wall_seconds": row.get("wall_seconds", 100 / speed)}
                folder.append("trials", [row])
                own = [
                    {"trial": trial, "step": i, "part": p, "seconds": s}
                    for i, (p, s) in enumerate(parts or ())
                ]
                folder.append("overheads", own)
                trial += 1
        folder.save()
        results = load(folder.path)
        return folder.path, next(iter(answers(results).values()), [])

    return make


def test_speed_up_is_the_plain_loops_time_over_the_arms_in_the_same_block(ask):
    serial = {"strategy": "serial", "factor": "baseline", "cluster": "serial", "threads": 1, "speed": 10}
    base = {"strategy": "base", "cluster": "local", "threads": 2, "speed": 18, "efficiency": 0.9}
    many = {"strategy": "workers=4", "cluster": "local", "threads": 4, "speed": 17, "efficiency": 0.4}
    _, (answer,) = ask("parallel", serial, base, many, blocks=2)
    ups = {n.arm.strategy: n.value for n in answer.numbers if n.measure == "speed_up"}
    assert ups == {"serial": 1.0, "base": pytest.approx(1.8), "workers=4": pytest.approx(1.7)}
    assert answer.sentences[0].startswith("local with 2 threads has the highest speed-up")
    assert "90% of the ideal" in answer.sentences[0]
    assert "2 usable cores" in answer.sentences[1]
    assert answer.pictures[0]() is not None


def test_an_arm_with_other_results_has_the_highest_nothing(ask):
    serial = {"strategy": "serial", "factor": "baseline", "cluster": "serial", "threads": 1}
    wrong = {"strategy": "base", "cluster": "local", "threads": 2, "speed": 99, "matches_serial": False}
    _, (answer,) = ask("parallel", serial, wrong)
    assert answer.sentences == [
        "The plain loop is the fastest: more workers gain nothing on these documents here."
    ]
    assert any("local (other results)" in row[0] for row in answer.rows)


def batch(level, speed, phase="clean", **more):
    name = {"strategy": f"batching={level} {more.get('errors', '')}", "factor": "batching", "batching": level}
    return {**name, "speed": speed, "phase": phase, "errors": "bisect", **more}


def test_batch_sizes_are_a_set_once_there_are_blocks_enough(ask):
    arms = [batch("fixed:4", 10), batch("fixed:16", 10.001), batch("fixed:64", 5)]
    _, (few,) = ask("batching", *arms, blocks=5)
    assert {row[-1] for row in few.rows} == {"best", "inconclusive"}
    assert "at least 6 are needed" in few.sentences[0]
    _, (many,) = ask("batching", *arms, blocks=7)
    assert {row[0]: row[-1] for row in many.rows}["fixed:64"] == "slower"
    assert many.sentences[-1].startswith("Slower:")


def test_losses_are_counted_by_level_of_errors_in_the_order_of_sizes(ask):
    clean = batch("fixed:16", 9)
    lost = [
        batch(size, 1, "poison", errors=errors, poison=1, lost=n, quarantined=n + 1)
        for size, errors, n in (("fixed:16", "skip", 31), ("fixed:4", "skip", 7), ("fixed:4", "bisect", 0))
    ]
    _, (_, losses) = ask("batching", clean, *lost)
    assert [row[:4] for row in losses.rows] == [
        ["fixed:4", "bisect", "1", "0"],
        ["fixed:4", "skip", "1", "7"],
        ["fixed:16", "skip", "1", "31"],
    ]
    assert losses.sentences == [
        "errors=bisect loses no document with any batch size.",
        "errors=skip loses 7 documents with fixed:4 and 31 with fixed:16.",
    ]


def test_streaming_says_from_what_to_what_and_that_pages_are_not_there(ask):
    base = {
        "strategy": "base",
        "first_result_seconds": 0.2,
        "driver_growth_bytes": 1_000_000,
        "loading": "whole",
    }
    gather = {
        **base,
        "strategy": "collect=gather",
        "first_result_seconds": 2.0,
        "driver_growth_bytes": 9_000_000,
    }
    _, (answer,) = ask("streaming", base, gather)
    assert answer.sentences[0] == "Median first result: from 0.200 s (base) to 2.00 s (collect=gather)."
    assert "from 1.00 MB (base) to 9.00 MB (collect=gather)" in answer.sentences[1]
    assert "no variant" in answer.sentences[-1]


def test_a_documents_milliseconds_are_summed_by_whose_they_are(ask):
    parts = [
        ("open", 0.030),
        ("to the worker", 0.005),
        ("probe", 0.001),
        ("extract", 0.010),
        ("chunk", 0.002),
    ]
    parts += [("write", 0.004), ("back", 0.006), ("commit", 0.002)]
    _, (answer,) = ask("single", {"strategy": "base", "wall_seconds": 0.06}, parts=parts)
    assert answer.columns[1:] == ("total", "client", "way", "read", "lookup", "stages", "store", "write")
    assert answer.rows == [["base", "60.0", "32.0", "11.0", "1.0", "-", "12.0", "-", "4.0"]]
    columns, wide = answer.details
    assert columns[2:] == tuple(name for name, _ in parts)
    assert wide[0][2] == "30.0"
    assert "base: 12.0 of 60.0 ms are the stages; most else: open 30.0 ms" in answer.sentences[0]


def test_answers_are_a_table_that_the_report_writes_anew(ask):
    folder, _ = ask("single", {"strategy": "base", "wall_seconds": 0.06}, parts=[("open", 0.03)])
    for _ in range(2):
        build(folder)
    rows = pq.read_table(folder / "answers.parquet").to_pylist()
    assert [(r["measure"], r["value"], r["unit"], r["run_id"]) for r in rows] == [
        ("wall_seconds", 0.06, "seconds", folder.name),
        ("open", 0.03, "seconds", folder.name),
    ]


def test_a_suite_without_a_question_of_its_own_has_no_answers(ask):
    folder, found = ask("quick", {"strategy": "base"})
    build(folder)
    assert found == []
    assert not (folder / "answers.parquet").exists()
