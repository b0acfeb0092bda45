"""The commands, as a user types them."""

import gzip
import os
import signal
import subprocess
import sys

import pandas as pd
import pytest

from dataflow.places import resource_file

DATAFLOW = [sys.executable, "-m", "dataflow"]


def dataflow(*arguments, **options):
    return subprocess.run([*DATAFLOW, *arguments], capture_output=True, text=True, timeout=170, **options)


@pytest.mark.parametrize(
    "command",
    [
        *([], ["run"], ["bench"], ["report"], ["corpus"], ["corpus", "list"], ["doctor"]),
        *(["cache"], ["cache", "stats"], ["cache", "why"], ["cache", "invalidate"], ["cache", "clear"]),
    ],
)
def test_every_command_explains_itself(command):
    done = dataflow(*command, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: dataflow")


def test_the_commands_are_these():
    from dataflow.cli.commands import COMMANDS

    assert list(COMMANDS) == ["bench", "run", "replay", "quarantine", "cache", "report", "corpus", "doctor"]


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from click.testing import CliRunner; from dataflow.cli import cli\n"
        "assert CliRunner().invoke(cli, ['--help']).exit_code == 0\n"
        "print(sorted({'dask', 'distributed', 'pandas', 'pyarrow', 'bokeh', 'redis', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "bokeh" not in done.stdout
    assert "distributed" not in done.stdout


def test_a_run_of_the_real_formats_gives_one_row_a_document(tmp_path):
    made = dataflow(
        "corpus", "make", "docs", "--workload", "mixed", "--documents", "40", "--seed", "5", cwd=tmp_path
    )
    assert made.stdout == "40 documents in docs\n"
    listed = dataflow("corpus", "list", "docs", cwd=tmp_path)
    assert listed.stdout.splitlines()[-1].split()[0] == "40"
    done = dataflow(
        "run", "--workload", "mixed", "--corpus", "docs", "--cluster", "processes", "--output", "out",
        "--cache", "redis", "--batch", "fixed:8", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("40 documents in ")
    assert "dashboard: http://127.0.0.1:" in done.stderr
    table = pd.read_parquet(tmp_path / "out")
    assert len(table) == table.document.nunique() == 40
    assert {"document", "media_type", "size_bytes", "status", "error_type", "error", "attempts"} <= set(
        table.columns
    )
    good = table[table.status == "ok"]
    assert len(good) >= 30
    assert (good.characters > 0).any()
    assert all(isinstance(chunk, str) for chunks in good.chunks for chunk in chunks)
    assert table[table.status != "ok"].error.notna().all()


def test_strict_makes_a_bad_document_an_exit_status(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "empty.pdf").write_bytes(b"")
    arguments = ["run", "--corpus", "docs", "--cluster", "inline"]
    assert dataflow(*arguments, "--output", "a", cwd=tmp_path).returncode == 0
    done = dataflow(*arguments, "--output", "b", "--strict", cwd=tmp_path)
    assert done.returncode == 1
    assert "EmptyDocument" in done.stdout
    assert "empty.pdf" in done.stdout


def test_a_workload_of_ones_own_runs_on_worker_processes(tmp_path):
    (tmp_path / "beside.py").write_text("SUFFIX = '!'\n")
    (tmp_path / "mine.py").write_text(
        "from dataflow import Pipeline, stage\nfrom beside import SUFFIX\n\n"
        "@stage\ndef shout(data: bytes) -> str:\n    return data.decode().upper() + SUFFIX\n\n"
        "pipeline = Pipeline(shout)\ncorpus = 'docs/*.txt'\n"
    )
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.txt").write_text("hello")
    done = dataflow("run", "--workload", "mine.py", "--cluster", "processes", "--output", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert pd.read_parquet(tmp_path / "out").text.tolist() == ["HELLO!"]


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_command_whose_streams_are_closed_does_its_work_and_says_nothing(tmp_path, closed):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.txt").write_text("hello")
    command = f'exec "{sys.executable}" -m dataflow run --corpus docs --output out {closed}'
    done = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    assert len(pd.read_parquet(tmp_path / "out")) == 1


def test_a_program_that_calls_the_command_line_keeps_what_it_has_put_in_the_place_of_a_stream():
    program = (
        "import contextlib, io, sys\nfrom dataflow.cli import main\nsys.argv = ['dataflow', '--version']\n"
        "said = io.StringIO()\nwith contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):\n    main()\n"
        "sys.stderr.write(said.getvalue())\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "version" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("collects", [True, False])
@pytest.mark.parametrize("corpus", ["docs", "nowhere"])
def test_a_program_that_calls_the_command_has_its_garbage_collected_as_before(tmp_path, collects, corpus):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.txt").write_text("hello")
    program = (
        "import gc, sys\nfrom click.testing import CliRunner\nfrom dataflow.cli import cli\n"
        f"({'gc.enable' if collects else 'gc.disable'})()\nfrozen = gc.get_freeze_count()\n"
        "CliRunner().invoke(cli, ['run', '--corpus', sys.argv[1], '--output', 'out'])\n"
        "print(gc.isenabled(), gc.get_freeze_count() == frozen)\n"
    )
    command = [sys.executable, "-c", program, corpus]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(collects), "True"]


def test_what_a_stage_that_runs_in_the_command_has_written_is_in_its_file_at_the_end(tmp_path):
    (tmp_path / "noting.py").write_text(
        "from dataflow import Pipeline, stage\n\nnotes = open('notes', 'w')\n\n"
        "@stage\ndef note(data: bytes) -> str:\n    notes.write('seen')\n    return data.decode()\n\n"
        "pipeline = Pipeline(note)\n"
    )
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.txt").write_text("hello")
    command = ["run", "--workload", "noting.py", "--corpus", "docs", "--cluster", "inline", "--output", "out"]
    assert dataflow(*command, cwd=tmp_path).returncode == 0
    assert (tmp_path / "notes").read_text() == "seen"


def test_what_a_program_around_the_command_does_at_its_end_is_done(tmp_path):
    (tmp_path / "one.txt").write_text("x")
    wrapper = "import atexit\natexit.register(lambda: open('ended', 'w').write('x'))\n"
    wrapper += "from dataflow.cli import main\nmain()\n"
    command = [sys.executable, "-c", wrapper, "run", "--corpus", "one.txt", "--output", "out"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "ended").read_text() == "x"


LEAVING = """
import gzip
import pyarrow as pa, pyarrow.parquet as pq
from dataflow import Pipeline, stage
table = pa.table({"a": [1]})
written = pq.ParquetWriter("side.parquet", table.schema)
written.write_table(table)
packed = gzip.GzipFile(fileobj=open("side.gz", "wb", buffering=0), mode="wb")
packed.write(b"hello")
@stage
def read(data: bytes) -> str:
    return "x"
pipeline = Pipeline(read)
"""


def test_what_a_workload_has_left_open_is_whole_at_the_end(tmp_path):
    (tmp_path / "one.txt").write_text("x")
    (tmp_path / "leaving.py").write_text(LEAVING)
    done = dataflow("run", "--workload", "leaving.py", "--corpus", "one.txt", "--output", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert list(pd.read_parquet(tmp_path / "side.parquet").a) == [1]
    assert gzip.decompress((tmp_path / "side.gz").read_bytes()) == b"hello"


MOVING = """
import os
from dataflow import Pipeline, stage
os.chdir("elsewhere")
@stage
def read(data: bytes) -> dict:
    return {"at": os.path.basename(os.getcwd())}
pipeline = Pipeline(read)
"""


def test_what_the_command_names_lies_where_it_was_given_though_the_workload_goes_elsewhere(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "one.txt").write_text("x")
    (tmp_path / "moving.py").write_text(MOVING)
    done = dataflow("run", "--workload", "moving.py", "--corpus", "docs", "--output", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert list(pd.read_parquet(tmp_path / "out").value) == ['{"at": "elsewhere"}']
    again = dataflow(
        "run", "--workload", "moving.py", "--corpus", "docs", "--output", "out", "--resume", cwd=tmp_path
    )
    assert "nothing to do" in again.stdout


def test_processes_of_the_distributed_cluster_say_what_is_wrong_and_nothing_else(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.txt").write_text("hello")
    (tmp_path / "warning.py").write_text(
        "import logging\nlogging.getLogger('distributed.any').warning('look')\n"
    )
    ours = "distributed.nanny.preload: [dataflow.engine.orphan"
    described = resource_file("cluster", "distributed", ".yaml").read_text()
    assert ours in described
    (tmp_path / "mine.yaml").write_text(described.replace(ours, f"{ours}, {tmp_path}/warning.py"))
    command = ["run", "--corpus", "docs", "--workers", "1"]
    quiet = dataflow(*command, "--cluster", "distributed", "--output", "a", cwd=tmp_path)
    assert (quiet.returncode, quiet.stderr.count("\n")) == (0, 1), quiet.stderr
    assert quiet.stderr.startswith("dashboard: ")
    told = dataflow(*command, "--cluster", "mine.yaml", "--output", "b", cwd=tmp_path)
    assert told.returncode == 0
    assert "WARNING - look" in told.stderr
    assert "INFO" not in told.stderr


def test_ctrl_c_stops_the_workers_and_keeps_what_is_committed(tmp_path):
    (tmp_path / "slow.py").write_text(
        "import time\nfrom dataflow import Pipeline, stage\n\n"
        "@stage\ndef slow(data: bytes) -> str:\n    time.sleep(0.05)\n    return data.decode()\n\n"
        "pipeline = Pipeline(slow)\n"
    )
    (tmp_path / "docs").mkdir()
    for i in range(400):
        (tmp_path / "docs" / f"{i}.txt").write_text("x")
    command = [*DATAFLOW, "run", "--workload", "slow.py", "--corpus", "docs", "--cluster", "processes"]
    running = subprocess.Popen(
        [*command, "--output", "out", "--batch", "fixed:5"], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    manifest = tmp_path / "out" / "_dataflow" / "manifest.jsonl"
    while not (manifest.exists() and manifest.read_text().count("\n") > 3):
        assert running.poll() is None
    os.kill(running.pid, signal.SIGINT)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "documents are committed in out" in said
    assert "Traceback" not in said
    assert 15 <= len(pd.read_parquet(tmp_path / "out")) < 400


PRESSED = """
import signal, sys

class Pressed:
    def find_spec(self, name, path=None, target=None):
        if name == "{module}":
            signal.raise_signal(signal.SIGINT)

sys.meta_path.insert(0, Pressed())
"""


@pytest.mark.parametrize("command", [DATAFLOW, [os.path.join(os.path.dirname(sys.executable), "dataflow")]])
@pytest.mark.parametrize(
    "module", ["click", "dataflow.errors", "dataflow.cli.commands", "dataflow.cli.doctor"]
)
def test_ctrl_c_while_the_command_is_imported_ends_it_without_a_traceback(tmp_path, command, module):
    (tmp_path / "sitecustomize.py").write_text(PRESSED.format(module=module))
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [*command, "doctor"], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr.strip()) == (130, "", "dataflow: stopped.")


def test_importing_the_command_leaves_ctrl_c_as_it_was():
    code = "import signal; before = signal.getsignal(2); import dataflow.cli; assert signal.getsignal(2) is before"
    subprocess.run([sys.executable, "-c", code], check=True)
    ignored = f"import signal; signal.signal(2, signal.SIG_IGN); {code}"
    subprocess.run([sys.executable, "-c", ignored], check=True)


def test_the_doctor_says_what_this_machine_has():
    done = dataflow("doctor")
    assert done.returncode == 0, done.stdout
    for word in ("cores", "memory", "packages", "embedded server", "dashboard port", "clusters", "workloads"):
        assert word in done.stdout


def test_the_doctor_finds_a_redis_that_is_not_there_and_keeps_its_password():
    done = dataflow("doctor", "--redis-url", "redis://:hush@127.0.0.1:1/0")
    assert done.returncode == 2
    assert "BAD  REDIS_URL" in done.stdout
    assert "hush" not in done.stdout + done.stderr
