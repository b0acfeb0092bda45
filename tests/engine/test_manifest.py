import json
import os
import shutil
import stat
import threading

import fsspec
import pandas as pd
import pytest

from dataflow.engine import journal
from dataflow.engine.manifest import Manifest, committed_parts, read_manifest, refuse_used
from dataflow.errors import OutputError
from dataflow.graph.work import Part


def part(folder, name, rows=1):
    fsspec.filesystem(folder.partition("://")[0] if "://" in folder else "file").makedirs(
        folder, exist_ok=True
    )
    with fsspec.open(f"{folder}/{name}", "wb") as file:
        pd.DataFrame({"x": range(rows)}).to_parquet(file)
    return Part(name, rows, 1)


@pytest.fixture(params=["local", "memory"])
def folder(request, tmp_path):
    return str(tmp_path / "out") if request.param == "local" else f"memory://out-{os.urandom(4).hex()}"


def test_what_is_committed_counts_and_what_is_not_is_removed(folder):
    manifest = Manifest(folder, {"run": "a"})
    manifest.commit([part(folder, "part-1-a.parquet", rows=3)])
    part(folder, "part-1-b.parquet")
    assert manifest.finish(complete=True) == 1
    assert manifest.rows == 3
    assert len(pd.read_parquet(folder)) == 3
    contents = read_manifest(folder)
    assert contents.runs == ["a"]
    assert list(contents.parts) == ["part-1-a.parquet"]
    assert contents.complete


def test_a_run_in_which_nothing_counts_leaves_nothing(tmp_path):
    folder = str(tmp_path / "out")
    manifest = Manifest(folder, {})
    part(folder, "part-1-a.parquet")
    manifest.finish(complete=False)
    assert not os.path.exists(folder)


def test_a_folder_that_was_there_stays(tmp_path):
    manifest = Manifest(str(tmp_path), {})
    part(str(tmp_path), "part-1-a.parquet")
    manifest.finish(complete=False)
    assert list(tmp_path.iterdir()) == []


def test_a_torn_last_line_does_not_count(tmp_path):
    manifest = Manifest(str(tmp_path), {})
    manifest.commit([part(str(tmp_path), "part-1-a.parquet")])
    path = tmp_path / "_dataflow" / "manifest.jsonl"
    path.write_text(path.read_text() + '{"part": "part-2')
    assert [r.get("part") for r in committed_parts(str(tmp_path))] == ["part-1-a.parquet"]


def test_each_commit_is_on_disk_when_it_returns(tmp_path):
    manifest = Manifest(str(tmp_path), {})
    manifest.commit([Part("part-1-a.parquet", 2, 3)])
    lines = (tmp_path / "_dataflow" / "manifest.jsonl").read_text().splitlines()
    assert json.loads(lines[-1]) == {"part": "part-1-a.parquet", "rows": 2, "size_bytes": 3}


@pytest.mark.parametrize("make", ["used", "file"])
def test_a_folder_that_is_in_use_is_refused_in_one_line(tmp_path, make):
    target = tmp_path / "out"
    if make == "file":
        target.write_text("x")
    else:
        target.mkdir()
        (target / "mine.txt").write_text("x")
    for refuse in (refuse_used, lambda f: Manifest(f, {})):
        with pytest.raises(OutputError, match="name a"):
            refuse(str(target))
    assert target.read_text() == "x" if make == "file" else (target / "mine.txt").read_text() == "x"


def test_a_folder_that_cannot_be_made_is_refused():
    with pytest.raises(OutputError, match="can't be written"):
        Manifest("/proc/nope/out", {})


def test_a_folder_without_a_manifest_is_no_output(tmp_path):
    with pytest.raises(OutputError, match="isn't the output of a run"):
        committed_parts(str(tmp_path))


def test_a_record_after_a_torn_one_counts(tmp_path):
    folder = str(tmp_path)
    manifest = Manifest(folder, {"run": "a"})
    manifest.commit([part(folder, "part-1-a.parquet")])
    manifest.release()
    path = tmp_path / "_dataflow" / "manifest.jsonl"
    path.write_bytes(path.read_bytes() + b'{"part": "part-2' + bytes(9))
    again = Manifest.reopen(folder)
    again.commit([sized(folder, "part-3-a.parquet")])
    again.release()
    assert list(read_manifest(folder).parts) == [
        "part-3-a.parquet"
    ]  # the first has another size than recorded


def sized(folder, name):
    made = part(folder, name)
    with fsspec.open(f"{folder}/{name}", "rb") as file:
        return Part(name, made.rows, len(file.read()))


def test_when_reopened_orphans_go_and_what_counts_stays(folder):
    manifest = Manifest(folder, {"run": "a"})
    manifest.commit([sized(folder, "part-1-a.parquet")])
    manifest.release()
    part(folder, "part-1-b.parquet")
    again = Manifest.reopen(folder)
    assert again.rows == 1
    assert len(pd.read_parquet(folder)) == 1
    again.finish(complete=True)
    assert read_manifest(folder).complete


def test_a_full_disk_takes_a_half_written_record_back(tmp_path, monkeypatch):
    folder = str(tmp_path)
    manifest = Manifest(folder, {"run": "a"})
    real = os.write

    def full(file, data):
        if data.startswith(b'{"part"'):
            monkeypatch.setattr(os, "write", full_now)
            return real(file, data[:7])
        return real(file, data)

    def full_now(file, data):
        raise OSError(28, "No space left on device")

    before = (tmp_path / "_dataflow" / "manifest.jsonl").read_bytes()
    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OutputError, match="No space left on device"):
        manifest.commit([sized(folder, "part-1-a.parquet")])
    assert (tmp_path / "_dataflow" / "manifest.jsonl").read_bytes() == before
    assert manifest.finish(complete=False) == 1


def test_an_object_store_gets_few_objects(monkeypatch):
    folder = f"memory://out-{os.urandom(4).hex()}"
    manifest = Manifest(folder, {"run": "a"})
    for i in range(5000):
        manifest.commit([Part(f"part-{i:08d}-{i:012x}.parquet", 100, 10_000)])
    filesystem, path = fsspec.core.url_to_fs(folder)
    assert len(filesystem.glob(f"{path}/_dataflow/manifest-*")) <= 3
    assert read_manifest(folder).rows == 500_000
    manifest.release()


def test_one_driver_at_a_time(folder):
    manifest = Manifest(folder, {"run": "a"})
    manifest.commit([sized(folder, "part-1-a.parquet")])
    for again in (lambda: Manifest.reopen(folder), lambda: Manifest(folder, {})):
        with pytest.raises(OutputError, match=r"is being written by process|isn't empty: it holds a run"):
            again()
    manifest.release()
    Manifest.reopen(folder).release()


def test_a_driver_that_died_before_its_first_record_left_an_empty_folder(tmp_path):
    (tmp_path / "_dataflow").mkdir()
    (tmp_path / "_dataflow" / "lock").write_bytes(b"")
    (tmp_path / "_dataflow" / "manifest.jsonl").write_bytes(b'{"forma')
    Manifest(str(tmp_path), {"run": "b"}).release()
    assert read_manifest(str(tmp_path)).runs == ["b"]


def test_a_folder_whose_name_looks_like_a_pattern_is_itself(tmp_path):
    folder = str(tmp_path / "out[1]*")
    manifest = Manifest(folder, {"run": "a"})
    part(folder, "part-1-a.parquet")
    manifest.commit([sized(folder, "part-2-a.parquet")])
    assert manifest.finish(complete=True) == 1
    assert list(read_manifest(folder).parts) == ["part-2-a.parquet"]


def test_a_lock_that_the_store_does_not_let_go_is_told_and_nothing_else_comes_of_it(monkeypatch):
    """As where one may write objects, and not remove them."""

    def refuse(self, path):
        if "lock-" in path:
            raise PermissionError("not yours to remove")
        return real(self, path)

    folder = f"memory://out-{os.urandom(4).hex()}"
    manifest = Manifest(folder, {"run": "a"})
    manifest.commit([part(folder, "part-1-a.parquet", rows=3)])
    real = type(manifest._fs).rm_file
    monkeypatch.setattr(type(manifest._fs), "rm_file", refuse)
    assert manifest.finish(complete=True) == 0
    (told,) = manifest.leavings
    assert "lock-000000.json can't be removed: not yours to remove" in told.partition("/")[2]
    assert read_manifest(folder).rows == 3


@pytest.mark.parametrize("how", ["removed", "emptied", "with its folder"])
def test_a_manifest_that_goes_while_a_run_is_at_it_ends_the_run_and_promises_nothing(tmp_path, how):
    folder = tmp_path / "out"
    manifest = Manifest(str(folder), {"run": "a"})
    manifest.commit([part(str(folder), "part-1-a.parquet")])
    record = folder / "_dataflow" / "manifest.jsonl"
    match how:
        case "removed":
            record.unlink()
        case "emptied":
            os.truncate(record, 0)
        case _:
            shutil.rmtree(record.parent)
    with pytest.raises(OutputError, match=r"is gone: it was removed, or cut.*name another one") as told:
        manifest.commit([part(str(folder), "part-2-a.parquet")])
    assert told.value.lost
    assert manifest.finish(complete=False) == 0


def test_a_run_that_is_broken_off_waits_for_no_store_that_does_not_answer(monkeypatch):
    folder = f"memory://out-{os.urandom(4).hex()}"
    manifest = Manifest(folder, {"run": "a"})
    manifest.commit([part(folder, "part-1-a.parquet", rows=3)])
    answers, real = threading.Event(), type(manifest._fs).ls
    monkeypatch.setattr(
        type(manifest._fs), "ls", lambda self, *a, **o: answers.wait(60) and real(self, *a, **o)
    )
    monkeypatch.setattr("dataflow.engine.manifest._TIDYING_SECONDS", 0.1)
    assert manifest.finish(complete=False) == 0
    assert manifest.rows == 3
    assert ["doesn't answer" in one for one in manifest.leavings] == [True]
    answers.set()


def test_a_file_system_that_counts_no_names_of_a_file_has_a_manifest_too(tmp_path, monkeypatch):
    real = os.fstat

    def nameless(number):
        status = list(real(number))
        status[stat.ST_NLINK] = 0
        return os.stat_result(status)

    monkeypatch.setattr(journal.os, "fstat", nameless)
    manifest = Manifest(str(tmp_path / "out"), {"run": "a"})
    manifest.commit([part(str(tmp_path / "out"), "part-1-a.parquet", rows=3)])
    assert manifest.rows == 3
    manifest.release()
