"""The misbehaving file system misbehaves as it was told to, and otherwise is a plain one."""

import errno
import json

import fsspec
import pytest
import storm


@pytest.fixture
def weather(tmp_path, monkeypatch):
    folder = tmp_path / "weather"
    folder.mkdir()

    def change(**kinds):
        monkeypatch.setenv(storm.VARIABLE, json.dumps({"seed": 1, "folder": str(folder), **kinds}))
        return folder

    return change


@pytest.fixture
def files():
    return fsspec.filesystem("storm")


def test_in_calm_weather_it_is_a_plain_file_system(files, tmp_path):
    files.pipe_file(f"storm://{tmp_path}/b", b"2")
    files.pipe_file(f"storm://{tmp_path}/a", b"1")
    assert files.cat_file(f"storm://{tmp_path}/a") == b"1"
    assert files.ls(f"storm://{tmp_path}") == [f"{tmp_path}/a", f"{tmp_path}/b"]
    with pytest.raises(FileExistsError):
        files.pipe_file(f"storm://{tmp_path}/a", b"3", mode="create")


def test_a_read_that_is_to_fail_fails_once(files, tmp_path, weather):
    folder = weather(read_fails=1.0)
    (tmp_path / "a").write_bytes(b"1")
    with pytest.raises(OSError, match="hiccup"):
        files.cat_file(f"storm://{tmp_path}/a")
    assert files.cat_file(f"storm://{tmp_path}/a") == b"1"
    assert storm.marks(folder, "read_fails") == 1


def test_a_part_that_is_to_fail_once_leaves_half_of_it(files, tmp_path, weather):
    weather(write_fails=1.0)
    with pytest.raises(OSError, match="hiccup") as caught:
        files.pipe_file(f"storm://{tmp_path}/part-00000001-x.parquet", b"whole")
    assert caught.value.errno == errno.EIO
    files.pipe_file(f"storm://{tmp_path}/part-00000001-y.parquet", b"whole")
    assert (tmp_path / "part-00000001-x.parquet").read_bytes() != b"whole"
    assert (tmp_path / "part-00000001-y.parquet").read_bytes() == b"whole"


def test_a_full_store_takes_nothing_until_there_is_room(files, tmp_path, weather):
    folder = weather()
    (folder / storm.FULL).touch()
    with pytest.raises(OSError, match="No space") as caught:
        files.pipe_file(f"storm://{tmp_path}/a", b"1")
    assert caught.value.errno == errno.ENOSPC
    (folder / storm.FULL).unlink()
    files.pipe_file(f"storm://{tmp_path}/a", b"1")
