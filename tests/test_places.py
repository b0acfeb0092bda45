import shutil
import tempfile
from types import SimpleNamespace

import pytest

from dataflow import Pipeline, run, stage
from dataflow.errors import OutputError
from dataflow.places import resource_file, temporary_folder


def test_the_folder_at_hand_comes_before_what_came_with_the_package(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    came_with_it = resource_file("cluster", "local", ".yaml")
    (tmp_path / "cluster").mkdir()
    (tmp_path / "cluster" / "local.yaml").write_text("class: x.Y\n")
    assert came_with_it is not None
    assert resource_file("cluster", "local", ".yaml") == tmp_path / "cluster" / "local.yaml"


def test_a_path_is_taken_as_given(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("")
    assert resource_file("cluster", str(path), ".yaml") == path
    assert resource_file("cluster", str(tmp_path / "other.yaml"), ".yaml") is None


def test_a_folder_at_hand_that_was_removed_is_in_nobodys_way(tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert resource_file("cluster", "local", ".yaml") is not None


def test_the_folder_for_temporary_files_is_the_systems(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert temporary_folder() == str(tmp_path)


def test_a_full_folder_for_temporary_files_is_told_before_anything_starts(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=4096))
    with pytest.raises(OutputError, match=r"is full \(4 KiB are left\): make room, or set TMPDIR"):
        temporary_folder()


def test_where_no_temporary_file_can_be_written_the_mend_is_named(monkeypatch):
    def nowhere():
        raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr(tempfile, "gettempdir", nowhere)
    with pytest.raises(OutputError, match="Set TMPDIR to a folder that can be written"):
        temporary_folder()


@pytest.mark.parametrize("cluster", ["auto", "processes"])
def test_a_run_without_room_for_temporary_files_says_so_and_leaves_no_output(tmp_path, monkeypatch, cluster):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=4096))
    (tmp_path / "a.txt").write_text("a")
    with pytest.raises(OutputError, match="folder for temporary files"):
        run(Pipeline(stage(len)), str(tmp_path / "*.txt"), cluster=cluster, output=tmp_path / "out")
    assert not (tmp_path / "out").exists()
