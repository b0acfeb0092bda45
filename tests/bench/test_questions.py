"""Each suite with a question of its own, end to end: a small real run, and what its tables and its report then say."""

from __future__ import annotations

import dataclasses
import io
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from dataflow.bench.experiment import bench
from dataflow.bench.suites import SUITES
from dataflow.report import build, print_summary

PAGES = """

@stage
def paged(data: bytes) -> str:
    return decode.function(data)


variants = {"pages": Pipeline(paged, words)}
"""


@contextmanager
def changed(name, **changes):
    """A smaller suite under its own name."""
    plain = SUITES[name]
    SUITES[name] = dataclasses.replace(plain, **changes)
    try:
        yield
    finally:
        SUITES[name] = plain


def go(workload, root, suite, **options):
    said: list[str] = []
    chosen = {"cluster": "processes", "workers": 2, "documents": 40, "blocks": 1, "seed": 3, **options}
    folder = bench(workload, suite=suite, results=root, say=said.append, **chosen)
    build(folder)
    return Ran(folder, said)


@dataclasses.dataclass
class Ran:
    folder: object
    said: list

    def table(self, name):
        return pd.read_parquet(self.folder / f"{name}.parquet")

    @property
    def trials(self):
        return self.table("trials")

    def row(self, strategy, phase=""):
        trials = self.trials
        (row,) = trials[(trials.strategy == strategy) & (trials.phase == phase)].to_dict("records")
        return row

    def measures(self, strategy):
        answers = self.table("answers")
        return set(answers[answers.strategy == strategy].measure)

    def printed(self):
        console = Console(file=io.StringIO(), width=80)
        print_summary(self.folder, console)
        return console.file.getvalue()

    def page(self):
        return (self.folder / "report.html").read_text("utf-8")


def check(ran):
    """What holds for every suite: all trials came through with the plain loop's results, and all is explained."""
    assert ran.trials.error.isna().all()
    assert ran.trials.matches_serial.astype(bool).all()
    assert (ran.table("answers").run_id == ran.folder.name).all()
    assert 'id="answer-1"' in ran.page()
    assert max(len(line) for line in ran.printed().splitlines() if not line.startswith("  /")) <= 80


@pytest.fixture(scope="module")
def parallel(workload, tmp_path_factory):
    levels = {**SUITES["parallel"].levels, "cluster": ("given", "threads", "distributed")}
    with changed("parallel", levels=levels):
        return go(workload, tmp_path_factory.mktemp("parallel"), "parallel")


def test_parallel_runs_every_cluster_at_every_size(parallel):
    check(parallel)
    sizes = parallel.trials.groupby("cluster").threads.apply(lambda found: set(found)).to_dict()
    assert sizes == {
        "processes": {1, 2, 4},
        "threads": {1, 2},
        "distributed": {1, 2},
        "serial": {1},
        "pool": {2},
    }
    assert parallel.row("workers=1")["workers"] == 1
    assert parallel.row("cluster=threads")["workers"] == 1


def test_parallel_answers_with_speed_up_efficiency_cpu_and_memory(parallel):
    assert parallel.measures("workers=4") == {"speed_up", "efficiency", "cores_used", "peak_rss_bytes"}
    answers = parallel.table("answers")
    (serial,) = answers[(answers.strategy == "serial") & (answers.measure == "speed_up")].to_dict("records")
    assert (serial["value"], serial["unit"]) == (1.0, "ratio")
    ups = answers[answers.measure == "speed_up"]
    fastest = ups.loc[ups.value.idxmax()].strategy
    said = "The plain loop is the fastest" if fastest == "serial" else "highest speed-up over a plain loop"
    assert said in " ".join(parallel.printed().split())


@pytest.fixture(scope="module")
def batching(workload, tmp_path_factory):
    levels = {"batching": ("adaptive", "fixed:1", "fixed:16"), "errors": ("bisect", "skip")}
    with changed("batching", levels=levels):
        return go(workload, tmp_path_factory.mktemp("batching"), "batching")


def test_poison_ends_its_worker_and_is_quarantined_for_it(batching):
    check(batching)
    documents = batching.table("documents")
    for strategy in ("base", "errors=skip", "batching=fixed:16", "batching=fixed:16 errors=skip"):
        row = batching.row(strategy, "poison")
        found = documents[documents.trial == row["trial"]]
        (poison,) = found[found.document.str.contains("poison-")].to_dict("records")
        assert (poison["status"], poison["error_type"]) == ("quarantined", "WorkerDied")
        assert row["poison"] == 1
        assert row["documents"] == 42


def test_bisect_loses_no_innocent_document_and_skip_the_whole_batch(batching):
    for strategy in ("base", "batching=fixed:1", "batching=fixed:16"):
        row = batching.row(strategy, "poison")
        assert (row["quarantined"], row["lost"]) == (1, 0)
        assert batching.row(strategy, "clean")["lost"] == 0
    lost = batching.row("batching=fixed:16 errors=skip", "poison")
    assert 9 <= lost["lost"] == lost["quarantined"] - 1  # its batch is of 16, or the last one, of 10
    assert lost["ok"] + lost["failed"] + lost["quarantined"] == 42


def test_batching_says_what_few_blocks_cannot_know_and_what_is_lost(batching):
    answers = batching.table("answers")
    verdicts = set(answers[answers.measure == "to_best"].verdict)
    assert verdicts == {"best", "inconclusive"}
    printed = " ".join(batching.printed().split())
    assert "errors=bisect loses no document with any batch size." in printed
    assert "errors=skip loses" in printed
    assert "over 1 block nothing can be told" in printed


@pytest.fixture(scope="module")
def streaming(workload, tmp_path_factory):
    from dataflow.workload import load_workload

    plain = (Path(workload.search_path[0]) / "tiny.py").read_text()
    path = tmp_path_factory.mktemp("workload") / "paged.py"
    path.write_text(plain.replace("pipeline = Pipeline", PAGES.lstrip() + "\n\npipeline = Pipeline"))
    return go(load_workload(str(path)), tmp_path_factory.mktemp("streaming"), "streaming")


def test_streaming_brings_values_back_that_are_the_plain_loops(streaming):
    check(streaming)
    assert set(streaming.trials.strategy) == {
        *("base", "twin", "collect=gather", "collect=ordered", "loading=pages", "serial", "pool")
    }
    assert streaming.row("base")["bytes_out"] == 0
    assert streaming.row("loading=pages")["loading"] == "pages"
    assert streaming.row("collect=gather")["collect"] == "gather"


def test_streaming_answers_with_the_first_result_the_total_and_what_grew(streaming):
    assert streaming.measures("loading=pages") == {
        *(
            "first_result_seconds",
            "wall_seconds",
            "driver_growth_bytes",
            "workers_growth_bytes",
            "peak_rss_bytes",
        )
    }
    assert streaming.trials.driver_growth_bytes.notna().all()
    assert "Median first result: from" in " ".join(streaming.printed().split())


def test_a_workload_without_pages_has_no_such_arm_and_that_is_said(workload, tmp_path):
    with changed("streaming", levels={"loading": ("whole", "pages")}):
        ran = go(workload, tmp_path, "streaming", documents=4)
    assert set(ran.trials.strategy) == {"base", "twin", "serial", "pool"}
    assert "no arm loading=pages: workload tiny has no such variant" in ran.said


@pytest.fixture(scope="module")
def single(workload, tmp_path_factory):
    levels = {"cache": ("none", "lru", "redis"), "cluster": ("given", "inline")}
    with changed("single", levels=levels):
        return go(workload, tmp_path_factory.mktemp("single"), "single", workers=1, admission=False)


def test_single_takes_one_document_through_every_cache_cold_and_warm_here_and_there(single):
    check(single)
    assert (single.trials.documents == 1).all()
    for strategy in ("cache=redis", "cache=lru", "cluster=inline cache=redis", "cluster=inline cache=lru"):
        assert single.row(strategy, "cold")["hits"] == 0
        assert single.row(strategy, "warm")["hits"] == 1
    assert single.row("cluster=inline")["cluster"] == "inline"


def test_the_parts_of_one_documents_time_add_up_to_it(single):
    parts = single.table("overheads")
    walls = single.trials.set_index("trial").wall_seconds
    assert set(parts.trial) == set(walls.index)
    assert (parts.groupby("trial").seconds.sum() - walls).abs().max() < 1e-6
    base = parts[parts.trial == single.row("base")["trial"]].sort_values("step")
    assert [*base.part][:3] == ["open", "send", "to the worker"]
    assert {"probe", "decode", "words", "write", "back", "commit", "close"} <= set(base.part)
    assert (parts.seconds > -1e-3).all()


def test_single_answers_where_the_milliseconds_go(single):
    assert {"wall_seconds", "open", "decode", "close"} <= single.measures("base")
    printed = " ".join(single.printed().split())
    assert "inline redis · warm" in printed
    assert "ms are the stages; most else:" in printed
