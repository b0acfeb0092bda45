"""The schema is a contract: whoever changes it changes this list, and sees what readers of old runs lose."""

from __future__ import annotations

from pathlib import Path

import pytest

from dataflow.measure.schemas import TABLES, markdown, schema

GOLDEN = {
    "trials": """
        run_id string name; trial int64 number; suite string name; workload string name; scenario string name;
        strategy string name; factor string name; level string name; phase string name; block int64 number;
        position int64 number; cluster string name; workers int64 workers; threads int64 threads;
        cache string name; freshness string name; batching string name; collect string name; errors string name;
        loading string name; fuse bool boolean;
        documents int64 documents; ok int64 documents; failed int64 documents; quarantined int64 documents;
        poison int64 documents; lost int64 documents; success_rate double fraction; bytes_in int64 bytes;
        bytes_out int64 bytes;
        wall_seconds double seconds;
        cpu_seconds double seconds; documents_per_second double documents/second;
        first_result_seconds double seconds; latency_p50_seconds double seconds;
        latency_p95_seconds double seconds; latency_p99_seconds double seconds; hits int64 lookups;
        misses int64 lookups; hit_rate double fraction; bypassed int64 documents;
        hits_lru int64 lookups; hits_redis int64 lookups;
        hits_spill int64 lookups; compute_seconds_saved double seconds; lookup_seconds double seconds;
        store_seconds double seconds;
        seconds_saved double seconds; stale int64 documents; recomputed int64 documents; batches int64 batches;
        batch_documents_mean double documents; peak_rss_bytes int64 bytes;
        driver_growth_bytes int64 bytes; workers_growth_bytes int64 bytes; mean_cpu_percent double percent;
        redis_peak_bytes int64 bytes; redis_used_peak_bytes int64 bytes; redis_evicted int64 keys;
        overhead_seconds double seconds; ideal_seconds double seconds;
        efficiency double fraction; output_digest string hex digest; matches_serial bool boolean;
        steal_percent double percent; load double processes; probe_seconds double seconds;
        started timestamp[us, tz=UTC] UTC; error string text
    """,
    "batches": """
        run_id string name; trial int64 number; batch int64 number; worker string name;
        documents int64 documents; bytes int64 bytes; seconds double seconds; cpu_seconds double seconds;
        started_seconds double seconds; probe_seconds double seconds; lookup_seconds double seconds;
        compute_seconds double seconds; store_seconds double seconds; write_seconds double seconds;
        hits int64 lookups; misses int64 lookups; failed int64 documents
    """,
    "documents": """
        run_id string name; trial int64 number; document string URL; position int64 number;
        media_type string name; size_bytes int64 bytes; status string name; error_type string name;
        error string text; attempts int64 attempts; cache string name; seconds double seconds;
        characters int64 characters; batch int64 number
    """,
    "resources": """
        run_id string name; trial int64 number; at_seconds double seconds; process string name;
        process_id int64 number; cpu_percent double percent; cpu_seconds double seconds; rss_bytes int64 bytes;
        used_memory_bytes int64 bytes; evicted_keys int64 keys; fragmentation_ratio double ratio
    """,
    "stages": "run_id string name; trial int64 number; node string name; seconds double seconds",
    "cache": """
        run_id string name; trial int64 number; metric string name; tier string name; reason string name;
        value double as unit says; unit string name
    """,
    "overheads": """
        run_id string name; trial int64 number; part string name; step int64 number; seconds double seconds
    """,
    "answers": """
        run_id string name; suite string name; workload string name; strategy string name; factor string name;
        level string name; phase string name; cluster string name; measure string name; unit string name;
        value double see unit; lowest double see unit; highest double see unit; values int64 number;
        verdict string name
    """,
}


def test_the_tables_are_pinned():
    assert list(TABLES) == list(GOLDEN)


@pytest.mark.parametrize("table", GOLDEN)
def test_names_types_and_units_are_pinned(table):
    found = "; ".join(f"{f.name} {f.type} {f.metadata[b'unit'].decode()}" for f in schema(table))
    assert found == " ".join(GOLDEN[table].split())


@pytest.mark.parametrize("table", GOLDEN)
def test_every_field_has_a_description(table):
    assert all(len(f.metadata[b"description"]) > 3 for f in schema(table))


@pytest.mark.parametrize("table", GOLDEN)
def test_only_the_keys_must_be_there(table):
    keys = ["run_id"] if table == "answers" else ["run_id", "trial"]  # an answer is about many trials
    assert [f.name for f in schema(table) if not f.nullable] == keys


def test_the_readme_of_results_is_what_the_schema_says():
    readme = Path(__file__).parents[2] / "results" / "README.md"
    assert readme.read_text("utf-8") == markdown(), "python -m dataflow.measure.schemas > results/README.md"
