"""Every mistake is one clear line on standard error, exit status 2, and nothing half-written."""

import os
import subprocess
import sys

import pytest

DATAFLOW = [sys.executable, "-m", "dataflow"]


def dataflow(*arguments, cwd=None, **environment):
    env = {k: v for k, v in os.environ.items() if k != "REDIS_URL"}
    return subprocess.run(
        [*DATAFLOW, *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**env, **environment},
        timeout=120,
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--corpus", "/nope"], "corpus /nope doesn't exist"),
        (["--corpus", "EMPTY"], "is empty"),
        (["--corpus", "zip://*::/nope.zip"], "doesn't exist"),
        (["--corpus", "zip://docs/a.zip"], "write zip://*::docs/a.zip for all that is in docs/a.zip"),
        (["--corpus", ""], "'--corpus': it is an empty name"),
        (["--output", "foo://x"], "output foo://x can't be used: Protocol not known: foo"),
        (["--cluster", "nonsense"], "no cluster is called 'nonsense'"),
        (["--cluster", "tcp://127.0.0.1:1"], "no scheduler answers at tcp://127.0.0.1:1"),
        (["--workers", "0"], "WORKERS must be a whole number above 0"),
        (["--workers", "many"], "not a valid integer"),
        (["--workload", "nonsense"], "no workload is called 'nonsense'"),
        (["--workload", "BROKEN"], "broken.py:2: SyntaxError"),
        (["--cache", "memcached"], "cache has no level 'memcached'"),
        (["--cache", "redis", "--redis-url", "redis://:hush@127.0.0.1:1"], "127.0.0.1:1"),
        (["--batch", "fixed:0"], "a whole number above 0"),
        (["--timeout", "0"], "above 0"),
        (["--nonsense"], "No such option"),
        (["--output", "USED"], "isn't empty"),
        (["--output", "/proc/nope/out"], "can't be written"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_one_clear_line(tmp_path, arguments, says):
    (tmp_path / "EMPTY").mkdir()
    (tmp_path / "USED").mkdir()
    (tmp_path / "USED" / "mine.txt").write_text("mine")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.txt").write_text("words")
    (tmp_path / "broken.py").write_text("x = 1\ndef f(:\n")
    arguments = [str(tmp_path / "broken.py") if a == "BROKEN" else a for a in arguments]
    given = {"--corpus": "docs", "--output": "out"}
    rest = [word for pair in given.items() if pair[0] not in arguments for word in pair]
    done = dataflow("run", *arguments, *rest, cwd=tmp_path)
    lines = done.stderr.strip().splitlines()
    assert done.returncode == 2, done.stderr
    assert len([line for line in lines if not line.startswith("dashboard:")]) == 1, done.stderr
    assert lines[-1].startswith("dataflow: ")
    assert says in lines[-1]
    assert "hush" not in done.stderr
    assert not (tmp_path / "out").exists()
    assert [p.name for p in (tmp_path / "USED").iterdir()] == ["mine.txt"]


def test_a_missing_output_is_asked_for():
    done = dataflow("run")
    assert done.returncode == 2
    assert done.stderr == "dataflow: Missing option '--output'. See dataflow run --help.\n"


def test_an_unknown_command_is_one_line():
    done = dataflow("nonsense")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


def test_a_report_of_nothing_is_one_line(tmp_path):
    for arguments in (["report", "nope"], ["report"]):
        done = dataflow(*arguments, cwd=tmp_path)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr


def test_a_corpus_is_not_generated_over_something(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    done = dataflow("corpus", "make", str(tmp_path))
    assert done.returncode == 2
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def said_by(*arguments, cwd, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **environment):
    """The command's status, and the lines on its standard error."""
    done = subprocess.run(
        [*DATAFLOW, *arguments],
        stdout=stdout,
        stderr=stderr,
        text=True,
        cwd=cwd,
        env={**os.environ, **environment},
        timeout=120,
    )
    return done.returncode, (done.stderr or "").splitlines()


@pytest.fixture
def full_disk():
    with open("/dev/full", "w") as file:
        yield file


@pytest.fixture
def closed_pipe():
    """The end of a pipe that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    yield writing
    os.close(writing)


@pytest.fixture
def documents(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.txt").write_text("words")
    return tmp_path


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["run", "--help"], ["--version"], ["doctor"], ["corpus", "list", "docs"]],
    ids=" ".join,
)
def test_output_onto_a_full_disk_is_one_clear_line(documents, full_disk, arguments, unbuffered):
    status, lines = said_by(*arguments, stdout=full_disk, cwd=documents, PYTHONUNBUFFERED=unbuffered)
    assert (status, len(lines)) == (2, 1)
    assert lines[0].startswith("dataflow: the standard output can't be written: No space left on device.")


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("arguments", [["--help"], ["doctor"], ["corpus", "list", "docs"]], ids=" ".join)
def test_output_that_nobody_reads_ends_the_command_quietly(documents, closed_pipe, arguments, unbuffered):
    status, lines = said_by(*arguments, stdout=closed_pipe, cwd=documents, PYTHONUNBUFFERED=unbuffered)
    assert (status, lines) == (141, [])


def test_what_a_run_cannot_say_of_itself_does_not_end_it(documents, full_disk):
    status, _ = said_by("run", "--corpus", "docs", "--output", "out", stderr=full_disk, cwd=documents)
    assert status == 0
    status, _ = said_by("run", "--nonsense", stderr=full_disk, cwd=documents)
    assert status == 2
