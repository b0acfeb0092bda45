import functools
import http.server
import os
import threading
import zipfile

import fsspec
import pytest

from dataflow import Pipeline, run
from dataflow.corpus import list_corpus, open_corpus
from dataflow.errors import CorpusError
from dataflow.reading import open_document, read_document


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "b" / ".hidden").mkdir(parents=True)
    for name in ("a.html", "b/c.pdf", "b/d é#%.txt", "b/.hidden/e.txt"):
        (tmp_path / name).write_bytes(name.encode())
    return tmp_path


def names(corpus, root):
    return [os.path.relpath(d.url, root) for d in corpus]


def test_a_folder_is_walked_to_its_end_with_hidden_files_in_the_order_of_names(folder):
    assert names(open_corpus(str(folder)), folder) == ["a.html", "b/.hidden/e.txt", "b/c.pdf", "b/d é#%.txt"]


def test_one_file_is_a_corpus(folder):
    (document,) = open_corpus(folder / "b" / "c.pdf")
    assert (document.size_bytes, document.media_type) == (7, "application/pdf")
    assert document.modified == pytest.approx((folder / "b" / "c.pdf").stat().st_mtime)


def test_a_pattern_lists_what_it_matches(folder):
    assert names(open_corpus(f"{folder}/**/*.txt"), folder) == ["b/d é#%.txt", "b/.hidden/e.txt"]


def test_a_file_whose_name_looks_like_a_pattern_is_itself(tmp_path):
    (tmp_path / "a[1].txt").write_text("x")
    assert [d.url for d in open_corpus(f"{tmp_path}/a[1].txt")] == [f"{tmp_path}/a[1].txt"]


def test_a_relative_path_is_absolute_in_the_document(folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert next(iter(open_corpus("b/c.pdf"))).url == str(folder / "b" / "c.pdf")


def test_a_broken_link_is_listed_so_that_it_can_fail(folder):
    (folder / "broken").symlink_to(folder / "gone")
    assert "broken" in names(open_corpus(str(folder)), folder)


def test_a_circle_of_folders_ends(folder):
    (folder / "b" / "circle").symlink_to(folder)
    assert len(list(open_corpus(str(folder)))) == 4


def test_an_iterable_of_urls_is_a_corpus(folder):
    corpus = open_corpus([f"{folder}/a.html", f"file://{folder}/b/c.pdf"])
    assert names(corpus, folder) == ["a.html", "b/c.pdf"]
    assert corpus.total == 2


def test_an_archive_is_a_corpus_and_its_path_made_absolute(folder, monkeypatch):
    monkeypatch.chdir(folder)
    with zipfile.ZipFile("x.zip", "w") as archive:
        for name in ("a/b.html", "c.html", "#%d é.txt"):
            archive.writestr(name, name)
    found = list(open_corpus("zip://**::x.zip"))
    assert {read_document(d.url) for d in found} == {b"a/b.html", b"c.html", "#%d é.txt".encode()}
    assert all(d.url.endswith(f"::{folder}/x.zip") for d in found)
    assert [d.url for d in open_corpus("zip://*.html::x.zip")] == [f"zip://c.html::{folder}/x.zip"]


def test_the_memory_of_this_process_is_a_corpus_that_others_cannot_read():
    fsspec.filesystem("memory").pipe("/corpus-test/a.txt", b"hello")
    corpus = open_corpus("memory://corpus-test")
    assert corpus.process_local
    assert [read_document(d.url) for d in corpus] == [b"hello"]


def test_a_web_page_and_the_links_of_an_index_are_a_corpus(folder):
    pytest.importorskip("aiohttp")
    handler = functools.partial(QuietHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        root = f"http://127.0.0.1:{server.server_port}"
        (document,) = open_corpus(f"{root}/a.html")
        assert (read_document(document.url), document.media_type) == (b"a.html", "text/html")
        with open_document(document.url) as file:  # by a server that knows no ranges
            assert (file.seek(-4, 2), file.read(), file.seek(1), file.read(2)) == (2, b"html", 1, b".h")
        assert {d.media_type for d in open_corpus(f"{root}/b/*.pdf")} == {"application/pdf"}
        with pytest.raises(CorpusError, match="doesn't exist"):
            open_corpus(f"{root}/nope.html")
        server.shutdown()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def test_a_bucket_is_a_corpus(bucket):
    store = fsspec.filesystem("s3")
    store.pipe(f"{bucket}/x/a.pdf", b"%PDF")
    (document,) = open_corpus(f"{bucket}/**/*.pdf")
    assert document.url == f"{bucket}/x/a.pdf"
    assert document.etag
    assert document.modified
    assert read_document(document.url) == b"%PDF"
    assert len(list(list_corpus(bucket))) == 1
    store.pipe(f"{bucket}/long", bytes(range(256)) * 2**14)
    with open_document(f"{bucket}/long") as file:
        assert (file.seek(-1, 2), file.read(), file.seek(2**21 + 3), file.read(2)) == (
            2**22 - 1,
            b"\xff",
            2**21 + 3,
            b"\3\4",
        )


@pytest.mark.parametrize("pattern", ["", "/", "/x", "/x/a.txt", "/**", "/x/*.txt"])
def test_a_bucket_is_listed_as_it_is_now_and_not_as_it_was_listed_before(bucket, pattern):
    """What others write, this process's file system doesn't hear of."""
    others = fsspec.filesystem("s3", skip_instance_cache=True)
    others.pipe(f"{bucket}/x/a.txt", b"one")
    listed = list(open_corpus(bucket + pattern))
    assert [d.url for d in listed] == [f"{bucket}/x/a.txt"]
    others.pipe(f"{bucket}/x/a.txt", b"two")
    others.pipe(f"{bucket}/x/b.txt", b"three")
    again = sorted(open_corpus(bucket + pattern), key=lambda d: d.url)
    assert again[0].etag != listed[0].etag
    assert len(again) == (1 if pattern.endswith("a.txt") else 2)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("/nope", "corpus /nope doesn't exist"),
        ("zip://*::/nope.zip", "doesn't exist"),
        ("nonsense://x", "can't be listed"),
        ("http://127.0.0.1:1/x", "can't be listed"),
    ],
)
def test_a_corpus_that_is_not_there_says_so_in_one_line(url, says):
    with pytest.raises(CorpusError, match=says) as caught:
        open_corpus(url)
    assert "\n" not in str(caught.value)


def test_an_empty_corpus_is_an_error(tmp_path):
    with pytest.raises(CorpusError, match="is empty"):
        open_corpus(str(tmp_path))
    with pytest.raises(CorpusError, match="is empty"):
        open_corpus([])


def test_a_file_that_is_no_archive_cannot_be_listed(folder):
    with pytest.raises(CorpusError, match="can't be listed: BadZipFile"):
        open_corpus(f"zip://*::{folder}/a.html")


def test_the_total_is_known_when_the_listing_has_ended(folder):
    corpus = open_corpus(str(folder))
    assert corpus.total is None
    assert len(list(corpus)) == corpus.total == 4


def test_a_pipe_is_listed_and_reading_it_fails_instead_of_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe.txt")
    (document,) = open_corpus(str(tmp_path))
    with pytest.raises(OSError, match="is no regular file"):
        read_document(document.url)


def test_colons_in_a_local_name_are_colons(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("::zip.txt", "a.txt::b.txt"):
        (tmp_path / name).write_text("x")
    assert [read_document(d.url) for d in open_corpus(str(tmp_path))] == [b"x", b"x"]
    assert [d.url for d in open_corpus("a.txt::b.txt")] == [str(tmp_path / "a.txt::b.txt")]


def test_a_folder_that_cannot_be_listed_is_listed_itself_so_that_it_can_fail(folder, monkeypatch):
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith(".hidden"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert names(open_corpus(str(folder)), folder) == ["a.html", "b/.hidden", "b/c.pdf", "b/d é#%.txt"]
    with pytest.raises(OSError, match="is no regular file"):
        read_document(str(folder / "b" / ".hidden"))


@pytest.mark.parametrize("pattern", ["b/**/*.txt", "**/*.txt", "*/*/*.txt", "b/.hid*/e.txt", "b/.hidden/*"])
def test_a_folder_that_a_pattern_leads_into_and_that_cannot_be_listed_is_listed_itself(
    folder, monkeypatch, pattern
):
    scandir = os.scandir

    def refuse(path):
        if str(path).rstrip("/").endswith(".hidden"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    assert "b/.hidden" not in names(open_corpus(f"{folder}/{pattern}"), folder)
    monkeypatch.setattr(os, "scandir", refuse)
    assert names(open_corpus(f"{folder}/{pattern}"), folder).count("b/.hidden") == 1


@pytest.mark.parametrize("pattern", ["nope/*.txt", "a.html/*.txt", "nope/**/*.txt"])
def test_a_pattern_below_what_is_not_there_is_an_empty_corpus(folder, pattern):
    with pytest.raises(CorpusError, match="is empty"):
        open_corpus(f"{folder}/{pattern}")


@pytest.mark.parametrize("pattern", ["", "/*/*", "/**"])
def test_a_runs_own_output_is_no_document(folder, monkeypatch, pattern):
    (folder / "linked").symlink_to(folder / "b")
    monkeypatch.chdir(folder)
    for without in ("b", str(folder / "b"), "b/", "linked", f"file://{folder}/b"):
        found = names(list_corpus(f"{folder}{pattern}", without=without), folder)
        assert not any(name.startswith("b/") for name in found)
    assert "b/c.pdf" in names(list_corpus(f"{folder}{pattern}", without="c"), folder)


@pytest.mark.parametrize("pattern", ["", "/*/*", "/**"])
def test_a_runs_own_output_is_no_document_of_a_corpus_that_is_named_by_a_link(
    folder, tmp_path_factory, pattern
):
    link = tmp_path_factory.mktemp("links") / "link"
    link.symlink_to(folder)
    found = names(list_corpus(f"{link}{pattern}"), link)
    by_link = names(list_corpus(f"{link}{pattern}", without=str(folder / "b")), link)
    assert by_link == [name for name in found if not name.startswith("b/")] != found


def test_a_runs_own_output_is_no_document_by_another_name_of_its_store(folder):
    store = fsspec.filesystem("memory")
    for name in ("a.txt", "out/part.parquet"):
        store.pipe(f"/corpus-in-memory/{name}", b"one")
    for without in ("memory://corpus-in-memory/out", "memory:///corpus-in-memory/out/"):
        found = list_corpus("memory://corpus-in-memory", without=without)
        assert [document.url for document in found] == ["memory:///corpus-in-memory/a.txt"]


def test_a_corpus_in_the_runs_own_output_is_refused_by_what_it_is(folder):
    for output in (folder, folder.parent, folder / "b"):
        with pytest.raises(CorpusError, match="lies in the run's own output"):
            run(Pipeline(len), f"{folder}/b/*.pdf", cluster="inline", output=output)


def test_a_run_into_a_folder_of_its_corpus_is_resumed_to_its_end(folder, monkeypatch):
    monkeypatch.chdir(folder)
    options = {"cluster": "inline", "output": "out", "resume": True}
    assert len(list(run(Pipeline(len), ".", **options))) == 4
    assert list(run(Pipeline(len), ".", **options)) == []


def test_an_object_that_stands_for_a_folder_is_no_document(bucket):
    store = fsspec.filesystem("s3")
    store.pipe(f"{bucket}/x/a.txt", b"one")
    for key in ("x/", "x/empty/"):
        store.call_s3("put_object", Bucket=bucket.removeprefix("s3://").partition("/")[0], Key=key, Body=b"")
    for pattern in ("", "/x/", "/**"):
        assert [d.url for d in open_corpus(bucket + pattern)] == [f"{bucket}/x/a.txt"]


def test_a_source_that_names_nothing_is_not_told_to_name_a_pattern():
    with pytest.raises(CorpusError, match=r"is empty: it has named no document") as raised:
        open_corpus(iter(()))
    assert "pattern" not in str(raised.value)


def test_an_empty_archive_is_an_empty_corpus(tmp_path):
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    with pytest.raises(CorpusError, match="is empty"):
        open_corpus(f"zip://::{tmp_path}/empty.zip")


def test_an_archive_that_was_replaced_is_listed_and_read_anew(tmp_path):
    def put(name, text):
        with zipfile.ZipFile(tmp_path / "fresh.zip", "w") as archive:
            archive.writestr(name, text)
        os.replace(tmp_path / "fresh.zip", tmp_path / "a.zip")

    put("one.txt", "old")
    (document,) = open_corpus(f"zip://*::{tmp_path}/a.zip")
    assert read_document(document.url) == b"old"
    put("one.txt", "newer")
    assert read_document(document.url) == b"newer"
    put("two.txt", "newest")
    (document,) = open_corpus(f"zip://*::{tmp_path}/a.zip")
    assert document.url.startswith("zip://two.txt")


@pytest.mark.parametrize("name", ["/tmp/a\0b", "\ud800"])
def test_a_name_that_no_file_can_have_is_listed_so_that_it_can_fail(folder, name):
    assert [d.size_bytes for d in open_corpus([name])] == [None]


@pytest.mark.parametrize("member", [17, None, b"/path"])
def test_what_is_no_document_in_an_iterable_is_one_clear_line(member):
    with pytest.raises(CorpusError, match="URLs, paths and documents"):
        open_corpus([member])
