from __future__ import annotations

import os
import time
from dataclasses import replace

import pytest

from dataflow import Pipeline, Strategy, stage
from dataflow.corpus import open_corpus
from dataflow.errors import CacheError
from dataflow.measure.digests import Output
from dataflow.measure.probes import ProcessProbe, RedisProbe
from dataflow.measure.records import Reference
from dataflow.measure.resources import last_evicted, peak_used_bytes
from dataflow.measure.subject import EngineSubject
from dataflow.measure.tables import TABLES, ResultsFolder, read_results
from dataflow.measure.trial import run_trial


@stage
def text(data: bytes) -> str:
    return data.decode("ascii")


@stage
def shout(data: bytes) -> str:
    return data.decode("ascii").upper()


DESIGN = {"trial": 3, "strategy": "base", "phase": "", "cache": "none"}


@pytest.fixture
def documents(tmp_path):
    """Five documents, one of which can't be decoded."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    for i in range(4):
        (folder / f"{i}.txt").write_text(f"document {i}")
    (folder / "bad.txt").write_bytes(b"\xff")
    return list(open_corpus(str(folder)))


def subject(*stages, cache="none", admission=True, **options):
    strategy = Strategy(cache=cache, batching="fixed:2", admission=admission)
    return EngineSubject(Pipeline(*stages), strategy, None, **options)


def test_a_trial_becomes_rows_of_every_table(documents, tmp_path):
    records = run_trial(subject(text), documents, DESIGN, scratch=tmp_path)
    trial = records.trial
    assert (trial["documents"], trial["ok"], trial["failed"], trial["success_rate"]) == (5, 4, 1, 0.8)
    assert trial["bytes_in"] == sum(d.size_bytes for d in documents)
    assert trial["bytes_out"] > 0
    assert (trial["batches"], trial["batch_documents_mean"]) == (3, 5 / 3)
    assert 0 < trial["first_result_seconds"] <= trial["wall_seconds"]
    assert trial["latency_p50_seconds"] <= trial["latency_p95_seconds"] <= trial["latency_p99_seconds"]
    assert (trial["hits"], trial["misses"], trial.get("hit_rate")) == (0, 0, None)
    assert sum(row["documents"] for row in records.tables["batches"]) == 5
    assert all(row["started_seconds"] >= 0 for row in records.tables["batches"])
    by_name = {os.path.basename(row["document"]): row for row in records.tables["documents"]}
    assert by_name["bad.txt"]["error_type"] == "UnicodeDecodeError"
    assert by_name["0.txt"]["characters"] == len("document 0")
    assert {row["node"] for row in records.tables["stages"]} == {"probe", "text", "write"}
    assert {row["process"] for row in records.tables["resources"]} == {"driver"}


def test_the_rows_fit_the_tables(documents, tmp_path):
    results = ResultsFolder.create(tmp_path / "results")
    cached = subject(text, cache="lru", namespace=f"test-{tmp_path}")
    run_trial(cached, documents, {**DESIGN, "cache": "lru"}, scratch=tmp_path).save(results)
    run_trial(subject(text), documents[:1], {**DESIGN, "trial": 4}, scratch=tmp_path).save(results)
    tables = read_results(results.path)
    assert all(tables[name].num_rows for name in TABLES if name != "answers")  # those come with the report
    # Only what is one batch has parts that don't overlap.
    assert set(tables["overheads"]["trial"].to_pylist()) == {4}


@pytest.mark.parametrize("collect", ["gather", "ordered", "as_completed"])
def test_values_that_come_back_are_those_that_would_be_written_and_none_is_kept(documents, tmp_path, collect):
    written = run_trial(subject(text), documents, DESIGN, scratch=tmp_path)
    back = EngineSubject(Pipeline(text), Strategy(collect=collect), None, values=True)
    execution = back.execute(documents, tmp_path / "nowhere")
    assert execution.output.digest == written.output.digest
    assert all(o.value is None for o in execution.outcomes)
    assert all(b.values is None for b in execution.batches)
    assert not (tmp_path / "nowhere").exists()


def test_with_poison_about_what_is_lost_is_counted_and_the_rest_compared(documents, tmp_path):
    output = run_trial(subject(text), documents, DESIGN, scratch=tmp_path).output
    innocent = Output("", {p: d for p, d in output.rows.items() if p != 2})
    reference = Reference(innocent, 1.0, poison=frozenset({2}))

    class Losing(EngineSubject):
        def execute(self, documents, folder):
            execution = super().execute(documents, folder)
            execution.outcomes = [
                replace(o, status="quarantined") if o.position in (1, 2) else o for o in execution.outcomes
            ]
            return execution

    def trial(*stages):
        losing = Losing(Pipeline(*stages), Strategy(batching="fixed:2"), None)
        return run_trial(losing, documents, DESIGN, scratch=tmp_path, reference=reference).trial

    same = trial(text)
    assert (same["poison"], same["lost"], same["matches_serial"]) == (1, 1, True)
    assert trial(shout)["matches_serial"] is False


def test_what_no_node_explains_and_what_nodes_explain_add_up_to_the_workers_time(documents, tmp_path):
    records = run_trial(subject(text), documents, DESIGN, scratch=tmp_path)
    explained = sum(row["seconds"] for row in records.tables["stages"])
    trial = records.trial
    assert explained + trial["overhead_seconds"] == pytest.approx(trial["wall_seconds"] * trial["threads"])


def test_equal_results_match_the_reference_and_others_do_not(documents, tmp_path):
    output = run_trial(subject(text), documents, DESIGN, scratch=tmp_path).output
    assert output is not None
    reference = Reference(output, cpu_seconds=1.0)
    same = run_trial(subject(text), documents, DESIGN, scratch=tmp_path, reference=reference).trial
    other = run_trial(subject(shout), documents, DESIGN, scratch=tmp_path, reference=reference).trial
    assert (same["matches_serial"], other["matches_serial"]) == (True, False)
    assert same["ideal_seconds"] == 1.0
    assert same["efficiency"] == pytest.approx(1.0 / same["wall_seconds"])


def test_an_answer_from_the_cache_that_is_not_the_references_is_stale(documents, tmp_path):
    cached = subject(text, cache="lru", namespace=f"test-{tmp_path}")
    design = {**DESIGN, "cache": "lru", "phase": "cold"}
    cold = run_trial(cached, documents, design, scratch=tmp_path)
    wrong = run_trial(subject(shout), documents, DESIGN, scratch=tmp_path).output
    assert cold.output is not None
    assert wrong is not None
    warm = {**design, "phase": "warm"}
    fresh, stale = (
        run_trial(cached, documents, warm, scratch=tmp_path, reference=Reference(o, 1.0)).trial
        for o in (cold.output, wrong)
    )
    assert cold.trial["hits"] == 0
    assert cold.trial["misses"] == 5
    assert (fresh["hits_lru"], fresh["misses"], fresh["hit_rate"]) == (4, 1, 0.8)
    assert (fresh["stale"], stale["stale"]) == (0, 4)
    assert "efficiency" not in fresh  # nothing limits a warm run to what cores can compute


def test_what_the_cache_did_is_told_by_tier_and_reason(documents, tmp_path):
    from dataflow.memo.server import EmbeddedServer

    with EmbeddedServer() as server:
        cached = subject(text, cache="tiered", redis_url=server.url, admission=False)
        trials = [
            run_trial(cached, documents, {**DESIGN, "cache": "tiered", "phase": phase}, scratch=tmp_path)
            for phase in ("cold", "warm")
        ]
    cold, warm = ({(r["metric"], r["tier"], r["reason"]): r for r in t.tables["cache"]} for t in trials)
    assert cold["misses", None, "new"]["value"] == 5
    assert cold["stored", None, None]["value"] == 4
    assert cold["bytes_written", None, None]["value"] > 4 * 148
    assert warm["hits", "lru", None]["value"] == 4
    assert warm["bytes_read", "lru", None]["value"] > 4 * 148
    # What isn't there is asked for once more with its claim.
    assert (warm["asked", "lru", None]["value"], warm["asked", "redis", None]["value"]) == (6, 2)
    assert warm["lookup_seconds", "lru", None]["unit"] == "seconds"
    for trial, found in zip(trials, (cold, warm), strict=True):
        row = trial.trial
        spent = row["lookup_seconds"] + row["store_seconds"]
        assert row["seconds_saved"] == pytest.approx(row["compute_seconds_saved"] - spent)
        assert found["net_seconds_saved", None, None]["value"] == row["seconds_saved"]
        by_tier = sum(r["value"] for k, r in found.items() if k[0] == "lookup_seconds" and k[1])
        assert 0 < by_tier < row["lookup_seconds"]
        assert row["redis_used_peak_bytes"] > 0
        assert row["redis_evicted"] == 0
    samples = [r for r in trials[1].tables["resources"] if r["process"] == "redis"]
    assert all(r["used_memory_bytes"] > 0 and r["fragmentation_ratio"] > 0 for r in samples)


def test_a_trial_that_raises_is_a_row_with_its_error(documents, tmp_path):
    class Broken:
        workers = threads = 2

        def execute(self, documents, folder):
            raise OSError("the disk\nis full")

        def probes(self):
            return [ProcessProbe()]

    records = run_trial(Broken(), documents, DESIGN, scratch=tmp_path)
    assert records.trial["error"] == "OSError: the disk is full"
    assert records.output is None
    assert {row["process"] for row in records.tables["resources"]} == {"driver"}


def test_ctrl_c_goes_through_and_leaves_no_output(documents, tmp_path):
    class Stopped:
        workers = threads = 1

        def execute(self, documents, folder):
            folder.mkdir()
            raise KeyboardInterrupt

        def probes(self):
            return []

    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with pytest.raises(KeyboardInterrupt):
        run_trial(Stopped(), documents, DESIGN, scratch=scratch)
    assert list(scratch.iterdir()) == []


def test_a_probe_that_fails_costs_its_samples_and_not_the_trial(documents, tmp_path):
    class Deaf:
        def start(self):
            pass

        def stop(self):
            raise OSError("no answer")

    tried = subject(text)
    tried.probes = lambda: [Deaf(), ProcessProbe()]
    records = run_trial(tried, documents, DESIGN, scratch=tmp_path)
    assert records.trial["ok"] == 4
    assert {row["process"] for row in records.tables["resources"]} == {"driver"}


def test_a_server_is_sampled_by_asking_it():
    info = {"process_id": 9, "cpu_seconds": 2.0, "rss_bytes": 1000, "used_memory_bytes": 800}
    info |= {"evicted_keys": 70, "fragmentation_ratio": 1.25}
    probe = RedisProbe("redis://nowhere", lambda url: info)
    probe.start()
    info["evicted_keys"] += 3
    samples = probe.stop()
    assert {(s.process, s.process_id, s.rss_bytes) for s in samples} == {("redis", 9, 1000)}
    assert {(s.used_memory_bytes, s.fragmentation_ratio) for s in samples} == {(800, 1.25)}
    assert (samples[0].evicted_keys, samples[-1].evicted_keys) == (0, 3)
    assert (last_evicted(samples), peak_used_bytes(samples)) == (3, 800)


def test_a_server_that_is_away_for_a_while_is_sampled_again():
    answers = iter([{"process_id": 9}, None, {"cpu_seconds": 2.0, "rss_bytes": 1000}])

    def info(url):
        found = next(answers)
        if found is None:
            raise CacheError("no answer")
        return {"used_memory_bytes": 800, "evicted_keys": 0, "fragmentation_ratio": 1.0, **found}

    probe = RedisProbe("redis://nowhere", info)
    probe.start()
    assert [s.rss_bytes for s in probe.stop()] == [1000]


def test_a_server_that_does_not_answer_has_no_samples():
    def refuse(url):
        raise OSError("refused")

    probe = RedisProbe("redis://nowhere", refuse)
    probe.start()
    assert probe.stop() == []


def test_only_the_way_through_the_corpus_is_timed(documents, tmp_path, monkeypatch):
    from dataflow.measure import trial as module

    ended = []
    read = module.read_output
    monkeypatch.setattr(module, "read_output", lambda *a: (ended.append(time.perf_counter()), read(*a))[1])
    tried = subject(text)
    execute, seen = tried.execute, []
    tried.execute = lambda *a: seen.append(execute(*a)) or seen[0]
    trial = run_trial(tried, documents, DESIGN, scratch=tmp_path).trial
    assert seen[0].ended <= ended[0]
    assert trial["wall_seconds"] == seen[0].ended - seen[0].started
