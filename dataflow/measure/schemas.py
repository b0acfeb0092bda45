"""The tables that a run leaves: every column with its Arrow type, unit and description, as plain data.

A description and a unit travel in the metadata of each field, so that a Parquet file explains itself.
``results/README.md`` is generated from here: ``python -m dataflow.measure.schemas > results/README.md``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["TABLES", "Column", "markdown", "schema"]

_REQUIRED = frozenset({"run_id", "trial"})


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name, Arrow type as text, unit and description."""

    name: str
    type: str
    unit: str
    description: str


def _columns(table: str) -> tuple[Column, ...]:
    """Read a table of ``name | type | unit | description`` lines."""
    lines = filter(None, table.splitlines())
    return tuple(Column(*(cell.strip() for cell in line.split("|"))) for line in lines)


_KEYS = """
run_id | string | name | the run, as its folder is called
trial | int64 | number | the trial in the run, from 0
"""

_TRIALS = (
    _KEYS
    + """
suite | string | name | the suite that asked for the trial
workload | string | name | the workload
scenario | string | name | single, batch or mixed
strategy | string | name | the arm: base, twin, factor=level, serial or pool
factor | string | name | what the arm varies against base; twin, baseline, or empty for base
level | string | name | the factor's level
phase | string | name | cold, warm, or what was edited before it, for arms with a cache; clean or poison; or empty
block | int64 | number | the block, from 0; arms are compared within blocks
position | int64 | number | the trial's place in its block's random order, from 0
cluster | string | name | the cluster, or the baseline's name
workers | int64 | workers | worker processes; 1 where all threads share one process
threads | int64 | threads | worker threads, over all workers
cache | string | name | level of the factor cache
freshness | string | name | level of the factor freshness
batching | string | name | level of the factor batching
collect | string | name | level of the factor collect
errors | string | name | level of the factor errors
loading | string | name | whole, or the workload's variant that was run, such as pages
fuse | bool | boolean | true: one Dask task a batch
documents | int64 | documents | outcomes of any status
ok | int64 | documents | outcomes ok
failed | int64 | documents | outcomes failed
quarantined | int64 | documents | outcomes quarantined
poison | int64 | documents | put among the others to end the worker that works on them; null in other phases
lost | int64 | documents | quarantined though the plain loop gets through them; null where not known
success_rate | float64 | fraction | ok / documents
bytes_in | int64 | bytes | bytes of the documents
bytes_out | int64 | bytes | bytes of the Parquet parts written
wall_seconds | float64 | seconds | from the first document listed to the last outcome
cpu_seconds | float64 | seconds | CPU time of every process of the trial
documents_per_second | float64 | documents/second | documents / wall_seconds
first_result_seconds | float64 | seconds | from the start to the first outcome
latency_p50_seconds | float64 | seconds | median of the wall seconds spent on a document
latency_p95_seconds | float64 | seconds | 95th percentile of the same
latency_p99_seconds | float64 | seconds | 99th percentile of the same
hits | int64 | lookups | cache lookups that were answered
misses | int64 | lookups | cache lookups that were not
hit_rate | float64 | fraction | hits / (hits + misses); null without a cache
bypassed | int64 | documents | not looked up, since computing is cheaper as measured; null without a cache
hits_lru | int64 | lookups | hits in the worker's memory
hits_redis | int64 | lookups | hits in Redis
hits_spill | int64 | lookups | hits in files that Redis points to
compute_seconds_saved | float64 | seconds | that computing took what was found; reading too, where it wasn't read
lookup_seconds | float64 | seconds | looking up, and digesting contents to do so
store_seconds | float64 | seconds | storing, and waiting for what other workers compute
seconds_saved | float64 | seconds | net: compute_seconds_saved - lookup_seconds - store_seconds
stale | int64 | documents | cached results that differ from an uncached run's; null where not checked
recomputed | int64 | documents | computed in vain: to the result that the arm had in the phase before; null if not known
batches | int64 | batches | batches run
batch_documents_mean | float64 | documents | documents / batches
peak_rss_bytes | int64 | bytes | highest sum of resident memory over all processes but Redis
driver_growth_bytes | int64 | bytes | highest resident memory of the driver, less that at the trial's start
workers_growth_bytes | int64 | bytes | the same of all other processes but Redis, together
mean_cpu_percent | float64 | percent | CPU time / wall time, over all processes; 100 is one core
redis_peak_bytes | int64 | bytes | highest resident memory of the Redis server; null without one
redis_used_peak_bytes | int64 | bytes | most that its data took, as it says itself; null without one
redis_evicted | int64 | keys | that it evicted during the trial; null without one
overhead_seconds | float64 | seconds | wall_seconds x threads, less the seconds of all nodes
ideal_seconds | float64 | seconds | CPU seconds of a serial run / threads; null where not known
efficiency | float64 | fraction | ideal_seconds / wall_seconds; null where not known
output_digest | string | hex digest | of all results, in the corpus's order
matches_serial | bool | boolean | the digest equals a serial run's, over what wasn't lost; null where not known
steal_percent | float64 | percent | CPU time that the hypervisor took during the trial
load | float64 | processes | load average over one minute, before the trial
probe_seconds | float64 | seconds | a fixed piece of CPU work, timed before the trial
started | timestamp[us, UTC] | UTC | when the trial began
error | string | text | why the trial itself failed; null where it did not
"""
)

_BATCHES = (
    _KEYS
    + """
batch | int64 | number | the batch in the trial
worker | string | name | the process that ran it
documents | int64 | documents | documents in it
bytes | int64 | bytes | their size
seconds | float64 | seconds | from the first node's start to the last one's end
cpu_seconds | float64 | seconds | CPU time of the thread that ran it
started_seconds | float64 | seconds | since the trial's start; null where not known
probe_seconds | float64 | seconds | in the probe node, which reads and hashes
lookup_seconds | float64 | seconds | in the lookup node
compute_seconds | float64 | seconds | in the stages
store_seconds | float64 | seconds | in the store node
write_seconds | float64 | seconds | in the write node
hits | int64 | lookups | cache lookups that were answered
misses | int64 | lookups | cache lookups that were not
failed | int64 | documents | documents that are not ok
"""
)

_DOCUMENTS = (
    _KEYS
    + """
document | string | URL | the document
position | int64 | number | its place in the corpus, from 0
media_type | string | name | guessed from the name
size_bytes | int64 | bytes | its size
status | string | name | ok, failed or quarantined
error_type | string | name | the exception's class, or WorkerDied, TimeLimit, MemoryLimit, TooManyOpenFiles
error | string | text | one line that names the cause
attempts | int64 | attempts | how often it was begun
cache | string | name | the tier that answered; null where it was computed
seconds | float64 | seconds | wall time spent on it
characters | int64 | characters | of its text; null where there is none
batch | int64 | number | the batch it travelled in
"""
)

_RESOURCES = (
    _KEYS
    + """
at_seconds | float64 | seconds | since the trial's start
process | string | name | driver, scheduler, worker-0, pool-0, redis and so on
process_id | int64 | number | of the operating system
cpu_percent | float64 | percent | since the sample before; 100 is one core
cpu_seconds | float64 | seconds | CPU time of the process so far
rss_bytes | int64 | bytes | its resident memory
used_memory_bytes | int64 | bytes | of a Redis server: what its data takes, as it says itself; null for others
evicted_keys | int64 | keys | of a Redis server: evicted since the trial's start; null for others
fragmentation_ratio | float64 | ratio | of a Redis server: resident memory / what it asked for; null for others
"""
)

_CACHE = (
    _KEYS
    + """
metric | string | name | what was counted: see below
tier | string | name | lru, redis or spill, where it was counted by tier
reason | string | name | why, the error, the type or the stage, where it was counted by that
value | float64 | as unit says | how much
unit | string | name | of the value
"""
)

_STAGES = (
    _KEYS
    + """
node | string | name | probe, lookup, a stage's name, store or write
seconds | float64 | seconds | worker-seconds in this node, over all batches
"""
)

_OVERHEADS = (
    _KEYS
    + """
part | string | name | open, send, to the worker, a node's name, between nodes, back, commit or close
step | int64 | number | its place in the order of time, from 0
seconds | float64 | seconds | wall seconds; the parts of a trial add up to its wall_seconds
"""
)

_ANSWERS = """
run_id | string | name | the run, as its folder is called
suite | string | name | the suite
workload | string | name | the workload
strategy | string | name | the arm
factor | string | name | what the arm varies against base
level | string | name | the factor's level
phase | string | name | as in trials
cluster | string | name | the cluster, or the baseline's name
measure | string | name | what the number is, such as speed_up, to_best, lost, or a part of the wall time
unit | string | name | its unit
value | float64 | see unit | median
lowest | float64 | see unit | the lowest of the values
highest | float64 | see unit | the highest of the values
values | int64 | number | how many there are: one a block for what is compared in blocks, else one a trial
verdict | string | name | best, indistinguishable, slower or inconclusive; null where nothing was tested
"""

#: Every table of a run, by the name of its Parquet file.
TABLES: dict[str, tuple[Column, ...]] = {
    "trials": _columns(_TRIALS),
    "batches": _columns(_BATCHES),
    "documents": _columns(_DOCUMENTS),
    "resources": _columns(_RESOURCES),
    "stages": _columns(_STAGES),
    "cache": _columns(_CACHE),
    "overheads": _columns(_OVERHEADS),
    "answers": _columns(_ANSWERS),
}

_ABOUT = {
    "trials": "One row a trial: one run of one workload under one strategy on one cluster.",
    "batches": "One row a batch of each trial.",
    "documents": "One row a document of each trial.",
    "resources": "One row a sample of each process.",
    "stages": "One row a node of each trial: where the workers' time went.",
    "cache": "One row a metric, tier and reason of each trial with a cache; what didn't happen has no row.",
    "overheads": "One row a part of the wall time, for trials of a single batch, such as one document.",
    "answers": "One row a number that a suite answers with: what the terminal and the report show, for suites that "
    "have a question of their own. Written with the report.",
}


def schema(table: str) -> pa.Schema:
    """The Arrow schema of a table; each field's metadata holds ``description`` and ``unit``.

    Raises:
        KeyError: there is no such table.
    """
    import pyarrow as pa

    return pa.schema([
        pa.field(
            c.name,
            pa.timestamp("us", tz="UTC") if c.type.startswith("timestamp") else pa.type_for_alias(c.type),
            nullable=c.name not in _REQUIRED,
            metadata={"description": c.description, "unit": c.unit},
        )
        for c in TABLES[table]
    ])  # fmt: skip


def markdown() -> str:
    """The whole of ``results/README.md``."""
    return _HEAD + "\n".join(_markdown_table(name) for name in TABLES) + _markdown_metrics()


def _markdown_table(name: str) -> str:
    rows = "".join(f"| `{c.name}` | {c.type} | {c.unit} | {c.description} |\n" for c in TABLES[name])
    head = "| column | type | unit | what it is |\n| --- | --- | --- | --- |\n"
    return f"### {name}.parquet\n\n{_ABOUT[name]}\n\n{head}{rows}"


def _markdown_metrics() -> str:
    from dataflow.measure.caching import METRICS

    rows = "".join(f"| `{m.name}` | {m.by or '-'} | {m.unit} | {m.description} |\n" for m in METRICS)
    head = "| metric | by | unit | what it is |\n| --- | --- | --- | --- |\n"
    return f"\nIts metrics:\n\n{head}{rows}"


_HEAD = """# Results

Each run of `make bench` leaves one folder here, `<UTC time>-<workload>-<cluster>/`. Git ignores them all.

| in the folder | what it is |
| --- | --- |
| `report.html` | the report: one file that opens with no network |
| `run.json` | command, seed, environment, versions, commit, machine |
| `trials`, `batches`, `documents`, `resources`, `stages`, `cache` and `overheads.parquet` | all that was measured |
| `profile.yaml` | the strategy that the run recommends, for `dataflow run --profile` |
| `answers.parquet` | what follows from it, where the suite has a question of its own |
| `csv/metrics.csv` | the trials |
| `csv/timings.csv` | the raw timings: one row a trial and kind of time |
| `csv/strategies.csv` | the comparison: one row a strategy |
| `dask/<strategy>.html` | Dask's performance report of one trial under each strategy |

The tables are written after every trial, each to a temporary name that then takes its place, `trials.parquet`
last: whatever ends a run, every file can be read, and each trial there has its rows in the other tables.
`dataflow report results/<run>` (`make report`) writes `report.html`, `answers.parquet` and `csv/` again.

## Open them

With pandas:

```python
import pandas

trials = pandas.read_parquet("results/<run>/trials.parquet")
trials.groupby(["strategy", "phase"])["documents_per_second"].median().sort_values()
```

With DuckDB, over one run or all of them, since each table says in `run_id` which run a row belongs to:

```sql
select run_id, strategy, phase, median(documents_per_second) as documents_per_second
from 'results/*/trials.parquet'
where error is null
group by all
order by all;

select error_type, count(distinct document) as documents, any_value(error) as example
from 'results/*/documents.parquet'
where status <> 'ok'
group by all;
```

With pyarrow, which also shows the unit and the description of each column:

```python
import pyarrow.parquet

for field in pyarrow.parquet.read_schema("results/<run>/trials.parquet"):
    print(field.name, field.type, field.metadata[b"unit"].decode(), field.metadata[b"description"].decode())
```

Trials are compared within a block: join an arm to `base` on `run_id`, `scenario` and `block`. Cold and warm
phases answer different questions and don't mix. A trial whose `matches_serial` is false gave other results
than the plain loop: whatever its speed, it counts for nothing.

## Columns

"""

if __name__ == "__main__":
    print(markdown(), end="")
