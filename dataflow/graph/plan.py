"""What is shipped to the workers: a plan once a run, a batch once a task."""

from __future__ import annotations

import contextlib
import functools
import pickle
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from dataflow.document import Document, Documents
from dataflow.errors import ClusterError
from dataflow.graph.table import Sink
from dataflow.memo.admission import Admission
from dataflow.memo.chain import Chain
from dataflow.memo.spec import MemoSpec, close_memo
from dataflow.pipeline import Pipeline
from dataflow.strategy import Freshness, Strategy

__all__ = [
    "Batch",
    "Plan",
    "admission_of",
    "forget_learnt",
    "forget_plan",
    "is_any_known",
    "is_known",
    "learnt_earlier",
    "plan_of",
    "register_plan",
    "writing",
]

_MOST_LEARNT = 32  # pipelines
_WRITING_SECONDS = 2.0  # far longer than a part takes on a disk that answers


@dataclass(frozen=True, slots=True)
class Batch:
    """Documents that travel through the graph as one.

    Attributes:
        number: unique in the run; a batch that is tried again gets a new one.
        documents: the references.
        positions: their places in the corpus, aligned.
        attempts: how often each was begun before, aligned; 0 for a first try.
        payloads: their bytes, aligned, where only the driver can read them; else ``None``.
        isolated: run in a sandbox process, since it is suspected of ending its worker.
        small: it is all, or a piece, of a small corpus as far as is known: kept by the memo whatever that costs.
        seconds: what it is predicted to take; 0 where nobody knows. It doesn't travel.
    """

    number: int
    documents: Sequence[Document]
    positions: tuple[int, ...]
    attempts: tuple[int, ...]
    payloads: tuple[bytes | None, ...] | None = None
    isolated: bool = False
    small: bool = False
    seconds: float = 0.0

    def __len__(self) -> int:
        return len(self.documents)

    def pack(self) -> bytes:
        """The batch as bytes. The scheduler takes a graph apart and packs each task again: bytes cost nothing there."""
        rows, documents = None, self.documents
        if isinstance(documents, Documents):  # these travel in a third of the time
            rows, documents = documents.rows, ()
        begun = (self.positions, self.attempts, self.payloads)
        fields = (self.number, documents, *begun, self.isolated, self.small)
        return pickle.dumps((rows, fields), protocol=5)

    @staticmethod
    def unpack(data: bytes) -> Batch:
        """The batch that :meth:`pack` packed."""
        rows, (number, documents, *rest) = pickle.loads(data)
        return Batch(number, documents if rows is None else tuple(Documents(rows)), *rest)

    def groups(self, documents: int, size_bytes: int) -> Iterator[Batch]:
        """The batch in groups of so many documents and, as listed, bytes at most; each of one at least."""
        begin = size = 0
        for end, document in enumerate(self.documents):
            size += document.size_bytes or 0
            if end > begin and (end - begin == documents or size > size_bytes):
                yield self._between(begin, end)
                begin, size = end, document.size_bytes or 0
        yield self._between(begin, len(self))

    def divided(self, documents: int) -> tuple[Batch, Batch]:
        """The first so many documents, and the others."""
        return self._between(0, documents), self._between(documents, len(self))

    def _between(self, begin: int, end: int) -> Batch:
        return replace(
            self,
            documents=self.documents[begin:end],
            positions=self.positions[begin:end],
            attempts=self.attempts[begin:end],
            payloads=self.payloads[begin:end] if self.payloads else None,
        )

    def part(self, number: int, indices: list[int], *, isolated: bool = False, begun: bool = True) -> Batch:
        """Some of its documents as a batch of their own; ``begun`` counts one attempt more for each."""
        return Batch(
            number=number,
            documents=tuple(self.documents[i] for i in indices),
            positions=tuple(self.positions[i] for i in indices),
            attempts=tuple(self.attempts[i] + begun for i in indices),
            payloads=tuple(self.payloads[i] for i in indices) if self.payloads else None,
            isolated=isolated,
            small=self.small,
        )


@dataclass(frozen=True)
class Plan:
    """Everything that the nodes of one run need, frozen.

    Attributes:
        run: 8 hex digits, the run's own.
        pipeline: what to do.
        strategy: how.
        memo: which memo the workers open.
        memo_stages: how many stages, from the first, the memoized value covers; 0 where nothing is memoized.
        stage_ids: the fingerprints of those stages, in order.
        sink: where rows are written, or ``None``: values travel back with the outcomes.
        ledger: a folder on the driver's machine in which workers note the document they are at.
        search_path: folders that the workers add to ``sys.path``, for a workload's own helper modules.
        sandbox_memory_bytes: address space that a sandbox process may use.
        in_child: batches run in child processes of those that run the tasks, which must not be ended.
        untried: whether no stage has kept anything in the memo; ``None`` where each process has a memo of its own.
        other_code: this process holds other code than the plan was made of, so nothing is memoized here.
    """

    run: str
    pipeline: Pipeline
    strategy: Strategy
    memo: MemoSpec
    memo_stages: int = 0
    stage_ids: tuple[bytes, ...] = ()
    sink: Sink | None = None
    ledger: str | None = None
    search_path: tuple[str, ...] = ()
    sandbox_memory_bytes: int = 4 * 1024**3
    in_child: bool = False
    other_code: bool = False
    untried: bool | None = None

    @functools.cached_property
    def chain(self) -> Chain:
        """What the keys of the memoized stages are made of."""
        return Chain.of(self.pipeline.stages[: self.memo_stages], self.stage_ids, self.memo.tag)

    @functools.cached_property
    def fresh(self) -> Freshness:
        """The strategy's freshness, taken apart."""
        return self.strategy.fresh

    @functools.cached_property
    def stage_names(self) -> tuple[str, ...]:
        """The stages' names by their numbers; those of reading, at -1, and writing, at -2, included."""
        return (*(s.name for s in self.pipeline.stages), "write", "read")

    @functools.cached_property
    def limits(self) -> tuple[float, ...]:
        """The stages' time limits in seconds by their numbers; of reading, at -1, and writing, at -2, too."""
        usual = self.strategy.timeout_seconds
        return (*(s.timeout_seconds or usual for s in self.pipeline.stages), usual, usual)

    @functools.cached_property
    def unsafe_stages(self) -> frozenset[int]:
        """The numbers of the stages of which only one may run in a process at a time."""
        return frozenset(n for n, s in enumerate(self.pipeline.stages) if not s.thread_safe)

    @property
    def longest_seconds(self) -> float:
        """The longest time limit of any stage."""
        return max(self.limits)


_plans: dict[str, Plan] = {}
_admissions: dict[str, Admission] = {}
_learnt: dict[tuple[object, ...], Admission] = {}
_writers: Counter[str] = Counter()
_written = threading.Condition()


def register_plan(plan: Plan) -> None:
    """Make a plan known to this process."""
    _plans[plan.run] = plan


def forget_plan(run: str) -> None:
    """Drop a plan; unknown runs are fine. Waits for what is being written: afterwards this process writes nothing."""
    with _written:
        plan, admission = _plans.pop(run, None), _admissions.pop(run, None)
        if plan and admission and plan.memo.admission:
            _learnt.pop(_what_is_learnt(plan), None)  # the one that was used last goes last
            _learnt[_what_is_learnt(plan)] = admission
            while len(_learnt) > _MOST_LEARNT:
                del _learnt[next(iter(_learnt))]
        _written.wait_for(lambda: not _writers[run], _WRITING_SECONDS)
        if not _writers[run]:
            del _writers[run]
    if plan and plan.memo.on_demand:  # nobody asks for what was kept on this run's own server any more
        close_memo(plan.memo)


@contextlib.contextmanager
def writing(run: str) -> Iterator[None]:
    """Write to a run's output in this block: who collects orphans, having taken the plan from here, finds all of them.

    Raises:
        ClusterError: the plan isn't known here, or no more.
    """
    with _written:
        plan_of(run)
        _writers[run] += 1
    try:
        yield
    finally:
        with _written:
            _writers[run] -= 1
            _written.notify_all()


def is_known(run: str) -> bool:
    """Whether the run may be going on."""
    return run in _plans


def is_any_known() -> bool:
    """Whether any run may be going on."""
    return bool(_plans)


def admission_of(plan: Plan) -> Admission:
    """What this process has learnt of what the memo is worth to a run."""
    found = _admissions.get(plan.run)
    if found is None:
        # One step, so that two threads that ask first learn together.
        found = _admissions.setdefault(plan.run, Admission(enabled=plan.memo.admission))
    return found


def learnt_earlier(plan: Plan) -> Admission | None:
    """What this process has learnt in an earlier run of the same code."""
    return _learnt.get(_what_is_learnt(plan))


def forget_learnt() -> None:
    """Know nothing of earlier runs."""
    _learnt.clear()


def _what_is_learnt(plan: Plan) -> tuple[object, ...]:
    return plan.stage_ids, plan.fresh.by_stat


def plan_of(run: str) -> Plan:
    """The plan of a run.

    Raises:
        ClusterError: the plan never came here: the worker joined without the run's plugin.
    """
    try:
        return _plans[run]
    except KeyError:
        raise ClusterError(f"this worker doesn't know run {run}: restart the worker.") from None
