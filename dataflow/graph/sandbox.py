"""One batch in a process of its own, with limits on time and memory: for documents that are suspected.

The process is started by the worker that runs the task. Whatever it does to itself, the worker lives and
knows why it died.
"""

from __future__ import annotations

import contextlib
import errno
import faulthandler
import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from dataflow.graph.command import module_command, search_path
from dataflow.graph.groups import end_group, end_left_by
from dataflow.graph.guard import LIMITED_FILES, OUT_OF_FILES, innermost_line, read_running
from dataflow.graph.overdue import Overdue
from dataflow.graph.plan import Batch, Plan, plan_of, register_plan, writing
from dataflow.graph.scratch import scratch_folder
from dataflow.graph.shipping import packed_plan, unpacked_plan
from dataflow.graph.steps import ending_without_files
from dataflow.graph.turns import READ
from dataflow.graph.work import BatchResult, Item
from dataflow.outcome import QUARANTINED, Outcome, make_outcome

__all__ = ["isolate", "quarantined"]

_OUT_OF_MEMORY = 77  # exit status of a child whose document needed more than it may have
_OVERRAN = 78
_SPOILED = {errno.EMFILE: OUT_OF_FILES, errno.EFBIG: LIMITED_FILES}
_CHANCES = 4
_LOOK_SECONDS = 0.2
_START_SECONDS = 30.0  # for the interpreter and the imports, on a loaded machine


class _Ending(NamedTuple):
    """How a sandbox process ended: the error that it is, and whether somebody killed it."""

    error_type: str
    error: str
    killed: bool = False


def isolate(run: str, packed: bytes) -> BatchResult:
    """Run a packed batch's nodes in a sandbox process.

    Its documents are ``quarantined`` when the process dies, overruns its time or its memory; the stages'
    own time limits add up to the process's. A process that was killed is given other chances: no parser does that
    to itself, but whoever looks for memory, or tidies up, may do it to an innocent one.
    """
    plan, batch = plan_of(run), Batch.unpack(packed)
    started = time.perf_counter()
    limit = sum(s.timeout_seconds or plan.strategy.timeout_seconds for s in plan.pipeline.stages)
    limit = limit * len(batch) + _START_SECONDS
    found: BatchResult | _Ending
    for _ in range(_CHANCES):
        # The process writes the part, and is ended when the run is.
        with writing(run), ending_without_files(plan, batch.number):
            found = _tried(plan, batch, limit)
        if isinstance(found, BatchResult):
            return found
        if not found.killed:
            break
    assert isinstance(found, _Ending)
    seconds = time.perf_counter() - started
    outcomes = [quarantined(batch, i, found.error_type, found.error) for i in range(len(batch))]
    return BatchResult(batch.number, outcomes, None, _here(), seconds, 0.0, {"isolate": seconds}, {})


def _tried(plan: Plan, batch: Batch, limit_seconds: float) -> BatchResult | _Ending:
    """What a process of its own made of a batch, or else how it ended."""
    with scratch_folder("sandbox") as folder:
        Path(folder, "job").write_bytes(pickle.dumps((packed_plan(plan), batch.pack()), protocol=5))
        ending = _run_child(folder, limit_seconds, plan)
        answer = Path(folder, "answer")
        if ending is None and answer.exists():
            result: BatchResult = pickle.loads(answer.read_bytes())
            return result
    return ending or _Ending("WorkerDied", "ended its process: exit status 0, before it was done")


def quarantined(batch: Batch, index: int, error_type: str, error: str) -> Outcome:
    """The outcome of a document of a batch that ended its process."""
    item = Item(batch.documents[index], batch.positions[index], batch.attempts[index] + 1)
    item.status, item.error_type, item.error = QUARANTINED, error_type, error
    return make_outcome(*item.row(batch.number))


def _run_child(folder: str, limit_seconds: float, plan: Plan) -> _Ending | None:
    """Run the child; returns how it ended, ``None`` when all is well."""
    command = module_command("dataflow.graph.sandbox", folder, str(plan.sandbox_memory_bytes))
    environment = {**os.environ, **search_path()}
    errors = Path(folder, "errors")
    with errors.open("wb") as file:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=file, env=environment,
            start_new_session=True,
        )  # fmt: skip
        try:
            status = _wait(child, limit_seconds, plan)
            end_left_by(child.pid)
        except BaseException:
            _end(child)
            raise
    said = errors.read_text(errors="replace")
    return None if status == 0 else _verdict(status, said, _where(folder, plan, child.pid), plan)


def _wait(child: subprocess.Popen[bytes], limit_seconds: float, plan: Plan) -> int:
    """The status that it ends with. Its own timer is stopped with it where the document stops it.

    Raises:
        ClusterError: the run has ended.
    """
    import psutil

    overdue = Overdue(psutil.Process(child.pid), plan.ledger) if plan.ledger else None
    until = time.monotonic() + limit_seconds
    while time.monotonic() < until and not (overdue and overdue.look()):
        with contextlib.suppress(subprocess.TimeoutExpired):
            return child.wait(_LOOK_SECONDS)
        plan_of(plan.run)  # else nobody waits for it any more
    _end(child)
    return _OVERRAN


def _verdict(status: int, said: str, where: str, plan: Plan) -> _Ending:
    """What is to be said of a child that ended badly; ``said`` is what it wrote to its standard error."""
    if status == _OVERRAN or said.startswith("Timeout ("):
        overran = f"still running after its time limit{where}{_line(said)}; stopped in a sandbox process"
        return _Ending("TimeLimit", overran)
    if status == _OUT_OF_MEMORY or "MemoryError" in said or "bad_alloc" in said:
        gib = plan.sandbox_memory_bytes / 1024**3
        return _Ending("MemoryLimit", f"needed more than {gib:.1f} GiB{where}; stopped in a sandbox process")
    if status == OUT_OF_FILES:
        return _Ending(
            "TooManyOpenFiles", f"left so many files open{where} that its process could open no more"
        )
    if status == LIMITED_FILES:
        return _Ending(
            "WorkerDied", f"set a limit on the length of files{where}, under which none could be written"
        )
    return _Ending("WorkerDied", f"ended its process{where}: {_reason(status)}", status == -signal.SIGKILL)


def _line(said: str) -> str:
    """Where the interpreter was, from the stack that its timer wrote: the innermost line."""
    line = innermost_line(said)
    return f", at {line}" if line else ""


def _end(child: subprocess.Popen[bytes]) -> None:
    end_group(child.pid)
    child.wait()


def _where(folder: str, plan: Plan, process_id: int) -> str:
    """The stage that a child was in when it ended: as its ledger says, or else the node that it had come to.

    Stages that pull at each other run in one node.
    """
    name = f"{socket.gethostname()}-{process_id}"
    for note in read_running(plan.ledger, name) if plan.ledger else ():
        if note.stage != READ:  # of which the file says more: whether it was done
            return f" in stage {plan.stage_names[note.stage]}"
    try:
        return f" in stage {Path(folder, 'at').read_text()}"
    except OSError:
        return ""


def _reason(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"signal {-status} ({signal.Signals(-status).name})"
    except ValueError:
        return f"signal {-status}"


def _here() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


def _child(folder: str, memory_bytes: int) -> None:
    """What the sandbox process does: take limits, run the nodes, leave the answer."""
    import resource

    _follow_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's never comes here: see `child`
    # Address space and not resident memory is what the kernel can limit; libraries map more than they use.
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    packed_job, packed_batch = pickle.loads(Path(folder, "job").read_bytes())
    plan, batch = unpacked_plan(packed_job, own_process=True), Batch.unpack(packed_batch)
    register_plan(plan)
    try:
        _answer(folder, _run_nodes(plan, batch, Path(folder, "at")))
    except OSError as error:
        if error.errno in _SPOILED:
            os._exit(_SPOILED[error.errno])
        raise


def _answer(folder: str, result: BatchResult) -> None:
    if any(o.error_type == "MemoryError" for o in result.outcomes):
        os._exit(_OUT_OF_MEMORY)
    answer = Path(folder, "answer.new")
    answer.write_bytes(pickle.dumps(result))
    answer.rename(Path(folder, "answer"))


def _run_nodes(plan: Plan, batch: Batch, at: Path) -> BatchResult:
    """The chain of nodes, each under its time limit; the memo is left out of it."""
    from dataflow.graph import nodes

    limit = plan.strategy.timeout_seconds
    with _limited(at, "read", limit * len(batch)):
        work = nodes.probe(plan.run, batch.pack())
    for index, stage in enumerate(plan.pipeline.stages):
        with _limited(at, stage.name, _limit_seconds(plan, index) * len(batch)):
            work = nodes.compute(plan.run, index, work)
    return nodes.write(plan.run, work)


def _limit_seconds(plan: Plan, index: int) -> float:
    """How long a document may take in one compute node: with a stage that streams, the stages after it run too."""
    stages = plan.pipeline.stages[index:]
    last = next((i for i, s in enumerate(stages) if not s.streams), len(stages) - 1)
    return sum(s.timeout_seconds or plan.strategy.timeout_seconds for s in stages[: last + 1])


@contextlib.contextmanager
def _limited(at: Path, name: str, limit_seconds: float) -> Iterator[None]:
    """Note the stage, and end the process when it overruns, even where native code holds the interpreter."""
    at.write_text(name)
    faulthandler.dump_traceback_later(limit_seconds, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def _follow_parent() -> None:
    """Die with the worker that started this process, also when the worker is killed (Linux)."""
    if sys.platform != "linux":
        return
    import ctypes

    parent_death_signal = 1
    ctypes.CDLL(None).prctl(parent_death_signal, signal.SIGKILL)


if __name__ == "__main__":
    _child(sys.argv[1], int(sys.argv[2]))
