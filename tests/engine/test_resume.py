"""What is done already, whether it is the same run, and crashes at each step of commit, finish and replay."""

import contextlib
import os

import fsspec
import pandas as pd
import pytest

from dataflow import Document, Pipeline, run, stage
from dataflow.engine.journal import FileJournal
from dataflow.engine.manifest import Manifest, read_manifest
from dataflow.engine.quarantine import list_quarantine, replay
from dataflow.engine.resume import Committed
from dataflow.errors import OutputError

TEXTS = [f"document {i}" for i in range(40)]


class Crash(BaseException):
    """As the driver's death: nothing after it runs."""


def drain(running, most=10**9):
    """Take outcomes, and leave as a killed driver would: without a word."""
    taken = [o for _, o in zip(range(most), running, strict=False)]
    if len(taken) == most:
        running._keeper.release()
        running._keeper = None
    return taken


def check(folder, texts):
    table = pd.read_parquet(folder)
    assert len(table) == len(texts)
    assert sorted(table.position) == list(range(len(texts)))
    return table


def test_a_document_that_is_done_is_struck_off_once():
    committed = Committed([("a", 0), ("b", 1)])
    assert [committed.take(u, p) for p, u in enumerate("abca")] == [None, None, 2, 3]
    assert committed.left == 0


def test_a_url_that_is_listed_twice_and_done_once_is_done_once_more_under_the_position_left_over():
    for position, expected in ((0, [None, 1]), (1, [0, None])):
        committed = Committed([("a", position)])
        found = [committed.take("a", 0), committed.take("a", 1)]
        done = {position, *(p for p in found if p is not None)}
        assert done == {0, 1}, expected
        assert found.count(None) == 1


def test_documents_that_have_moved_are_still_done():
    committed = Committed([("b", 0), ("c", 1)])
    assert [committed.take(u, p) for p, u in enumerate("abc")] == [0, None, None]


def test_a_million_documents_take_32_megabytes():
    committed = Committed((f"/documents/{i}", i) for i in range(10_000))
    columns = (committed._high, committed._low, committed._position, committed._taken_at)
    assert sum(c.itemsize * len(c) for c in columns) == 32 * 10_000


@pytest.mark.parametrize("collect", ["ordered", "as_completed", "gather"])
@pytest.mark.parametrize("batching", ["fixed:3", "bytes:40", "adaptive"])
def test_only_what_is_not_committed_is_done_again(words, write_corpus, tmp_path, collect, batching):
    options = {"cluster": "inline", "output": tmp_path / "out", "resume": True, "batching": batching}
    folder = write_corpus(*TEXTS)
    drain(run(words.pipeline, folder, **options), 7)
    committed = read_manifest(str(tmp_path / "out")).rows
    resumed = run(words.pipeline, folder, collect=collect, **options)
    again = drain(resumed)
    assert len(again) == 40 - committed == resumed.to_do
    assert resumed.summary.skipped == committed
    if collect == "ordered":
        assert [o.position for o in again] == sorted(o.position for o in again)
    check(tmp_path / "out", TEXTS)


def test_a_url_that_is_listed_twice_has_two_rows_however_often_it_is_resumed(words, write_corpus, tmp_path):
    folder = write_corpus("a", "b")
    urls = [f"{folder}/0000.txt", f"{folder}/0001.txt", f"{folder}/0000.txt", f"{folder}/0000.txt"]
    options = {"cluster": "inline", "output": tmp_path / "out", "resume": True, "batching": "fixed:1"}
    for _ in range(5):
        drain(run(words.pipeline, urls, **options), 1)
    drain(run(words.pipeline, urls, **options))
    assert sorted(check(tmp_path / "out", urls).document) == sorted(urls)


@pytest.mark.parametrize("harm", ["missing", "truncated", "zeros", "grown"])
def test_a_part_that_a_power_loss_took_is_done_again(words, write_corpus, tmp_path, harm):
    folder, out = write_corpus(*TEXTS), tmp_path / "out"
    options = {"cluster": "inline", "output": out, "resume": True, "batching": "fixed:8"}
    drain(run(words.pipeline, folder, **options))
    part = sorted(out.glob("part-*.parquet"))[2]
    data = part.read_bytes()
    if harm == "missing":
        part.unlink()
    else:
        part.write_bytes({"truncated": data[:99], "zeros": bytes(len(data)), "grown": data + b"x"}[harm])
    assert len(drain(run(words.pipeline, folder, **options))) == 8
    check(out, TEXTS)
    assert drain(run(words.pipeline, folder, **options)) == []


def test_a_stage_without_a_fingerprint_is_known_by_its_name_and_that_is_said(write_corpus, tmp_path):
    def pipeline():
        held = open(os.devnull)  # noqa: SIM115

        @stage
        def opened(data: bytes) -> str:
            return data.decode() + held.name

        return Pipeline(opened)

    options = {"cluster": "inline", "output": tmp_path / "out", "resume": True}
    folder = write_corpus("a")
    drain(run(pipeline(), folder, **options))
    (note,) = run(pipeline(), folder, **options).summary.notes
    assert note.startswith("stage opened is taken for the same by its name alone: ")


def test_other_columns_are_refused(write_corpus, tmp_path):
    def pipeline(kind):
        def value(data):
            return kind()

        value.__annotations__["return"] = kind
        return Pipeline(stage(value))

    folder = write_corpus("a")
    drain(run(pipeline(str), folder, cluster="inline", output=tmp_path / "out"))
    with pytest.raises(OutputError, match="columns were characters int64, text string, not value int64"):
        run(pipeline(int), folder, cluster="inline", output=tmp_path / "out", resume=True)


STEPS = [
    (FileJournal, "append", "before"),
    (FileJournal, "append", "after"),
    (FileJournal, "append", "torn"),
    (Manifest, "_remove_orphans", "before"),
    (Manifest, "_remove_orphans", "after"),
    (Manifest, "lose", "before"),
    (Manifest, "rewrite", "before"),
    (Manifest, "rewrite", "after"),
    (Manifest, "leave_aside", "before"),
    (Manifest, "take_aside", "before"),
    (os, "replace", "before"),
    (os, "replace", "after"),
]


@contextlib.contextmanager
def crash(where, name, when, count):
    """End the driver at the ``count``-th call of a function: before it, after it, or with half of it done."""
    real, calls = getattr(where, name), [0]

    def crashing(*args, **kwargs):
        calls[0] += 1
        if calls[0] != count:
            return real(*args, **kwargs)
        if when == "after":
            real(*args, **kwargs)
        if when == "torn":
            os.write(args[0]._file, b'{"part": "part-')
        raise Crash

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(where, name, crashing)
        with contextlib.suppress(Crash):
            yield


def die(running):
    """What a dead process leaves: its lock is free, and nothing is tidied up."""
    manifest = getattr(running._keeper, "_manifest", running._keeper)
    if manifest:
        manifest.release()
    running._keeper = None


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize(("where", "name", "when"), STEPS[:6])
def test_a_crash_at_any_step_of_a_run_loses_and_doubles_nothing(
    words, write_corpus, tmp_path, monkeypatch, where, name, when, count
):
    # Tidying up is what a killed driver doesn't do.
    folder, out = write_corpus(*TEXTS), tmp_path / "out"
    options = {"cluster": "inline", "output": out, "resume": True, "batching": "fixed:8"}
    drain(run(words.pipeline, folder, **options), 9)
    (out / "part-99999999-orphan.parquet").write_bytes(next(out.glob("part-*")).read_bytes())
    monkeypatch.setattr("dataflow.engine.run.Run._finish", finish_unless_crashed)
    for _ in range(2):
        with crash(where, name, when, count):
            running = run(words.pipeline, folder, **options)
            try:
                list(running)
            except Crash:
                die(running)
                raise
    drain(run(words.pipeline, folder, **options))
    check(out, TEXTS)


def finish_unless_crashed(self, *, complete):
    self._stack.close()
    keeper = self._keeper
    if keeper and complete:
        keeper.finish(complete=True)
        self._keeper = None
        self._committed = keeper.rows
    self.summary.skipped = self._output.skipped


@stage
def fussy(data: bytes) -> str:
    if data.startswith(b"BAD") and not os.path.exists(os.environ["MENDED"]):
        raise ValueError("bad")
    return data.decode()


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize(("where", "name", "when"), STEPS[:4] + STEPS[6:])
def test_at_a_crash_at_any_step_of_a_replay_every_document_has_one_row(
    write_corpus, tmp_path, monkeypatch, where, name, when, count
):
    monkeypatch.setenv("MENDED", str(tmp_path / "mended"))
    texts = [f"BAD {i}" if i % 5 == 0 else f"good {i}" for i in range(20)]
    folder, out = write_corpus(*texts), tmp_path / "out"
    drain(run(Pipeline(fussy), folder, cluster="inline", output=out, batching="fixed:7"))
    assert len(list(list_quarantine(str(out), failed=True))) == 4
    (tmp_path / "mended").touch()
    monkeypatch.setattr("dataflow.engine.run.Run._finish", finish_unless_crashed)
    with crash(where, name, when, count):
        running = replay(out, Pipeline(fussy), failed=True, cluster="inline")
        try:
            list(running)
        except Crash:
            die(running)
            raise
    check(out, texts)  # by plain reading, with nothing tidied up
    again = replay(out, Pipeline(fussy), failed=True, cluster="inline")
    drain(again or ())
    table = check(out, texts)
    assert set(table.status) == {"ok"}
    assert sorted(table.text) == sorted(texts)
    assert {p.name for p in (out / "_dataflow").iterdir()} == {"lock", "manifest.jsonl"}
    assert drain(run(Pipeline(fussy), folder, cluster="inline", output=out, resume=True)) == []


def test_names_that_are_no_text_are_done_once_and_replayed_by_what_they_are(tmp_path, monkeypatch):
    """A name of an old archive, and one that looks as the other is written in a table."""
    monkeypatch.setenv("MENDED", str(tmp_path / "mended"))
    folder, out = tmp_path / "corpus", tmp_path / "out"
    folder.mkdir()
    for name, text in ((b"caf\xe9.txt", b"BAD one"), (rb"caf\udce9.txt", b"BAD two"), (b"d.txt", b"three")):
        with open(os.path.join(os.fsencode(folder), name), "wb") as file:
            file.write(text)
    options = {"cluster": "inline", "output": out, "resume": True}
    assert len(drain(run(Pipeline(fussy), folder, **options))) == 3
    assert drain(run(Pipeline(fussy), folder, **options)) == []
    assert pd.read_parquet(out).document.nunique() == 3
    (tmp_path / "mended").touch()
    assert len(drain(replay(out, Pipeline(fussy), failed=True, cluster="inline"))) == 2
    table = pd.read_parquet(out).sort_values("document")
    assert table.text.tolist() == ["BAD one", "BAD two", "three"]
    assert [os.path.basename(name) for name in table.document] == [
        r"caf\udce9.txt",
        r"caf\x5cudce9.txt",
        "d.txt",
    ]


def test_a_replay_may_have_longer_limits_than_its_stages(write_corpus):
    from dataflow.engine.quarantine import _with_limit

    strict = stage(timeout=1.0)(lambda data: data)
    limits = [s.timeout_seconds for s in _with_limit(Pipeline(strict, fussy), 9.0).stages]
    assert limits == [9.0, None]


def test_on_an_object_store_too_each_document_has_one_row(bucket, write_corpus, tmp_path, monkeypatch):
    from dataflow.engine.clusters import open_cluster

    monkeypatch.setenv("MENDED", str(tmp_path / "mended"))
    texts = [f"BAD {i}" if i % 9 == 0 else f"good {i}" for i in range(40)]
    folder, out = write_corpus(*texts), f"{bucket}/out"
    store = fsspec.filesystem("s3")
    pipeline = Pipeline(fussy)
    with open_cluster("processes", 1) as cluster:
        options = {"cluster": cluster.client, "output": out, "resume": True, "batching": "fixed:4"}
        first = run(pipeline, folder, **options)
        drain(first, 9)
        first.close()
        committed = read_manifest(out).rows
        with store.open(f"{out}/part-99999999-orphan.parquet", "wb") as file:
            file.write(b"half")
        holder = run(pipeline, folder, **options)
        with pytest.raises(OutputError, match="is being written by process"):
            run(pipeline, folder, **options)
        assert len(list(holder)) == 40 - committed
        check(out, texts)
        (tmp_path / "mended").touch()
        assert len(list(replay(out, pipeline, failed=True, cluster=cluster.client))) == 5
    assert set(check(out, texts).status) == {"ok"}
    store.invalidate_cache()
    names = sorted(os.path.basename(n) for n in store.ls(f"{out}/_dataflow"))
    assert all(n.startswith("manifest-") for n in names)
    assert len(names) <= 4


def test_a_bucket_that_is_not_there_is_refused_and_not_made(bucket, write_corpus):
    store = fsspec.filesystem("s3")
    with pytest.raises(OutputError, match=r"there is no bucket misspelt-name.* Check its name"):
        run(Pipeline(len), write_corpus("one"), cluster="inline", output="s3://misspelt-name/out")
    assert not store.exists("s3://misspelt-name")


def test_on_an_object_store_the_lock_of_a_dead_driver_is_passed_over(bucket):
    import json
    import socket

    manifest = Manifest(f"{bucket}/out", {"run": "a"})
    lock = manifest._lock._path
    store = fsspec.filesystem("s3")
    record = json.loads(store.cat_file(lock))
    store.pipe_file(lock, json.dumps({**record, "host": "elsewhere"}).encode())
    with pytest.raises(OutputError, match=r"on elsewhere: .*if that one has died, remove .*lock"):
        Manifest.reopen(f"{bucket}/out")
    store.pipe_file(lock, json.dumps({**record, "born": record["born"] - 100}).encode())
    assert record["host"] == socket.gethostname()
    Manifest.reopen(f"{bucket}/out").release()
    store.invalidate_cache()
    assert [os.path.basename(n) for n in store.ls(f"{bucket}/out/_dataflow")] == ["manifest-00000000.jsonl"]


def test_documents_that_only_the_driver_can_read_are_resumed_too(words, tmp_path):
    store = fsspec.filesystem("memory")
    root = f"resume-{os.urandom(4).hex()}"
    for i in range(8):
        store.pipe(f"/{root}/{i}.txt", f"document {i}".encode())
    options = {"cluster": "inline", "output": tmp_path / "out", "resume": True, "batching": "fixed:3"}
    drain(run(words.pipeline, f"memory://{root}", **options), 2)
    drain(run(words.pipeline, f"memory://{root}", **options))
    check(tmp_path / "out", range(8))


def test_documents_given_one_by_one_are_resumed(words, write_corpus, tmp_path):
    folder = write_corpus("a", "b")
    listed = [Document(f"{folder}/000{i}.txt", 1, "text/plain") for i in range(2)]
    options = {"cluster": "inline", "output": tmp_path / "out", "resume": True, "batching": "fixed:1"}
    drain(run(words.pipeline, listed, **options), 1)
    assert [o.position for o in drain(run(words.pipeline, listed, **options))] == [1]


def test_ids_of_many_rows_are_found_again():
    committed = Committed((f"/documents/{i}", i) for i in range(5000))
    assert all(committed.take(f"/documents/{i}", i) is None for i in range(5000))
    assert committed.left == 0
    assert committed.take("/documents/5000", 5000) == 5000


def test_a_table_that_no_run_has_written_is_named_when_one_goes_on(words, write_corpus, tmp_path):
    folder, options = write_corpus(*TEXTS), {"cluster": "inline", "output": tmp_path / "out"}
    drain(run(words.pipeline, folder, **options), 5)
    pd.DataFrame({"document": ["mine"]}).to_parquet(tmp_path / "out" / "mine.parquet")
    running = run(words.pipeline, folder, resume=True, **options)
    list(running)
    assert any("mine.parquet" in note for note in running.summary.notes)
    assert (tmp_path / "out" / "mine.parquet").exists()


def test_a_manifest_with_a_record_that_is_not_whole_is_one_clear_line(words, write_corpus, tmp_path):
    folder, options = write_corpus(*TEXTS), {"cluster": "inline", "output": tmp_path / "out"}
    drain(run(words.pipeline, folder, **options), 5)
    with (next((tmp_path / "out").glob("_*")) / "manifest.jsonl").open("a") as file:
        file.write('{"part": "part-x.parquet", "rows": 3}\n')
    with pytest.raises(OutputError, match=r"record \d+ isn't whole"):
        run(words.pipeline, folder, resume=True, **options)
