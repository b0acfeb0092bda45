"""A run's folder: what is on the disk is whole and complete, whatever ends the writer."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow.parquet as pq
import pytest

from dataflow.errors import ResultsError
from dataflow.measure.schemas import TABLES, schema
from dataflow.measure.tables import ResultsFolder, latest, read_results, read_run, replace_table, write_text

ROOT = Path(__file__).parents[2]


def trial(number: int, **more) -> dict:
    return {"trial": number, "strategy": "base", "documents_per_second": 10.0 + number, **more}


def save_trial(folder: ResultsFolder, number: int, documents: int = 3) -> None:
    folder.append(
        "documents", ({"trial": number, "document": f"{i}.pdf", "position": i} for i in range(documents))
    )
    folder.append("trials", [trial(number)])
    folder.save()


def made(path: Path) -> Path:
    path.mkdir()
    return path


@pytest.fixture
def folder(tmp_path) -> ResultsFolder:
    return ResultsFolder.create(tmp_path / "results", "mixed", "local")


def test_a_folder_is_named_after_time_workload_and_cluster(folder):
    time, workload, cluster = folder.path.name.split("-")
    datetime.strptime(time, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    assert (workload, cluster, folder.run_id) == ("mixed", "local", folder.path.name)


def test_runs_within_one_second_get_folders_of_their_own(tmp_path):
    assert len({ResultsFolder.create(tmp_path, "a", "b").path for _ in range(20)}) == 20


def test_a_path_and_an_address_make_a_plain_name(tmp_path):
    folder = ResultsFolder.create(tmp_path, "my work/../flows/mine.py", "tcp://10.0.0.1:8786")
    assert folder.path.parent == tmp_path
    assert folder.path.name.partition("-")[2] == "mine-tcp-10.0.0.1-8786"


def test_a_root_that_is_a_file_is_one_clear_line(tmp_path):
    (tmp_path / "results").write_text("")
    with pytest.raises(ResultsError, match=r"can't be written.*name another folder"):
        ResultsFolder.create(tmp_path / "results")


def test_what_is_saved_is_read_back(folder):
    started = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
    folder.append("trials", [trial(0, started=started, matches_serial=None, fuse=True, hits=4)])
    folder.save()
    (row,) = read_results(folder.path)["trials"].to_pylist()
    assert (row["run_id"], row["started"], row["hits"], row["fuse"]) == (folder.run_id, started, 4, True)
    assert row["matches_serial"] is row["error"] is None


def test_trials_add_up_from_save_to_save_in_their_order(folder):
    for number in range(5):
        save_trial(folder, number)
    tables = read_results(folder.path)
    assert tables["trials"]["trial"].to_pylist() == list(range(5))
    assert tables["documents"]["trial"].to_pylist() == [n for n in range(5) for _ in range(3)]


def test_nothing_is_on_the_disk_before_a_save(folder):
    folder.append("trials", [trial(0)])
    assert list(folder.path.iterdir()) == []


def test_many_small_trials_become_few_row_groups(folder):
    for number in range(12):
        save_trial(folder, number)
    assert pq.ParquetFile(folder.path / "documents.parquet").num_row_groups == 1


def test_a_table_that_was_never_written_is_empty_but_has_its_columns(folder):
    save_trial(folder, 0)
    tables = read_results(folder.path)
    assert set(tables) == set(TABLES)
    assert tables["resources"].num_rows == 0
    assert tables["resources"].column_names == schema("resources").names


def test_the_files_carry_units(folder):
    save_trial(folder, 0)
    field = pq.read_schema(folder.path / "trials.parquet").field("wall_seconds")
    assert field.metadata[b"unit"] == b"seconds"


def test_a_column_that_an_older_run_lacks_is_null(folder):
    save_trial(folder, 0)
    path = folder.path / "trials.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["hits"]), path)
    assert read_results(folder.path)["trials"]["hits"].to_pylist() == [None]


def test_a_name_that_is_no_utf8_is_escaped(folder):
    name = os.fsdecode(b"caf\xe9.pdf")
    folder.append("documents", [{"trial": 0, "document": name}])
    folder.append("trials", [trial(0)])
    folder.save()
    assert read_results(folder.path)["documents"]["document"].to_pylist() == ["caf\\udce9.pdf"]


@pytest.mark.parametrize(
    ("table", "row", "message"),
    [
        ("trails", {"trial": 0}, "no table is called 'trails'"),
        ("trials", {"trial": 0, "speed": 3}, "no column 'speed'"),
        ("trials", {"strategy": "base"}, "doesn't say its trial"),
        ("trials", {"trial": 0, "hits": "many"}, "column hits"),
    ],
)
def test_a_row_that_does_not_fit_is_refused_by_name(folder, table, row, message):
    with pytest.raises(ResultsError, match=message):
        folder.append(table, [row])


def test_json_is_written_whole_and_read_back(folder):
    folder.write_json(
        "run.json", {"command": "x", "path": Path("a"), "when": datetime(2026, 1, 1, tzinfo=UTC)}
    )
    assert read_run(folder.path) == {"command": "x", "path": "a", "when": "2026-01-01 00:00:00+00:00"}


def test_a_file_that_cannot_be_replaced_stays_as_it_was(folder, monkeypatch):
    folder.write_json("run.json", {"n": 1})
    monkeypatch.setattr(
        os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device"))
    )
    with pytest.raises(ResultsError, match="No space left on device"):
        folder.write_json("run.json", {"n": 2})
    assert [p.name for p in folder.path.iterdir()] == ["run.json"]
    assert read_run(folder.path) == {"n": 1}


def test_rows_that_could_not_be_saved_are_saved_by_the_next_try(folder, monkeypatch):
    folder.append("trials", [trial(0)])
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(ResultsError):
            folder.save()
    folder.save()
    assert read_results(folder.path)["trials"]["trial"].to_pylist() == [0]


def test_a_missing_folder_an_empty_one_and_a_torn_file_are_one_clear_line(folder, tmp_path):
    with pytest.raises(ResultsError, match="isn't a folder of results"):
        read_results(tmp_path / "nothing")
    with pytest.raises(ResultsError, match="holds no trial"):
        read_results(folder.path)
    (folder.path / "trials.parquet").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(ResultsError, match=r"trials\.parquet can't be read") as caught:
        read_results(folder.path)
    assert "\n" not in str(caught.value)


def test_a_torn_run_json_is_an_error_and_a_missing_one_is_not(folder):
    assert read_run(folder.path) == {}
    (folder.path / "run.json").write_text('{"seed": ')
    with pytest.raises(ResultsError, match=r"run\.json can't be read"):
        read_run(folder.path)


def test_the_latest_run_is_the_one_with_the_newest_name(tmp_path):
    for name in ("20260101T000000Z-z-z", "20270101T000000Z-a-a", "20260601T000000Z-m-m"):
        save_trial(ResultsFolder(made(tmp_path / name)), 0)
    made(tmp_path / "20280101T000000Z-without-trials")
    assert latest(tmp_path).name == "20270101T000000Z-a-a"


def test_of_two_runs_within_a_second_the_later_one_is_the_latest(tmp_path):
    for name, age in (("20260101T000000Z-z-z", 2), ("20260101T000000Z-a-a", 1)):
        save_trial(ResultsFolder(made(tmp_path / name)), 0)
        os.utime(tmp_path / name, (1e9 - age, 1e9 - age))
    assert latest(tmp_path).name == "20260101T000000Z-a-a"


def test_without_a_run_the_mend_is_named(tmp_path):
    with pytest.raises(ResultsError, match="`dataflow bench` makes one"):
        latest(tmp_path)


def test_sql_reads_all_runs_at_once(tmp_path):
    runs = [ResultsFolder.create(tmp_path, "mixed", "local") for _ in range(2)]
    for number, run in enumerate(runs):
        for n in range(number + 1):
            save_trial(run, n)
    sql = f"select run_id, count(*) from '{tmp_path}/*/trials.parquet' group by 1 order by 2"
    assert duckdb.sql(sql).fetchall() == [(runs[0].run_id, 1), (runs[1].run_id, 2)]


def test_a_table_that_is_written_anew_has_the_new_rows_alone(folder):
    folder.append("trials", [{"trial": 0}])
    folder.save()
    for value in (1.0, 2.0):
        replace_table(folder.path, "answers", [{"measure": "speed_up", "value": value}])
    (row,) = read_results(folder.path)["answers"].to_pylist()
    assert (row["run_id"], row["measure"], row["value"]) == (folder.run_id, "speed_up", 2.0)
    with pytest.raises(ResultsError, match="no column 'speed'"):
        replace_table(folder.path, "answers", [{"speed": 1.0}])


def test_pandas_reads_every_table(folder):
    raw = [table for table in TABLES if table != "answers"]  # an answer is about many trials
    for table in raw:
        folder.append(table, [{"trial": 7}])
    folder.save()
    for table in raw:
        frame = pd.read_parquet(folder.path / f"{table}.parquet")
        assert list(frame.columns) == schema(table).names
        assert frame["trial"].tolist() == [7]


def test_a_text_is_written_with_its_folder(tmp_path):
    path = write_text(tmp_path / "csv" / "a.csv", "x\udce9")
    assert path.read_text() == "x\\udce9"


WRITER = """
import sys
from dataflow.measure.tables import ResultsFolder
folder = ResultsFolder(sys.argv[1])
number = int(sys.argv[2])
while True:
    folder.append("documents", [{"trial": number, "document": f"{i}.pdf"} for i in range(200)])
    folder.append("trials", [{"trial": number, "strategy": "base"}])
    folder.save()
    folder.write_json("run.json", {"saved": number})
    print(number, flush=True)
    number += 1
"""


def test_a_killed_writer_leaves_every_trial_that_it_had_saved(folder):
    number = 0
    for kill in range(6):
        command = [sys.executable, "-c", WRITER, str(folder.path), str(number)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as writer:
            # After a few trials: the moment within the next one is the machine's choice.
            lines = [writer.stdout.readline() for _ in range(2 + kill % 3)]
            writer.send_signal(signal.SIGKILL)
            lines += writer.stdout.read().splitlines()
        saved = int(lines[-1])
        tables = read_results(folder.path)
        trials = tables["trials"]["trial"].to_pylist()
        assert trials == list(range(len(trials)))
        assert len(trials) > saved
        counts = {c["values"]: c["counts"] for c in tables["documents"]["trial"].value_counts().to_pylist()}
        assert all(counts[n] % 200 == 0 and counts[n] for n in trials)
        json.loads((folder.path / "run.json").read_text())
        number = len(trials)
