"""How a pipeline gets to other processes: with the names of what it uses where they reach its file, else with the
code itself.

Code that travels arrives as a copy: a class is none of its module's, settings that a file makes are not made, locks
and clients can't come along. So a worker that reaches the script's or the workload's own file runs that, as it would
import a package, and looks whether what it then has is what the driver has.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pickle
import socket
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any
from weakref import WeakKeyDictionary

from dataflow.errors import WorkloadError, one_line, said
from dataflow.graph.plan import Plan, is_any_known
from dataflow.graph.samecode import fresh_fingerprint, own_fingerprint
from dataflow.graph.settings import keep_settings
from dataflow.memo.keys import Uncacheable, digest, encode
from dataflow.pipeline import Pipeline, Stage
from dataflow.sources import (
    ScriptStart,
    Source,
    globals_asked_for,
    home_of,
    script_start,
    settings_made,
    source_of,
    why_unreached,
)

__all__ = ["packed_pipeline", "packed_plan", "unpacked_pipeline", "unpacked_plan"]

_NEVER_IN_THE_WAY = (ModuleType, FunctionType, type, Stage, Pipeline)
_State = Mapping[str, object]  # by global


@dataclass(frozen=True)
class _Parcel:
    """A pipeline in both forms.

    Attributes:
        origin: the process that it is of.
        by_value: with its code; ``None`` where something of it can't be sent.
        why_not: what can't.
        by_name: without; ``None`` where nothing is in a module of one file.
        sources: the files that this takes.
        start: how to import the script, where it may be.
        prints: the stages' fingerprints, ``None`` for one that has none.
        states: what the files' globals hold, by module, where fingerprints don't tell all.
    """

    origin: tuple[str, int]
    by_value: bytes | None
    why_not: str = ""
    by_name: bytes | None = None
    sources: tuple[Source, ...] = ()
    start: ScriptStart | None = None
    prints: tuple[bytes | None, ...] = ()
    states: Mapping[str, _State] = field(default_factory=dict)


# How it came here is how it goes on: it may have run meanwhile, and have changed what its module holds.
_received: WeakKeyDictionary[Pipeline, _Parcel] = WeakKeyDictionary()


def packed_plan(plan: Plan) -> bytes:
    """A plan as bytes for :func:`unpacked_plan`.

    Raises:
        WorkloadError: its pipeline can't be sent.
    """
    rest = dataclasses.replace(plan, pipeline=None)  # type: ignore[arg-type]
    return pickle.dumps((rest, packed_pipeline(plan.pipeline, plan.stage_ids)), protocol=5)


def unpacked_plan(packed: bytes, *, own_process: bool = False) -> Plan:
    """The plan.

    Args:
        packed: from :func:`packed_plan`.
        own_process: this process is there for it alone, and may have the script for its main module.

    Raises:
        WorkloadError: its pipeline can't be sent here.
        Exception: whatever its code raises when it is made again.
    """
    plan: Plan
    plan, pipeline = pickle.loads(packed)
    return dataclasses.replace(plan, pipeline=unpacked_pipeline(pipeline, own_process=own_process))


def packed_pipeline(pipeline: Pipeline, ids: Sequence[bytes] = ()) -> bytes:
    """A pipeline as bytes for :func:`unpacked_pipeline`.

    Args:
        pipeline: what to send.
        ids: the fingerprints of its first stages, where they are known.

    Raises:
        WorkloadError: it can't be sent.
    """
    parcel = _received.get(pipeline) or _parcel(pipeline, ids)
    if parcel.by_value is None and parcel.by_name is None:
        raise _unsendable(parcel)
    return pickle.dumps(parcel, protocol=5)


def unpacked_pipeline(packed: bytes, *, own_process: bool = False) -> Pipeline:
    """The pipeline; see :func:`unpacked_plan`."""
    parcel: _Parcel = pickle.loads(packed)
    if not own_process:
        parcel = dataclasses.replace(parcel, start=None)
    pipeline, why_not = _by_name(parcel)
    if pipeline is None and parcel.by_value is None:
        raise _unsendable(parcel, why_not)
    if pipeline is None:
        pipeline = pickle.loads(parcel.by_value or b"")
        assert pipeline is not None
    if parcel.origin != _here():
        _received[pipeline] = parcel
    return pipeline


def _unsendable(parcel: _Parcel, not_by_name: str = "") -> WorkloadError:
    return WorkloadError(
        f"the pipeline can't be sent to worker processes: {parcel.why_not}{not_by_name and '; nor can '}{not_by_name}. "
        "Define its stages at the top of a module and keep open files and locks out of them."
    )


def _parcel(pipeline: Pipeline, ids: Sequence[bytes]) -> _Parcel:
    from dataflow.graph.sending import packed, packed_by_name

    named: Iterable[str] = ()
    with contextlib.suppress(Exception):
        by_name, named = packed_by_name(pipeline)
    sources = tuple({source for name in sorted(named) if (source := source_of(name))})
    by_value, why_not = None, ""
    try:
        by_value = packed(pipeline)
    except Exception as error:
        why_not = _which_global(sources) + one_line(error).rstrip(".")
    if not sources:
        return _Parcel(_here(), by_value, why_not)
    stages = pipeline.stages
    prints = (*ids, *map(fresh_fingerprint, stages[len(ids) :]))
    told = _tell_all(prints, pipeline)
    # Where the code can't travel either, the user is to hear which global it is.
    states = {} if told and by_value else {source.name: _state(source) for source in sources}
    return _Parcel(_here(), by_value, why_not, by_name, sources, script_start(), prints, states)


def _which_global(sources: Sequence[Source]) -> str:
    """The first global of modules of one file that can't be sent, for what is said of it."""
    from dataflow.graph.sending import packed

    for source in sources:
        space = vars(sys.modules[source.name])
        for name in sorted(globals_asked_for(source) & set(space)):
            if isinstance(space[name], _NEVER_IN_THE_WAY):
                continue
            try:
                packed(space[name])
            except Exception:
                return f"{name} of {Path(source.path).name}: "
    return ""


def _by_name(parcel: _Parcel) -> tuple[Pipeline | None, str]:
    """The pipeline of the files that lie here; and else why they can't be had, or have led to something else."""
    if parcel.by_name is None:
        return None, ""
    for source in parcel.sources:
        why_not = why_unreached(source, parcel.start, replace=not is_any_known())
        if why_not:
            return None, f"{Path(source.path).name} be imported there: {why_not.rstrip('.')}"
    try:
        pipeline: Pipeline = pickle.loads(parcel.by_name)
        other = _other(parcel, pipeline)
    except Exception as error:
        return None, f"it be found there by its name: {said(error).rstrip('.')}"
    if other:
        return None, f"the file be imported there instead: {other} is something else there"
    keep_settings(pipeline, {k: v for source in parcel.sources for k, v in settings_made(source).items()})
    return pipeline, ""


def _other(parcel: _Parcel, pipeline: Pipeline) -> str:
    """What isn't here what it is where the parcel comes from: a stage, or a global."""
    pairs = zip(pipeline.stages, parcel.prints, strict=True)
    changed = [stage.name for stage, known in pairs if own_fingerprint(stage) != known]
    if not changed and _tell_all(parcel.prints, pipeline):
        return ""
    for source in parcel.sources:
        there = parcel.states.get(source.name, {})
        here = _state(source) if there else {}
        found = sorted(name for name in {*there, *here} if there.get(name) != here.get(name))
        if found:
            return found[0]
    return f"stage {changed[0]}" if changed else ""


def _tell_all(prints: Sequence[bytes | None], pipeline: Pipeline) -> bool:
    """Whether fingerprints say all of what stages do: what they are told to ignore may be set in the driver alone."""
    return None not in prints and not any(stage.ignore for stage in pipeline.stages)


def _here() -> tuple[str, int]:
    return socket.gethostname(), os.getpid()


def _state(source: Source) -> _State:
    """What functions of a file find in its globals: plain data in full, of others the types alone."""
    space: dict[str, Any] = vars(sys.modules[source.name])
    asked = (name for name in globals_asked_for(source) & set(space) if not name.startswith("__"))
    return {name: _plain(space[name]) for name in asked}


def _plain(value: object) -> object:
    try:
        return digest(encode(value))
    except Uncacheable:
        kind = type(value)
        return f"{home_of(kind)}.{kind.__qualname__} {getattr(value, '__qualname__', '')}"
