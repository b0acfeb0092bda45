"""What the pictures show of the tables."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from dataflow.measure.schemas import schema
from dataflow.report.data import failure_reasons, memory_lines, node_seconds, typical_trial
from dataflow.report.summary import summary_rows


def table(name: str, rows: Sequence[dict]) -> pa.Table:
    full = [{"run_id": "r", "trial": 0, **row} for row in rows]
    return pa.Table.from_pylist(full, schema=schema(name))


def test_reasons_count_documents_once_and_outcomes_always():
    bad = {"status": "failed", "error_type": "PdfError", "error": "damaged"}
    rows = [{"trial": t, "document": d, **bad} for t in range(3) for d in ("a", "b")]
    rows += [
        {"document": "c", "status": "ok"},
        {"document": "d", "status": "quarantined", "error_type": "WorkerDied"},
    ]
    first, second = failure_reasons(table("documents", rows))
    assert (first.error_type, first.documents, first.outcomes, first.document) == ("PdfError", 2, 6, "a")
    assert (second.status, second.error_type, second.error) == ("quarantined", "WorkerDied", "")


def test_an_example_and_its_message_belong_together():
    rows = [
        {"document": "z", "status": "failed", "error_type": "E", "error": "a message about z"},
        {"document": "a", "status": "failed", "error_type": "E", "error": "b message about a"},
    ]
    (reason,) = failure_reasons(table("documents", rows))
    assert reason.error == f"a message about {reason.document}"


def test_without_failures_there_are_no_reasons():
    assert failure_reasons(table("documents", [{"document": "a", "status": "ok"}])) == []
    assert failure_reasons(table("documents", [])) == []


def test_seconds_by_node_add_up():
    rows = [
        {"node": "extract", "seconds": 1.0},
        {"node": "extract", "seconds": 2.0},
        {"node": "write", "seconds": 0.5},
    ]
    assert node_seconds(table("stages", rows), table("batches", [])) == {0: {"extract": 3.0, "write": 0.5}}


def test_without_stages_the_batches_tell():
    rows = [{"compute_seconds": 1.0, "probe_seconds": None}, {"compute_seconds": 2.0, "probe_seconds": 0.25}]
    (found,) = node_seconds(table("stages", []), table("batches", rows)).values()
    assert found == {"probe": 0.25, "lookup": 0.0, "compute": 3.0, "store": 0.0, "write": 0.0}


def test_memory_is_cut_to_a_picture_and_keeps_its_peak():
    rows = [{"process": "w", "at_seconds": i / 10, "rss_bytes": 10**6} for i in range(5000)]
    rows[1234]["rss_bytes"] = 9 * 10**6
    (line,) = memory_lines(table("resources", rows), [0])[0]
    assert len(line.seconds) <= 600
    assert max(line.megabytes) == 9.0
    assert line.seconds == sorted(line.seconds)


def test_memory_comes_of_the_trials_asked_for_and_the_largest_process_first():
    rows = [
        {"trial": trial, "process": name, "at_seconds": 0.0, "rss_bytes": size}
        for trial in (0, 1)
        for name, size in (("driver", 1), ("worker-0", 5))
    ]
    found = memory_lines(table("resources", rows), [1])
    assert [line.process for line in found[1]] == ["worker-0", "driver"]
    assert list(found) == [1]


def test_samples_without_a_number_are_left_out():
    rows = [{"process": "w", "at_seconds": 0.0, "rss_bytes": None}]
    assert memory_lines(table("resources", rows), [0]) == {}


def test_the_typical_trial_has_the_median_peak():
    rows = [
        {"strategy": "x", "trial": n, "peak_rss_bytes": peak} for n, peak in enumerate((30, 10, 20, None))
    ]
    (arm,) = summary_rows(rows)
    assert typical_trial(arm)["peak_rss_bytes"] == 10
    (failed,) = summary_rows([{"strategy": "x", "trial": 0, "error": "gone"}])
    assert typical_trial(failed) is None
