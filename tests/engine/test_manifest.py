import json
import os

import fsspec
import pandas as pd
import pytest

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
