"""What a run asks of its memo, on real files: nothing twice, nothing stale, nothing read in vain."""

import os
import time
from dataclasses import replace

import fsspec
import pytest
import redis

from dataflow import DocumentError, Pipeline, Strategy, run, stage
from dataflow.corpus import list_corpus
from dataflow.graph import dear, nodes, recall, retain, steps
from dataflow.graph.plan import Batch, Plan, admission_of, forget_plan, plan_of, register_plan
from dataflow.memo.admin import net_seconds_saved
from dataflow.memo.base import Missed
from dataflow.memo.chain import chain_of
from dataflow.memo.keys import digest
from dataflow.memo.server import EmbeddedServer
from dataflow.memo.spec import MemoSpec, close_memos, open_memo

CALLS = []
SECRET = b"s" * 32


def decode(data: bytes) -> str:
    CALLS.append("decode")
    return data.decode()


def tidy(text: str) -> list[str]:
    CALLS.append("tidy")
    return text.split()


def count(words: list[str]) -> int:
    CALLS.append("count")
    words.append("a later stage may change what it is given")
    return len(words) - 1


def edited(function, version):
    """The same stage after an edit of its code."""
    return stage(version=version)(function)


@pytest.fixture(autouse=True)
def _fresh():
    CALLS.clear()
    yield
    forget_plan("cafe")
    close_memos()


@pytest.fixture
def folder(tmp_path):
    return write(tmp_path / "corpus", a="one", b="two words", c="three words here")


def write(folder, age=100.0, **texts):
    folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text)
        os.utime(folder / name, (time.time() - age,) * 2)
    return folder


def go(folder, *stages, freshness="stat", names=None, admission=False, small=True, **options):
    """One batch of all documents, of a small corpus or of a large one.

    Returns (values or errors, what was called, the batch's result).
    """
    CALLS.clear()
    pipeline = Pipeline(*(stages or (decode, tidy, count)))
    strategy = Strategy(cache="none", freshness=freshness)
    fresh = strategy.fresh
    spec = MemoSpec(
        options.pop("kind", "dict"), secret=SECRET, ttl_seconds=fresh.ttl_seconds, tag=fresh.tag,
        admission=admission, **options,
    )  # fmt: skip
    chain, _ = chain_of(pipeline, fresh.tag)
    register_plan(Plan("cafe", pipeline, strategy, spec, len(chain), chain.ids))
    documents = tuple(
        d for d in list_corpus(str(folder)) if names is None or os.path.basename(d.url) in names
    )
    batch = Batch(1, documents, tuple(range(len(documents))), (0,) * len(documents), small=small)
    work = nodes.lookup("cafe", nodes.probe("cafe", batch.pack()))
    for index in range(len(chain)):
        work = nodes.compute("cafe", index, work)
    result = nodes.write("cafe", nodes.store("cafe", work))
    outcomes = result.take()
    return [o.value if o.status == "ok" else o.error_type for o in outcomes], list(CALLS), result


def test_a_warm_run_by_stat_reads_no_document(folder, monkeypatch):
    cold, _, before = go(folder)
    monkeypatch.setattr(steps, "read_document", lambda url: pytest.fail(f"{url} was read"))
    warm, called, after = go(folder)
    assert (cold, warm, called) == ([1, 2, 3], [1, 2, 3], [])
    assert after.counters["hits_dict"] == 3
    assert [o.digest for o in after.outcomes] == [o.digest for o in before.outcomes]
    assert [o.size_bytes for o in after.outcomes] == [o.size_bytes for o in before.outcomes]


def test_a_document_that_changed_is_computed_and_no_other(folder):
    go(folder)
    write(folder, age=50, b="changed to four words")
    values, called, _ = go(folder)
    assert values == [1, 4, 3]
    assert called == ["decode", "tidy", "count"]


def test_a_document_that_was_only_touched_is_read_once_and_never_computed(folder, monkeypatch):
    go(folder)
    write(folder, age=50, b="two words")
    assert go(folder)[:2] == ([1, 2, 3], [])
    monkeypatch.setattr(steps, "read_document", lambda url: pytest.fail(f"{url} was read"))
    assert go(folder)[:2] == ([1, 2, 3], [])


def test_a_young_time_is_not_believed_since_the_file_may_change_within_it(tmp_path):
    folder = write(tmp_path / "corpus", age=0.0, a="old text")
    status = os.stat(folder / "a")
    _, _, first = go(folder)
    (folder / "a").write_text("new text")
    os.utime(folder / "a", ns=(status.st_atime_ns, status.st_mtime_ns))
    (value,), _, second = go(folder, decode)
    assert value == "new text"
    assert (first.counters["stat_racy"], second.counters["stat_racy"]) == (1, 1)


def test_bytes_written_between_listing_and_reading_are_not_kept_under_the_old_state(folder, monkeypatch):
    real = steps.read_document
    status = os.stat(folder / "a")

    def racing(url):
        write(folder, age=40, a="written in between")
        return real(url)

    monkeypatch.setattr(steps, "read_document", racing)
    assert go(folder, decode, names=["a"])[0] == ["written in between"]
    monkeypatch.undo()
    (folder / "a").write_text("one")  # the old bytes come back, and their time with them
    os.utime(folder / "a", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert go(folder, decode, names=["a"])[0] == ["one"]


def test_by_content_every_document_is_read_and_equal_ones_share(folder):
    write(folder, d="one")
    values, called, result = go(folder, freshness="content")
    assert values == [1, 2, 3, 1]
    assert called.count("decode") == 3
    assert [o.cache for o in result.outcomes] == [None, None, None, "batch"]
    assert go(folder, freshness="content")[1] == []


def test_by_content_and_by_stat_share_what_they_know(folder):
    go(folder, freshness="content")
    assert go(folder, freshness="stat")[1] == []
    go(folder, edited(decode, "2"), freshness="stat")
    assert go(folder, edited(decode, "2"), freshness="content")[1] == []


def test_a_tag_ends_what_it_was_put_on(folder):
    go(folder, freshness="tag:models")
    assert go(folder, freshness="tag:models")[1] == []
    open_memo(MemoSpec("dict", secret=SECRET, tag="models", admission=False)).invalidate_tag("models")
    values, called, result = go(folder, freshness="tag:models")
    assert values == [1, 2, 3]
    assert called.count("count") == 3
    assert result.counters["misses_epoch"] == 3
    assert go(folder, freshness="tag:models")[1] == []


def test_another_code_is_another_value_whatever_the_freshness(folder):
    for freshness in ("content", "stat", "ttl:1000", "tag:t"):
        go(folder, decode, freshness=freshness)
        assert go(folder, edited(decode, freshness), freshness=freshness)[1] == ["decode"] * 3


def test_an_edit_of_the_last_stage_recomputes_only_that(folder):
    go(folder)
    values, called, result = go(folder, decode, tidy, edited(count, "2"))
    assert values == [1, 2, 3]
    assert called == ["count"] * 3
    assert result.counters["recalled_tidy"] == 3


def test_an_edit_that_changes_no_result_recomputes_nothing_after_it(folder):
    go(folder)
    values, called, _ = go(folder, edited(decode, "2"), tidy, count)
    assert values == [1, 2, 3]
    assert called == ["decode"] * 3
    assert go(folder, edited(decode, "2"), tidy, count)[1] == []


def test_an_edit_in_the_middle_recomputes_only_the_middle(folder):
    go(folder)
    assert go(folder, decode, edited(tidy, "2"), count)[:2] == ([1, 2, 3], ["tidy"] * 3)


def test_an_edit_that_changes_a_result_recomputes_what_follows(folder):
    def louder(data: bytes) -> str:
        CALLS.append("louder")
        return data.decode() + " more"

    go(folder)
    values, called, _ = go(folder, louder, tidy, count)
    assert values == [2, 3, 4]
    assert called == ["louder"] * 3 + ["tidy"] * 3 + ["count"] * 3


def test_text_and_bytes_of_equal_content_are_two_inputs_to_the_next_stage(tmp_path):
    folder = write(tmp_path / "corpus", a="x")

    def as_bytes(data: bytes) -> bytes:
        return data

    def kind(value: object) -> str:
        return type(value).__name__

    assert go(folder, decode, kind)[0] == ["str"]
    assert go(folder, as_bytes, kind)[0] == ["bytes"]


def picky(data: bytes) -> str:
    CALLS.append("picky")
    if data == b"one":
        raise DocumentError("never any good")
    if data == b"two words":
        raise MemoryError
    return data.decode()


def test_an_error_that_its_stage_says_is_lasting_is_kept_and_never_one_of_memory(folder):
    lasting = stage(cache_errors=(DocumentError, MemoryError))(picky)
    assert go(folder, lasting)[0] == ["DocumentError", "MemoryError", "three words here"]
    values, called, result = go(folder, lasting)
    assert values == ["DocumentError", "MemoryError", "three words here"]
    assert called == ["picky"]
    assert next((o.cache, o.error) for o in result.outcomes) == ("dict", "never any good")


def test_an_error_that_nobody_says_is_lasting_is_not_kept(folder):
    go(folder, picky)
    assert go(folder, picky)[1] == ["picky"] * 2


def test_a_kept_error_is_not_believed_once_its_stage_no_longer_stands_by_it(folder):
    go(folder, stage(cache_errors=(DocumentError,))(picky))
    assert go(folder, picky)[1] == ["picky"] * 2


def test_a_document_that_another_worker_is_at_is_taken_from_it(folder):
    spec = MemoSpec("dict", secret=SECRET, admission=False)
    chain, _ = chain_of(Pipeline(decode))
    from dataflow.memo.base import Entry
    from dataflow.memo.keys import digest

    memo = open_memo(spec)
    (document,) = [d for d in list_corpus(str(folder)) if d.url.endswith("a")]
    key = chain.full(document, digest(b"one"))
    memo.claim([key])
    real = recall.steps.run_stage

    def meanwhile(taking, item, index):
        memo.store([Entry(key, "from the other worker", 1.0)])
        memo.release([key])
        return real(taking, item, index)

    recall.steps.run_stage, nodes.run_stage = meanwhile, meanwhile
    try:
        values, called, result = go(folder, decode)
    finally:
        recall.steps.run_stage, nodes.run_stage = real, real
    assert values[0] == "from the other worker"
    assert called == ["decode"] * 2
    assert (result.counters["leases_lost"], result.counters["lease_waits"]) == (1, 1)


def test_a_document_whose_other_worker_gives_up_is_computed_after_all(folder):
    spec = MemoSpec("dict", secret=SECRET, admission=False)
    chain, _ = chain_of(Pipeline(decode))
    from dataflow.memo.keys import digest

    memo = open_memo(spec)
    (document,) = [d for d in list_corpus(str(folder)) if d.url.endswith("a")]
    key = chain.full(document, digest(b"one"))
    memo.claim([key])
    real = nodes.run_stage

    def meanwhile(taking, item, index):
        memo.release([key])
        return real(taking, item, index)

    nodes.run_stage = meanwhile
    try:
        values, called, _ = go(folder, decode)
    finally:
        nodes.run_stage = real
    assert values[0] == "one"
    assert called == ["decode"] * 3
    assert go(folder, decode)[1] == []


def test_a_kept_error_ends_after_its_time_and_a_value_beside_it_does_not(folder, monkeypatch):
    now = [1e9]
    spec = MemoSpec("dict", secret=SECRET, admission=False, failure_seconds=300.0)
    memo = open_memo(spec)
    monkeypatch.setattr(memo, "_sealing", replace(memo._sealing, now=lambda: now[0]))
    lasting = stage(cache_errors=(DocumentError,))(picky)
    options = {"names": ["a", "c"], "failure_seconds": spec.failure_seconds}
    expected = ["DocumentError", "three words here"]
    assert go(folder, lasting, **options)[:2] == (expected, ["picky"] * 2)
    now[0] += 300 * 0.89  # a life is its time, give or take a tenth
    assert go(folder, lasting, **options)[:2] == (expected, [])
    now[0] += 300 * 0.22
    values, called, result = go(folder, lasting, **options)
    assert (values, called) == (expected, ["picky"])
    assert result.counters["stat_expired"] == 1
    assert [o.cache for o in result.outcomes] == [None, "dict"]
    assert go(folder, lasting, **options)[:2] == (expected, [])
    now[0] += 1e9
    assert go(folder, lasting, **options)[:2] == (expected, ["picky"])


def test_the_server_too_is_told_that_an_error_ends_and_a_value_does_not(folder):
    lasting = stage(cache_errors=(DocumentError,))(picky)
    with EmbeddedServer() as server:
        client = redis.Redis.from_url(server.url)
        options = {"kind": "redis", "url": server.url, "failure_seconds": 300.0}
        lives = {}
        for name in ("a", "c"):
            go(folder, lasting, names=[name], namespace=name, **options)
            lives[name] = {client.ttl(key) for key in client.scan_iter(match=f"{name}:*")}
    assert all(250 < life <= 331 for life in lives["a"] - {-1})
    assert lives["a"] - {-1}
    assert lives["c"] == {-1}


@pytest.fixture
def others(bucket):
    """The bucket as another process writes to it: of which this one's file system doesn't hear."""
    return fsspec.filesystem("s3", skip_instance_cache=True)


def test_an_object_of_the_same_entity_tag_is_found_unread_though_it_was_written_again(
    bucket, others, monkeypatch
):
    others.pipe(f"{bucket}/a.txt", b"one")
    assert go(bucket, decode)[:2] == (["one"], ["decode"])
    monkeypatch.setattr(steps, "read_document", lambda url: pytest.fail(f"{url} was read"))
    assert go(bucket, decode)[:2] == (["one"], [])
    others.pipe(f"{bucket}/a.txt", b"one")
    values, called, result = go(bucket, decode)
    assert (values, called) == (["one"], [])
    assert result.counters["hits_dict"] == 1


def test_an_object_that_was_rewritten_with_as_many_other_bytes_is_computed_however_soon(bucket, others):
    """An object store's times are of whole seconds: the entity tag is what tells."""
    others.pipe(f"{bucket}/a.txt", b"one")
    others.pipe(f"{bucket}/b.txt", b"same")
    go(bucket, decode)
    for text in ("two", "six", "one"):
        others.pipe(f"{bucket}/a.txt", text.encode())
        values, called, result = go(bucket, decode)
        assert values == [text, "same"]
        assert called == ([] if text == "one" else ["decode"])
        assert result.counters["hits_dict"] == 2 - len(called)
        assert go(bucket, decode)[:2] == ([text, "same"], [])


def test_what_does_not_pay_goes_by_the_memo_and_gives_the_same(folder, monkeypatch):
    monkeypatch.setattr("dataflow.memo.admission.Admission.asks", lambda self, kinds: dict.fromkeys(kinds, 0))
    values, _called, result = go(folder, admission=True, small=False)
    assert values == [1, 2, 3]
    assert result.counters["bypassed"] == 3
    assert not any(name.startswith(("hits", "misses", "stored")) for name in result.counters)
    values, _called, result = go(folder, admission=True, small=True)
    assert values == [1, 2, 3]
    assert result.counters["stored"] == 3
    assert "bypassed" not in result.counters


@pytest.mark.parametrize(("pays", "groups"), [(False, [2, 1]), (True, [3])])
def test_a_batch_that_goes_by_the_memo_goes_through_in_groups_as_without_one(
    folder, monkeypatch, pays, groups
):
    """What was read is computed on while it is in the processor's caches."""
    monkeypatch.setattr(
        "dataflow.memo.admission.Admission.asks", lambda self, kinds: {k: pays * n for k, n in kinds.items()}
    )
    monkeypatch.setattr(nodes, "_GROUP_DOCUMENTS", 2)
    began, read = [], nodes._read
    monkeypatch.setattr(nodes, "_read", lambda plan, work: began.append(len(work.items)) or read(plan, work))
    go(folder, admission=True)  # makes the plan known
    began.clear()
    batch = Batch(2, tuple(list_corpus(str(folder))), (300, 301, 302), (0,) * 3)
    result = nodes.run_nodes("cafe", batch.pack())
    assert [o.value for o in result.take()] == [1, 2, 3]
    assert began == groups
    assert result.counters.get("bypassed", 0) == (0 if pays else 3)


def test_of_a_small_corpus_each_stage_is_kept_however_cheap(folder):
    for _ in range(3):  # what the stages take is known now
        go(folder, admission=True)
    go(folder, edited(decode, "1"), tidy, count, admission=True)
    assert CALLS == ["decode"] * 3
    go(folder, edited(decode, "2"), tidy, count, admission=True, small=False)
    assert CALLS == ["decode"] * 3 + ["tidy"] * 3 + ["count"] * 3


def test_a_worker_alone_notes_nothing_for_others_and_recomputes_nothing_after_an_edit_that_changes_nothing(
    folder, monkeypatch
):
    monkeypatch.setattr(retain, "_record", lambda *_: pytest.fail("nobody could read it"))
    _, _, result = go(folder, kind="lru")
    assert (result.counters["stored"], result.counters.get("not_stored", 0)) == (3, 0)
    values, called, _ = go(folder, edited(decode, "1"), tidy, count, kind="lru")
    assert (values, called) == ([1, 2, 3], ["decode"] * 3)


def sometimes_long(data: bytes) -> int:
    if data.startswith(b"long"):
        time.sleep(0.1)
    return len(data)


def test_a_few_dear_documents_among_many_cheap_ones_come_from_the_cache(tmp_path):
    for number in range(1200):
        (tmp_path / f"{number:04}.txt").write_text(f"{'long' if number % 100 == 99 else 'short'} {number}")
    with EmbeddedServer() as server:
        options = {"cache": "redis", "redis_url": server.url, "cluster": "inline", "batching": "fixed:50"}
        list(run(Pipeline(sometimes_long), str(tmp_path), **options))
        outcomes = list(run(Pipeline(sometimes_long), str(tmp_path), **options))
    dear = [outcome for outcome in outcomes if outcome.document.endswith("99.txt")]
    assert sum(outcome.cache is not None for outcome in dear) > len(dear) / 2


@pytest.mark.parametrize("options", [{}, {"freshness": "stat"}, {"freshness": "tag:mine"}])
def test_dear_documents_that_come_after_many_cheap_ones_are_noted_and_asked_for_in_later_runs(
    tmp_path, monkeypatch, options
):
    """By the time that they come each process has learnt that their kind doesn't pay."""
    monkeypatch.setattr(
        "dataflow.memo.admission.Admission.asks",
        lambda self, kinds: dict.fromkeys(kinds, 0) if self._kinds else dict(kinds),
    )
    monkeypatch.setattr(dear, "_is_cheap", lambda state, kind: True)
    for number in range(1200):
        path = tmp_path / f"{number:04}.txt"
        path.write_text(f"{'long' if number > 1196 else 'short'} {number}")
        os.utime(path, (time.time() - 100,) * 2)
    with EmbeddedServer() as server:
        options |= {"cache": "redis", "redis_url": server.url, "cluster": "inline", "batching": "fixed:400"}
        caches = []
        for _ in range(3):
            outcomes = list(run(Pipeline(sometimes_long), str(tmp_path), **options))
            caches.append({o.cache for o in outcomes if o.document[-8:] > "1196.txt"})
    assert caches[0] == caches[1] == {None}
    assert caches[2] == {"redis"}


def test_what_was_noted_as_dear_and_is_cheap_now_is_noted_no_longer(folder, monkeypatch):
    monkeypatch.setattr("dataflow.memo.admission.Admission.asks", lambda self, kinds: dict.fromkeys(kinds, 0))
    monkeypatch.setattr(dear, "_FEW", 1.0)
    monkeypatch.setattr(dear, "_is_cheap", lambda state, kind: True)
    monkeypatch.setattr(dear, "_DEAR_SECONDS", 0.0)
    assert go(folder, admission=True, small=False)[2].counters["bypassed"] == 3
    noted = admission_of(plan_of("cafe")).dear
    assert {os.path.basename(url) for url in noted.known} == {"a", "b", "c"}
    assert "bypassed" not in go(folder, admission=True, small=False)[2].counters
    monkeypatch.setattr(dear, "_DEAR_SECONDS", 1e9)
    go(folder, admission=True, small=False)
    assert noted.known == set()


@pytest.mark.parametrize(("others_seconds", "noted"), [(0.0, {"a"}), (0.002, set())])
def test_of_a_kind_that_is_asked_for_anyway_nothing_is_noted(folder, monkeypatch, others_seconds, noted):
    def some_seconds(data: bytes) -> int:
        time.sleep(0.03 if data == b"one" else 0.0)
        return len(data)

    monkeypatch.setattr(dear, "_FEW", 0.5)
    monkeypatch.setattr(
        dear, "worth", lambda item, *_: 0.03 if item.document.url[-1] == "a" else others_seconds
    )
    go(folder, some_seconds, admission=True, small=False)
    known = admission_of(plan_of("cafe")).dear.known
    assert {os.path.basename(url) for url in known} == noted


def slow_at_first(data: bytes) -> list[str]:
    CALLS.append("slow_at_first")
    time.sleep(0.005)
    return data.decode().split()


def test_an_edit_of_a_cheap_last_stage_recomputes_no_dear_one_before_it_however_large_the_corpus(tmp_path):
    """What was recalled counts for what a document is worth, or its kind would look cheap after the first batch."""
    for number in range(400):
        (tmp_path / f"{number:04}.txt").write_text(f"words {number}")
    with EmbeddedServer() as server:
        options = {"cache": "redis", "redis_url": server.url, "cluster": "inline", "batching": "fixed:50"}
        list(run(Pipeline(slow_at_first, edited(count, "1")), str(tmp_path), **options))
        CALLS.clear()
        outcomes = list(run(Pipeline(slow_at_first, edited(count, "2")), str(tmp_path), **options))
    assert {outcome.status for outcome in outcomes} == {"ok"}
    assert CALLS.count("slow_at_first") == 0


def broken(words: list[str]) -> int:
    raise ValueError(words)


@pytest.mark.parametrize("small", [True, False])
def test_what_was_computed_of_a_document_that_fails_in_a_later_stage_is_kept_for_when_that_is_mended(
    folder, small
):
    failed, _, result = go(folder, slow_at_first, broken, admission=True, small=small)
    assert failed == ["ValueError"] * 3
    assert result.counters.get("stored", 0) == 0
    mended, called, _ = go(folder, slow_at_first, count, admission=True, small=small)
    assert (mended, called) == ([1, 2, 3], ["count"] * 3)


SLOW_SECONDS = 0.03


@pytest.fixture
def slow_reader(monkeypatch):
    """Reading a document takes 30 ms."""
    real = steps.read_document
    monkeypatch.setattr(steps, "read_document", lambda url: (time.sleep(SLOW_SECONDS), real(url))[1])


def net(result):
    return net_seconds_saved(result.counters)


def test_a_hit_by_content_saves_no_reading_and_one_by_state_does(folder, slow_reader):
    go(folder, freshness="content")
    by_content = go(folder, freshness="content")[2]
    assert by_content.counters["hits_dict"] == 3
    assert by_content.counters["compute_seconds_saved"] < SLOW_SECONDS
    assert net(by_content) < 0
    close_memos()
    go(folder)
    by_state = go(folder)[2]
    assert by_state.counters["compute_seconds_saved"] >= 3 * SLOW_SECONDS
    assert net(by_state) > 2 * SLOW_SECONDS


def test_what_is_kept_by_state_and_found_by_content_was_read_all_the_same(folder, slow_reader):
    go(folder)
    write(folder, age=50, a="one", b="two words", c="three words here")
    touched = go(folder)[2]
    assert touched.counters["hits_dict"] == 3
    assert touched.counters["compute_seconds_saved"] < SLOW_SECONDS
    again = go(folder)[2]
    assert again.counters["compute_seconds_saved"] >= 3 * SLOW_SECONDS


def test_what_a_stage_was_spared_counts_where_a_later_one_was_edited(folder):
    def slow_decode(data: bytes) -> str:
        time.sleep(SLOW_SECONDS)
        return data.decode()

    go(folder, slow_decode, tidy)
    result = go(folder, slow_decode, edited(tidy, "2"))[2]
    assert result.counters["recalled_slow_decode"] == 3
    assert 3 * SLOW_SECONDS <= result.counters["compute_seconds_saved"] < 4 * SLOW_SECONDS
    whole = go(folder, slow_decode, edited(tidy, "2"))[2]
    assert whole.counters["compute_seconds_saved"] >= 3 * SLOW_SECONDS


def test_what_a_stage_was_spared_by_a_link_is_what_that_stage_took(folder):
    def slow_decode(data: bytes) -> str:
        time.sleep(SLOW_SECONDS)
        return data.decode()

    go(folder, slow_decode, tidy)
    result = go(folder, edited(slow_decode, "2"), tidy)[2]  # early cutoff: the same text, so tidy is known
    assert result.counters["recalled_tidy"] == 3
    assert result.counters["compute_seconds_saved"] < SLOW_SECONDS


def test_what_is_computed_while_storing_is_the_stages_time(folder, monkeypatch):
    def slow_decode(data: bytes) -> str:
        time.sleep(SLOW_SECONDS)
        return data.decode()

    (folder / "b").unlink()
    (folder / "c").unlink()
    pipeline = Pipeline(slow_decode)
    chain, _ = chain_of(pipeline, None)
    (document,) = list_corpus(str(folder))
    memo = open_memo(MemoSpec("dict", secret=SECRET, admission=False))
    memo.claim([chain.full(document, digest(b"one"))])  # another worker is at it, and gives up
    monkeypatch.setattr(type(memo), "wait", lambda self, keys: [Missed("lease")] * len(keys))
    result = go(folder, slow_decode)[2]
    assert result.node_seconds["slow_decode"] >= SLOW_SECONDS > result.node_seconds["store"]
    assert result.counters["store_seconds"] < SLOW_SECONDS
