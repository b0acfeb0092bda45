"""A process that runs batches for this one, so that a document can end nothing but that.

Where nobody starts a worker again, a worker must not be ended: one without a nanny, or the driver itself when the whole
job is smaller than starting a cluster. There each thread that runs batches keeps a child process, which is a fork of
the template (:mod:`dataflow.graph.forks`) and told the plan once. Its own watchdog holds the documents' time limits,
this process the limit on memory, and the time limits too where the watchdog can't. When it dies, the task raises
:class:`ChildDied`, the batch counts as lost, and the next one gets a new child.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import pickle
import select
import threading
from collections.abc import Iterator

from dataflow.graph.command import looked_in
from dataflow.graph.forks import STORES, WRITER, Fork, child_process, keep_template
from dataflow.graph.groups import end_group
from dataflow.graph.nodes import run_nodes
from dataflow.graph.overdue import Overdue
from dataflow.graph.plan import Plan, plan_of
from dataflow.graph.scratch import scratch_folder
from dataflow.graph.shipping import packed_plan
from dataflow.graph.template import BATCH_NUMBER, read_frame, write_frame
from dataflow.graph.work import BatchResult

__all__ = [
    "ChildDied",
    "Children",
    "begin_children",
    "children_of",
    "close_children",
    "limit_children",
    "run_in_child",
]

_LOOK_SECONDS = 0.1
_ENDING_SECONDS = 1.0
_SHARE_OF_LIMIT = 0.95  # as a nanny has it


class ChildDied(Exception):
    """The process that ran a batch has ended before the batch did."""


def run_in_child(run: str, packed: bytes) -> BatchResult:
    """Run a packed batch's nodes in a child of this process.

    Raises:
        ChildDied: the child ended, or had to be ended.
        OSError: the output can't be written.
    """
    if not plan_of(run).in_child:
        # On a worker that may be ended: the run has gone over from children to a cluster.
        return run_nodes(run, packed)
    with children_of(run).one() as child:
        return child.run(packed)


class Children:
    """The child processes of one run in this process; each is used by one thread at a time.

    Args:
        plan: the run's.
        memory_bytes: what each may hold resident; ``None`` for no limit.
    """

    def __init__(self, plan: Plan, memory_bytes: int | None = None) -> None:
        self._folders = contextlib.ExitStack()
        if plan.ledger is None or not os.path.isdir(plan.ledger):  # the driver is on another machine
            plan = dataclasses.replace(plan, ledger=self._folders.enter_context(scratch_folder("ledger")))
        assert plan.ledger is not None
        self._folders.enter_context(keep_template())
        self._plan, self._memory_bytes, self._ledger = plan, memory_bytes, plan.ledger
        self._idle: list[_Child] = []
        self._all: set[_Child] = set()
        self._closed = False
        self._lock = threading.Lock()

    @functools.cached_property
    def _packed(self) -> bytes:
        return packed_plan(self._plan)

    def begin(self, count: int) -> None:
        """Start so many, and pack the plan while they import what they need.

        Raises:
            ChildDied: one has ended.
            WorkloadError: the plan can't be sent to them.
        """
        with self._lock:
            self._idle += [self._started() for _ in range(count)]
            for child in self._idle:
                child.tell(self._packed)

    @contextlib.contextmanager
    def one(self) -> Iterator[_Child]:
        """A child for the length of the block.

        Raises:
            ChildDied: all were ended.
            WorkloadError: the plan can't be sent to it.
        """
        with self._lock:
            child = self._idle.pop() if self._idle else self._started()
        try:
            child.tell(self._packed)
            yield child
        except BaseException:
            # Whatever state it is in, nobody else should meet it.
            child.close()
            with self._lock:
                self._all.discard(child)
            raise
        with self._lock:
            self._idle.append(child)

    def _started(self) -> _Child:
        if self._closed:
            raise ChildDied("its processes were ended")
        loads = [WRITER] * (self._plan.sink is not None) + [STORES] * (self._plan.memo.kind != "none")
        child = _Child(child_process(*loads), self._memory_bytes, self._ledger)
        self._all.add(child)
        return child

    def close(self) -> None:
        """End all of them, and start no more."""
        with self._lock:
            self._closed = True
            children, self._all, self._idle = list(self._all), set(), []
        for child in children:
            child.end()  # all at the same time: it takes some milliseconds until one has gone
        for child in children:
            child.close()
        self._folders.close()


class _Child:
    """One process and the pipes to it."""

    def __init__(self, process: Fork, memory_bytes: int | None, ledger: str) -> None:
        self._process, self._memory_bytes, self._ledger = process, memory_bytes, ledger
        self._asked, self._told = 0, False

    @functools.cached_property
    def _pid(self) -> int:
        number = self._process.pid
        if number is None:
            raise ChildDied("its process couldn't be started")
        return number

    @functools.cached_property
    def _overdue(self) -> Overdue:
        import psutil

        return Overdue(psutil.Process(self._pid), self._ledger)

    def tell(self, plan: bytes) -> None:
        """Say where modules are looked for, and send the plan, unless that was done."""
        if not self._told:
            self._told = True
            self._send(pickle.dumps(looked_in(), protocol=5))
            self._send(plan)

    def run(self, packed: bytes) -> BatchResult:
        self._asked += 1
        self._send(BATCH_NUMBER.pack(self._asked) + packed)
        self._wait()
        frame = self._receive()
        if frame[: BATCH_NUMBER.size] != BATCH_NUMBER.pack(self._asked):
            raise ChildDied("its process answered for another batch")
        kind, answer = pickle.loads(memoryview(frame)[BATCH_NUMBER.size :])
        if kind == "raised":
            raise answer
        result: BatchResult = answer
        return result

    def end(self) -> None:
        self._process.end()

    def close(self) -> None:
        self._process.close()

    def _send(self, frame: bytes) -> None:
        try:
            write_frame(self._process.stdin, frame)
        except (OSError, ValueError):
            raise self._died() from None

    def _receive(self) -> bytes:
        try:
            return read_frame(self._process.stdout)
        except (EOFError, ValueError):
            raise self._died() from None

    def _wait(self) -> None:
        """Until there is an answer, or the process holds more memory than it may, or takes longer."""
        while not select.select([self._process.stdout], [], [], _LOOK_SECONDS)[0]:
            why = ""
            if self._memory_bytes and _resident_bytes(self._pid) > self._memory_bytes:
                why = f"held more than {self._memory_bytes / 2**30:.1f} GiB"
            elif self._is_overdue():
                why = "was at a document for longer than its time limit, and didn't end itself"
            if why:
                end_group(self._pid)
                raise ChildDied(f"its process {why}")

    def _is_overdue(self) -> bool:
        import psutil

        try:
            return self._overdue.look()
        except psutil.NoSuchProcess:
            return False  # its pipe will say so

    def _died(self) -> ChildDied:
        if self._process.wait(_ENDING_SECONDS) is None:
            # It has closed its pipes, or is another program by now, and lives on.
            self._process.end()
            self._process.wait()
        self._process.end()
        self._process.errors.seek(0)
        lines = self._process.errors.read()[-4000:].decode(errors="replace").strip().splitlines()
        return ChildDied(f"its process ended: status {self._process.poll()} {lines[-1] if lines else ''}")


_children: dict[str, Children] = {}
_limits: dict[str, int | None] = {}
_lock = threading.Lock()


def children_of(run: str) -> Children:
    """The children of a run whose plan is known here."""
    with _lock:
        found = _children.get(run)
        if found is None:
            found = _children[run] = Children(plan_of(run), _limits.get(run))
        return found


def begin_children(run: str, count: int) -> None:
    """Start children of a run whose plan is known here: they import what they need before the first batch comes."""
    # What hinders it will hinder the first batch too, which says so.
    with contextlib.suppress(OSError, ChildDied):
        children_of(run).begin(count)


def limit_children(run: str, memory_bytes: float | None) -> None:
    """Say what a run's children in this process may hold, each; to be said before the first."""
    _limits[run] = int(_SHARE_OF_LIMIT * memory_bytes) if memory_bytes else None


def close_children(run: str) -> None:
    """End a run's children in this process."""
    with _lock:
        found, _ = _children.pop(run, None), _limits.pop(run, None)
    if found:
        found.close()


def _resident_bytes(pid: int) -> int:
    import psutil

    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0  # it has ended: the pipe says so in a moment
