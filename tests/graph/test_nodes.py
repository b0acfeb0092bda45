"""The nodes by themselves, in this process, with the dictionary memo."""

import dataclasses
import os
import threading
from typing import TypedDict

import distributed  # noqa: F401 - its import makes exceptions that are defined by then packable, and those below aren't
import pytest

from dataflow import Document, DocumentError, Pipeline, Strategy, stage
from dataflow.document import Documents, numbered
from dataflow.errors import ClusterError
from dataflow.graph import nodes, table
from dataflow.graph.guard import SOMEBODY, drop_guard, read_running
from dataflow.graph.plan import Batch, Plan, forget_plan, is_known, plan_of, register_plan, writing
from dataflow.graph.table import sink_for
from dataflow.memo.spec import MemoSpec, close_memos

CALLS = []


@stage
def decode(data: bytes) -> str:
    CALLS.append(data)
    if data == b"bad":
        raise DocumentError("no good")
    if data == b"exit":
        raise SystemExit(1)
    if data == b"deep":
        return decode(data)
    return data.decode()


@stage(pure=False)
def shout(text: str) -> str:
    return text.upper()


@pytest.fixture(autouse=True)
def _no_calls_and_no_memory():
    CALLS.clear()
    yield
    forget_plan("cafe")
    close_memos()


def batch(*payloads, number=1):
    documents = tuple(Document(f"{i}.txt", None, "text/plain") for i in range(len(payloads)))
    return Batch(number, documents, tuple(range(len(payloads))), (0,) * len(payloads), payloads, small=True)


def run_nodes(payloads, *, memo="none", pipeline=None, number=1):
    pipeline = pipeline or Pipeline(decode, shout)
    spec = MemoSpec(memo, secret=b"s" * 32)
    memoized = 1 if memo != "none" else 0
    register_plan(Plan("cafe", pipeline, Strategy(), spec, memoized, (b"id",) * memoized))
    work = nodes.probe("cafe", batch(*payloads, number=number).pack())
    if memoized:
        work = nodes.lookup("cafe", work)
    work = nodes.compute("cafe", 0, work)
    if memoized:
        work = nodes.store("cafe", work)
    return nodes.write("cafe", nodes.compute("cafe", 1, work))


def test_a_batch_becomes_outcomes_in_order():
    result = run_nodes([b"a", b"b"])
    assert [(o.value, o.status, o.size_bytes, o.attempts) for o in result.take()] == [
        ("A", "ok", 1, 1),
        ("B", "ok", 1, 1),
    ]
    assert set(result.node_seconds) == {"probe", "decode", "shout", "write"}


@pytest.mark.parametrize(
    ("payload", "error_type"),
    [
        (b"bad", "DocumentError"),
        (b"exit", "SystemExit"),
        (b"deep", "RecursionError"),
        (b"\xff", "UnicodeDecodeError"),
    ],
)
def test_a_bad_document_is_an_outcome_and_its_neighbours_are_untouched(payload, error_type):
    result = run_nodes([b"a", payload, b"c"])
    assert [o.status for o in result.take()] == ["ok", "failed", "ok"]
    assert result.take()[1].error_type == error_type
    assert result.take()[1].error
    assert result.take()[1].value is None


class Problem(Exception):
    """Packed as its class and its one text, of which it can't be made again."""

    def __init__(self, page: int, reason: str) -> None:
        super().__init__(f"page {page}: {reason}")


@stage
def warnings_of(text: str) -> list[Problem]:
    return [Problem(3, "no font")] if text == "odd" else []


def test_a_value_that_cannot_be_taken_out_again_is_that_documents_failure():
    result = run_nodes([b"a", b"odd", "\u2013 dash".encode()], pipeline=Pipeline(decode, warnings_of))
    assert [(o.status, o.value) for o in result.take()] == [("ok", []), ("failed", None), ("ok", [])]
    assert result.take()[1].error_type == "TypeError"
    assert result.take()[1].error.startswith("the result can't be sent: ")


class Rude:
    """A value whose own code does as it likes when it is packed, or made a column of."""

    def __init__(self, what):
        self.what = what

    def act(self):
        if self.what == "fork":
            if not os.fork():
                return
            os.wait()
        elif self.what:
            raise {"exit": SystemExit(3), "kbd": GeneratorExit(), "os": OSError(28, "full")}[self.what]

    def __reduce__(self):
        self.act()
        return str, (self.what,)

    @property
    def title(self):
        self.act()
        return self.what


class Row(TypedDict):
    title: str


@stage
def rude(data: bytes) -> Row:
    if data == b"mute":
        raise Mute
    return Rude(data.decode())


class Mute(Exception):
    def __str__(self):
        raise SystemExit(4)


@pytest.mark.parametrize("written", [False, True])
def test_what_a_values_own_code_raises_is_its_documents_failure(written, tmp_path):
    sink = sink_for(Pipeline(rude), str(tmp_path)) if written else None
    register_plan(Plan("cafe", Pipeline(rude), Strategy(), MemoSpec("none"), sink=sink))
    result = nodes.run_nodes("cafe", batch(b"", b"exit", b"kbd", b"os", b"mute", b"fork").pack())
    assert [o.status for o in result.outcomes] == ["ok", *["failed"] * 4, "ok"]
    types = [o.error_type for o in result.outcomes]
    assert types == [
        None,
        "SystemExit",
        "GeneratorExit",
        "UnwritableValue" if written else "OSError",
        "Mute",
        None,
    ]
    assert "Mute, which can't say what it is about (SystemExit)" in result.outcomes[4].error
    assert [path.name for path in tmp_path.iterdir()] == (
        [result.part.name] if written else []
    )  # none of a copy's


def test_what_cannot_be_taken_out_by_who_asked_for_it_has_failed_there():
    result = run_nodes([b"a", b"bad"])
    broken = dataclasses.replace(result, values=b"no pickle")
    assert [o.status for o in broken.take()] == ["failed", "failed"]
    assert "can't be taken out here" in broken.take()[0].error
    assert broken.take()[1].error == "no good"


class Looking:
    """A value that says, while it is packed or made a column of, what the ledger says of its process."""

    def __init__(self, ledger):
        self.ledger, self.seen = ledger, []

    def look(self):
        self.seen += [(note.batch, note.position, note.limit_seconds) for note in read_running(self.ledger)]
        return "title"

    def __reduce__(self):
        return str, (self.look(),)

    title = property(look)

    def __del__(self):
        self.look()


@pytest.mark.parametrize("written", [False, True])
def test_code_of_values_is_held_to_the_time_limit(written, tmp_path):
    """Else one that never comes back, in its ``__reduce__``, a property or its ``__del__``, stood still for ever."""
    (tmp_path / "ledger").mkdir()
    ledger, seen = str(tmp_path / "ledger"), []

    @stage
    def titles(data: bytes) -> Row:
        value = Looking(ledger)
        value.seen = seen
        return value

    pipeline = Pipeline(titles)
    sink = sink_for(pipeline, str(tmp_path)) if written else None
    strategy = Strategy(timeout_seconds=7.0)
    register_plan(Plan("cafe", pipeline, strategy, MemoSpec("none"), sink=sink, ledger=ledger))
    result = nodes.run_nodes("cafe", batch(b"a", b"b", number=5).pack())
    drop_guard(ledger)
    assert [o.status for o in result.outcomes] == ["ok", "ok"]
    assert len(seen) >= 4
    assert set(seen) == {(5, SOMEBODY, 7.0)}


def test_a_document_that_cannot_be_read_is_an_outcome():
    result = run_nodes([None])
    assert (result.take()[0].status, result.take()[0].error_type) == ("failed", "FileNotFoundError")


def test_equal_documents_of_a_batch_are_computed_once():
    result = run_nodes([b"a", b"b", b"a"], memo="dict")
    assert CALLS == [b"a", b"b"]
    assert [o.value for o in result.take()] == ["A", "B", "A"]
    assert [o.cache for o in result.take()] == [None, None, "batch"]


def test_the_twin_of_a_bad_document_is_bad_too():
    result = run_nodes([b"bad", b"bad"], memo="dict")
    assert [o.status for o in result.take()] == ["failed", "failed"]
    assert result.take()[1].error == "no good"


def test_what_is_memoized_is_not_computed_again_and_what_is_impure_is():
    run_nodes([b"a", b"b"], memo="dict")
    CALLS.clear()
    result = run_nodes([b"b", b"c"], memo="dict", number=2)
    assert CALLS == [b"c"]
    assert [o.value for o in result.take()] == ["B", "C"]
    assert [o.cache for o in result.take()] == ["dict", None]
    assert result.counters["hits_dict"] == 1
    assert result.counters["misses_new"] == 1


def test_a_failure_is_not_memoized():
    run_nodes([b"bad"], memo="dict")
    CALLS.clear()
    run_nodes([b"bad"], memo="dict", number=2)
    assert CALLS == [b"bad"]


def test_what_the_first_stage_sees_of_the_document_is_part_of_the_key():
    def name(data: bytes, document: Document) -> str:
        return document.url

    result = run_nodes([b"same", b"same"], memo="dict", pipeline=Pipeline(stage(name), shout))
    assert [o.value for o in result.take()] == ["0.TXT", "1.TXT"]


def test_a_stage_may_say_which_fields_of_the_document_matter():
    def kind(data: bytes, document: Document) -> str:
        CALLS.append(document)
        return document.media_type

    pipeline = Pipeline(stage(document_fields=["media_type"])(kind), shout)
    run_nodes([b"same", b"same"], memo="dict", pipeline=pipeline)
    assert len(CALLS) == 1


@pytest.fixture
def files(tmp_path):
    """Documents of two bytes, and a first stage that empties the folder when it sees the first of them."""
    paths = [tmp_path / f"{number}.txt" for number in range(6)]
    for path in paths:
        path.write_bytes(b"ab")

    def empty(data: bytes) -> str:
        for path in paths:
            path.unlink(missing_ok=True)
        return data.decode()

    register_plan(Plan("cafe", Pipeline(empty, shout), Strategy(), MemoSpec("none", secret=b"s" * 32)))
    return Batch(1, tuple(Document(str(p), 2, "text/plain") for p in paths), tuple(range(6)), (0,) * 6)


@pytest.mark.parametrize(("documents", "size_bytes"), [(2, 1000), (1000, 5)])
def test_without_a_memo_some_documents_are_read_and_computed_on_before_the_next_are_read(
    files, documents, size_bytes, monkeypatch
):
    monkeypatch.setattr(nodes, "_GROUP_DOCUMENTS", documents)
    monkeypatch.setattr(nodes, "_GROUP_BYTES", size_bytes)
    result = nodes.run_nodes("cafe", files.pack())
    assert [(o.position, o.value, o.error_type) for o in result.take()] == [
        (0, "AB", None), (1, "AB", None), *((n, None, "FileNotFoundError") for n in range(2, 6))
    ]  # fmt: skip
    assert set(result.node_seconds) == {"probe", "empty", "shout", "write"}


def test_a_batch_in_groups_is_all_of_it_in_order_and_none_is_empty():
    documents = tuple(Document(f"{n}", size, "text/plain") for n, size in enumerate((3, None, 9, 0, 1, 1)))
    whole = Batch(7, documents, tuple(range(6)), (0, 1, 0, 0, 2, 0), tuple(b"%d" % n for n in range(6)))
    for most in ((1, 100), (4, 100), (100, 4), (100, 0), (100, 100)):
        groups = list(whole.groups(*most))
        for name in ("documents", "positions", "attempts", "payloads"):
            assert sum((getattr(group, name) for group in groups), ()) == getattr(whole, name)
        assert all(0 < len(group) <= most[0] and group.number == 7 for group in groups)
        assert all(len(g) == 1 or sum(d.size_bytes or 0 for d in g.documents) <= most[1] for g in groups)
    assert [len(group) for group in whole.groups(100, 4)] == [2, 1, 3]


def test_a_batch_arrives_as_it_was_sent_however_its_documents_are_kept():
    documents = tuple(Document(f"{n}", n or None, "text/plain", 1.5, "tag") for n in range(3))
    plain = Batch(7, documents, (4, 5, 6), (0, 1, 0), (b"a", None, b"c"), True, True)
    kept = dataclasses.replace(
        plain, documents=Documents([numbered(n, d) for n, d in zip((4, 5, 6), documents, strict=True)])
    )
    assert Batch.unpack(kept.pack()) == Batch.unpack(plain.pack()) == plain
    assert Batch.unpack(kept.part(8, [2, 0]).pack()) == plain.part(8, [2, 0])


def test_a_worker_that_does_not_know_the_run_says_so():
    with pytest.raises(ClusterError, match="restart the worker"):
        plan_of("nonsense")


def test_a_plan_is_forgotten_when_what_is_being_written_is_there():
    register_plan(Plan("cafe", Pipeline(decode, shout), Strategy(), MemoSpec("none")))
    forgetting = threading.Thread(target=forget_plan, args=("cafe",))
    with writing("cafe"):
        forgetting.start()
        while is_known("cafe"):
            forgetting.join(0.01)
        assert forgetting.is_alive()
    forgetting.join(30)
    assert not forgetting.is_alive()
    with pytest.raises(ClusterError), writing("cafe"):
        pass


def test_a_part_that_took_so_long_that_nobody_waits_for_it_is_taken_back(tmp_path, monkeypatch):
    pipeline, created = Pipeline(decode, shout), table._created
    register_plan(
        Plan("cafe", pipeline, Strategy(), MemoSpec("none"), sink=sink_for(pipeline, str(tmp_path)))
    )
    work = nodes.probe("cafe", batch(b"a").pack())
    monkeypatch.setattr("dataflow.graph.plan._WRITING_SECONDS", 0.0)
    monkeypatch.setattr(table, "_created", lambda *where: forget_plan("cafe") or created(*where))
    with pytest.raises(ClusterError, match="ended while batch 1 was being written"):
        nodes.write("cafe", work)
    assert list(tmp_path.iterdir()) == []
