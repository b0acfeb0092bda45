"""A corpus is listed by a thread of its own: nobody who has something to do waits for what it may say next."""

import contextlib
import gc
import queue
import sqlite3
import threading

import pandas as pd
import pytest

from dataflow import run, stage
from dataflow.corpus import Corpus, open_corpus
from dataflow.engine.listing import Listing
from dataflow.engine.stall import StallWatch
from dataflow.errors import CorpusError


@pytest.fixture
def patient(monkeypatch):
    """However loaded the machine is, what is asked for is waited for."""
    monkeypatch.setattr("dataflow.engine.listing._PATIENCE_SECONDS", 60.0)


@contextlib.contextmanager
def listing_of(names):
    listing = Listing(lambda: open_corpus(names))
    listing.number(enumerate)
    yield listing
    listing.close()


def urls(taken):
    return [url for _, url, *_ in taken]


def test_what_is_asked_for_is_listed_and_no_more(patient):
    named = []

    def names():
        for number in range(100):
            named.append(number)
            yield f"memory://{number}"

    with listing_of(names()) as listing:
        assert [position for position, *_ in listing.take(10)] == list(range(10))
        assert len(named) == 10
        assert [position for position, *_ in listing.take(5)] == list(range(10, 15))
        assert len(named) == 15
        assert len(listing.take(1000)) == 85
        assert listing.ended


def test_what_a_source_that_waits_has_named_is_there_and_somebody_is_told_when_it_goes_on():
    names, told = queue.SimpleQueue(), threading.Event()
    with listing_of(iter(names.get, None)) as listing:
        names.put("memory://a")
        assert listing.wait()
        listing.on_news = told.set
        assert urls(listing.take(10)) == ["memory://a"]
        assert listing.take(10) == []
        assert not listing.ended
        names.put("memory://b")
        assert told.wait(10)
        assert urls(listing.take(1)) == ["memory://b"]
        told.clear()
        assert listing.take(1) == []
        names.put(None)
        assert told.wait(10)
        assert listing.take(1) == []
        assert listing.ended


def test_what_is_put_back_comes_again_first_of_all(patient):
    with listing_of([f"memory://{number}" for number in range(5)]) as listing:
        taken = listing.take(3)
        listing.put_back(taken)
        assert not listing.ended
        assert [position for position, *_ in listing.take(10)] == [0, 1, 2, 3, 4]


def test_what_was_named_before_a_source_broke_is_not_lost(patient):
    def names():
        yield "memory://a"
        raise RuntimeError("the database has gone")

    with listing_of(names()) as listing:
        assert urls(listing.take(10)) == ["memory://a"]
        assert listing.ended
        assert not listing.wait()
        with pytest.raises(RuntimeError, match="the database has gone"):
            listing.check()


@pytest.mark.parametrize(
    ("cluster", "collect"),
    [("inline", "as_completed"), ("inline", "ordered"), ("inline", "gather"), ("auto", "as_completed")],
)
def test_what_was_named_before_a_source_broke_is_done_and_kept(tmp_path, cluster, collect):
    def names():
        for number in range(30):
            (tmp_path / f"{number}.txt").write_text("word")
            yield str(tmp_path / f"{number}.txt")
        raise RuntimeError("the database has gone")

    options = {"cluster": cluster, "batching": "fixed:7", "collect": collect, "output": tmp_path / "out"}
    seen = []
    with (
        pytest.raises(RuntimeError, match="the database has gone"),
        run(links, names(), **options) as running,
    ):
        seen += running
    assert len(pd.read_parquet(tmp_path / "out")) == running.committed == 30


def test_a_corpus_that_cannot_be_opened_says_so():
    listing = Listing(lambda: open_corpus([]))
    with pytest.raises(CorpusError, match="is empty"):
        listing.corpus  # noqa: B018


def test_nothing_is_lost_nor_waited_for_whoever_asks_for_however_little(patient):
    """The lock is taken where somebody waits: thousands of times here, with each other's turn coming at any moment."""
    for most in (1, 2, 3, 7):
        news, positions = threading.Event(), []
        with listing_of(f"memory://{n}" for n in range(5000)) as listing:
            listing.on_news = news.set
            while not listing.ended:
                positions += [position for position, *_ in listing.take(most)]
        assert positions == list(range(5000))


def test_somebody_who_was_given_too_little_is_told_of_each_that_comes_however_soon(monkeypatch):
    monkeypatch.setattr("dataflow.engine.listing._PATIENCE_SECONDS", 0.0)
    news, found = queue.SimpleQueue(), []
    with listing_of(f"memory://{n}" for n in range(3000)) as listing:
        listing.on_news = lambda: news.put(None)
        assert listing.wait(60)
        while not listing.ended:
            some = listing.take(10)
            found += some
            if len(some) < 10 and not listing.ended:
                news.get(timeout=60)  # for ever, if what came meanwhile was kept silent
    assert [position for position, *_ in found] == list(range(3000))


def test_what_lies_ready_is_nothing_that_the_garbage_collector_looks_at_twice(patient):
    with listing_of(f"memory://{n}" for n in range(100)) as listing:
        taken = listing.take(50)
        gc.collect(0)
        assert not any(gc.is_tracked(one) for one in taken)


def test_closing_waits_for_no_source_and_ends_one_that_waits_to_be_asked():
    ended, stuck = threading.Event(), threading.Event()

    def names():
        try:
            while True:
                yield "memory://a"
        finally:
            ended.set()

    with listing_of(names()) as listing:
        listing.take(1)
    assert ended.wait(10)

    def waiting():
        yield "memory://a"
        stuck.wait(60)

    with listing_of(waiting()) as listing:
        assert listing.wait()
        assert len(listing.take(5)) == 1
    stuck.set()


def test_an_iterable_that_is_bound_to_a_thread_meets_one_alone(tmp_path, patient):
    """As the cursor of SQLite is: opened, read and closed in the generator."""
    database = tmp_path / "names.db"
    with contextlib.closing(sqlite3.connect(database)) as made, made:
        made.execute("create table names (name text)")
        made.executemany("insert into names values (?)", [(f"memory://{n}",) for n in range(2000)])

    def names():
        with contextlib.closing(sqlite3.connect(database)) as connection:
            for (name,) in connection.execute("select name from names"):
                yield name

    with listing_of(names()) as listing:
        listing.take(700)
        assert len(listing.take(5000)) == 1300


@stage
def links(page: bytes) -> list[str]:
    """The names that a page is made of."""
    return page.decode().split()


@pytest.mark.parametrize(
    ("cluster", "batching"),
    [(c, "adaptive") for c in ("inline", "auto", "threads")]
    + [("inline", b) for b in ("fixed:4", "bytes:1000")],
)
def test_a_crawl_that_is_fed_by_its_own_outcomes_comes_to_its_end(tmp_path, cluster, batching):
    """A tree of pages, of which the source names a page once an outcome has named it."""
    for number in range(31):
        below = [f"{n}.txt" for n in (2 * number + 1, 2 * number + 2) if n < 31]
        (tmp_path / f"{number}.txt").write_text(" ".join(below))
    named: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    named.put("0.txt")
    open_pages, seen = 1, []
    names = (str(tmp_path / name) for name in iter(named.get, None))
    with run(links, names, cluster=cluster, batching=batching) as running:
        for outcome in running:
            seen.append(outcome.position)
            open_pages += len(outcome.value) - 1
            for name in outcome.value:
                named.put(name)
            if not open_pages:
                named.put(None)
    assert sorted(seen) == list(range(31))


def test_a_source_that_waits_does_not_keep_a_run_from_being_closed(tmp_path):
    (tmp_path / "a.txt").write_text("one two")
    stuck = threading.Event()

    def names():
        yield str(tmp_path / "a.txt")
        stuck.wait(60)

    running = run(links, names(), cluster="inline")
    assert next(running).value == ["one", "two"]
    waiting = threading.Thread(target=lambda: list(running))
    waiting.start()
    running.close()
    waiting.join(10)
    assert not waiting.is_alive()
    stuck.set()


def test_a_corpus_that_says_nothing_more_is_reported(words):
    from dataflow.graph.plan import Plan
    from dataflow.memo.spec import MemoSpec
    from dataflow.strategy import Strategy

    told, times = [], iter([0.0, 10.0, 31.0, 32.0])
    plan = Plan("beef", words.pipeline, Strategy(), MemoSpec("none"))
    watch = StallWatch(plan, told.append, clock=lambda: next(times, 33.0))
    for _ in range(6):
        watch.idle([])
    (stall,) = told
    assert "33 s" in str(stall)
    assert "hasn't named another document" in str(stall)


def test_an_opened_corpus_knows_its_total_once_it_is_listed(patient):
    corpus = Corpus("<iterable>", iter(open_corpus(["memory://a", "memory://b"])))
    listing = Listing(lambda: corpus)
    listing.number(enumerate)
    assert listing.corpus.total is None
    listing.take(10)
    assert listing.corpus.total == 2
    listing.close()
