import io
import os
import zipfile

import pytest

from dataflow.reading import open_document, read_document


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a.html").write_text("a.html")
    return tmp_path


@pytest.mark.parametrize("listed", [0, 1, 9, 10, 11, 3 * 2**20])
def test_a_file_is_read_to_its_end_whatever_size_it_had_a_moment_ago(listed, tmp_path, monkeypatch):
    path = tmp_path / "grows.txt"
    path.write_bytes(b"0123456789" * 2**18)
    seen = os.fstat

    class Earlier:
        def __init__(self, status):
            self.st_mode, self.st_size = status.st_mode, listed

    monkeypatch.setattr(os, "fstat", lambda descriptor: Earlier(seen(descriptor)))
    assert read_document(str(path)) == b"0123456789" * 2**18


def test_a_file_of_no_size_that_holds_something_is_read():
    assert b"VmRSS" in read_document("/proc/self/status")


def test_a_file_that_is_too_large_for_one_call_is_read(folder, monkeypatch):
    monkeypatch.setattr("dataflow.reading._AT_ONCE_BYTES", 1)
    path = os.path.join(folder, "a.html")
    with open(path, "rb") as file:
        assert read_document(path) == file.read() != b""


def test_a_device_is_no_document():
    with pytest.raises(OSError, match="is no regular file"):
        read_document("/dev/zero")


def test_a_document_is_opened_where_it_lies_and_can_be_read_from_any_place(folder, tmp_path):
    import fsspec

    with zipfile.ZipFile(tmp_path / "some.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.txt", b"0123456789")
    fsspec.filesystem("memory").pipe_file("/opened/x.txt", b"0123456789")
    (tmp_path / "x.txt").write_bytes(b"0123456789")
    for url in (f"zip://x.txt::{tmp_path}/some.zip", "memory://opened/x.txt", str(tmp_path / "x.txt")):
        with open_document(url) as file, open_document(url) as again:
            assert file.seek(-3, 2) == 7
            assert (file.read(2), again.read(2), file.read(9)) == (b"78", b"01", b"9")
            file.seek(1)
            assert file.read(2) == b"12"


def test_opening_a_pipe_or_a_device_fails_instead_of_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe.txt")
    for url in (str(tmp_path / "pipe.txt"), "/dev/zero"):
        with pytest.raises(OSError, match="is no regular file"):
            open_document(url)


def test_what_a_server_only_sends_from_beginning_to_end_is_copied_to_disk_first(monkeypatch):
    from fsspec.implementations.memory import MemoryFileSystem

    class Endless(io.BytesIO):
        def seekable(self):
            return False

    asked = []

    def opened(self, path, mode, **options):
        asked.append(options["block_size"])
        return Endless(b"0123456789")

    monkeypatch.setattr("dataflow.reading.PROCESS_LOCAL", set())
    monkeypatch.setattr(MemoryFileSystem, "open", opened)
    with open_document("memory://x.txt") as file:
        assert file.seek(-1, 2) == 9
        assert file.read() == b"9"
    assert asked


def test_an_object_of_a_bucket_is_read_by_one_request(bucket, monkeypatch):
    import fsspec

    store = fsspec.filesystem("s3")
    store.pipe(f"{bucket}/large.txt", b"x" * 2**20)
    asked, call = [], type(store)._call_s3

    async def counted(self, method, *given, **named):
        asked.append(method)
        return await call(self, method, *given, **named)

    monkeypatch.setattr(type(store), "_call_s3", counted)
    store.invalidate_cache()
    assert read_document(f"{bucket}/large.txt") == b"x" * 2**20
    assert asked == ["get_object"]
