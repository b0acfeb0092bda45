"""How a pipeline gets to other processes: with its code, or by the name that it has in a file that they import.

Code that travels arrives as a copy: a class is none of its module's, settings that a file makes are not made, locks
and clients can't come along. So processes that reach a workload's own file import it, as they would a package. A script
may have set what it likes before it makes the call, so that its code travels, with that; where something of it can't,
processes take what importing the script gives them, if that is what the script itself has.
"""

from __future__ import annotations

import dataclasses
import os
import pickle
import socket
import sys
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any
from weakref import WeakKeyDictionary

from dataflow.errors import WorkloadError, one_line
from dataflow.graph.plan import Plan, is_any_known
from dataflow.graph.settings import keep_settings
from dataflow.memo.keys import LEAVES, digest, encode, of_leaves
from dataflow.pipeline import Pipeline, Stage
from dataflow.script import (
    ScriptStart,
    answer_for_script,
    script_asks_for,
    script_source,
    script_start,
    why_not_script,
)
from dataflow.sources import (
    MAIN,
    Source,
    found_by_name,
    globals_asked_for,
    home_of,
    imported_sources,
    settings_made,
    usual_name,
    why_unreached,
)

__all__ = ["packed_pipeline", "packed_plan", "unpacked_pipeline", "unpacked_plan"]

_NEVER_IN_THE_WAY = (ModuleType, FunctionType, type, Stage, Pipeline)
_PATIENCE_SECONDS = 60.0
_LONGEST_TOLD = 1000
_MOST_KEPT_BYTES = 16 * 1024**2


@dataclass(frozen=True)
class _InFile:
    """A pipeline that a workload's own file holds.

    Attributes:
        source: the file.
        name: of the global.
        key: of the pipeline in it, where that is a dict.
        state: what the file's globals hold, by name.
    """

    source: Source
    name: str
    key: Any = None
    state: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class _InScript:
    """A pipeline whose stages a script holds.

    Attributes:
        source: the script's file.
        start: how to import it, where it may be.
        stages: module, dotted name and the options of each, ``None`` where that is what has the name.
        likenesses: of its functions.
        state: what the script's globals hold, for what is said of them.
    """

    source: Source
    start: ScriptStart | None
    stages: tuple[tuple[str, str, dict[str, Any] | None], ...]
    likenesses: tuple[bytes | None, ...]
    state: Mapping[str, object]


@dataclass(frozen=True)
class _Parcel:
    """A pipeline on its way.

    Attributes:
        origin: the process that it is of.
        code: with its code; ``None`` where something of it can't be sent.
        why_not: what can't.
        place: where it is to be found without.
    """

    origin: tuple[str, int]
    code: bytes | None
    why_not: str = ""
    place: _InFile | _InScript | None = None


class _NotThereError(Exception):
    """A process has no such pipeline by a name."""


# How it came here is how it goes on: it may have run meanwhile, and have changed what its module holds.
_received: WeakKeyDictionary[Pipeline, _Parcel] = WeakKeyDictionary()


def packed_plan(plan: Plan) -> bytes:
    """A plan as bytes for :func:`unpacked_plan`.

    Raises:
        WorkloadError: its pipeline can't be sent.
    """
    rest = dataclasses.replace(plan, pipeline=None)  # type: ignore[arg-type]
    return pickle.dumps((rest, packed_pipeline(plan.pipeline)), protocol=5)


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


def packed_pipeline(pipeline: Pipeline) -> bytes:
    """A pipeline as bytes for :func:`unpacked_pipeline`.

    Raises:
        WorkloadError: it can't be sent.
    """
    parcel = _received.get(pipeline) or _parcel(pipeline)
    if parcel.code is None and parcel.place is None:
        raise _unsendable(parcel)
    return pickle.dumps(parcel, protocol=5)


def unpacked_pipeline(packed: bytes, *, own_process: bool = False) -> Pipeline:
    """The pipeline; see :func:`unpacked_plan`."""
    parcel: _Parcel = pickle.loads(packed)
    why_not = ""
    if parcel.place is not None and (parcel.code is None or isinstance(parcel.place, _InFile)):
        try:
            return _kept(_found(parcel, own_process), parcel)
        except _NotThereError as error:
            why_not = str(error)
    if parcel.code is None:
        raise _unsendable(parcel, why_not)
    pipeline: Pipeline = pickle.loads(parcel.code)
    return _kept(pipeline, dataclasses.replace(parcel, place=None))


def _kept(pipeline: Pipeline, parcel: _Parcel) -> Pipeline:
    """Take note of how a pipeline has come here; large code isn't held for what the file says as well."""
    if parcel.origin != _here():
        large = parcel.place is not None and len(parcel.code or b"") > _MOST_KEPT_BYTES
        _received[pipeline] = dataclasses.replace(parcel, code=None) if large else parcel
    return pipeline


def _unsendable(parcel: _Parcel, not_by_name: str = "") -> WorkloadError:
    nor = f"; nor {not_by_name}" if not_by_name else ""
    return WorkloadError(
        f"the pipeline can't be sent to worker processes: {parcel.why_not}{nor}. "
        "Define its stages at the top of a module and keep open files and locks out of them."
    )


def _parcel(pipeline: Pipeline) -> _Parcel:
    from dataflow.graph.sending import packed

    place: _InFile | _InScript | None = _in_file(pipeline)
    try:
        return _Parcel(_here(), packed(pipeline), "", place)
    except Exception as error:
        why_not = one_line(error).rstrip(".")
    place = place or _in_script(pipeline)
    return _Parcel(_here(), None, (_which_global(place.source.name) if place else "") + why_not, place)


def _in_file(pipeline: Pipeline) -> _InFile | None:
    for source in imported_sources():
        for name, value in vars(sys.modules[source.name]).items():
            if value is pipeline:
                return _InFile(source, name, None, _state(source.name, globals_asked_for(source.name)))
            for key in [k for k, one in value.items() if one is pipeline] if type(value) is dict else ():
                return _InFile(source, name, key, _state(source.name, globals_asked_for(source.name)))
    return None


def _in_script(pipeline: Pipeline) -> _InScript | None:
    from dataflow.memo.fingerprint import likeness

    source, stages = script_source(), []
    for stage in pipeline.stages if source else ():
        module, name = (
            getattr(stage.function, "__module__", None),
            getattr(stage.function, "__qualname__", None),
        )
        found = found_by_name(str(module), str(name))
        if found is not stage and found is not stage.function:
            return None
        stages.append((str(module), str(name), None if found is stage else stage.options))
    if source is None:
        return None
    answer_for_script()
    likenesses = tuple(likeness(stage.function, _is_bound) for stage in pipeline.stages)
    return _InScript(source, script_start(), tuple(stages), likenesses, _state(MAIN, script_asks_for()))


def _which_global(module: str) -> str:
    """The first global of a module that can't be sent, for what is said of it."""
    from dataflow.graph.sending import packed

    space = vars(sys.modules[module])
    for name in sorted((script_asks_for() if module == MAIN else globals_asked_for(module)) & set(space)):
        if not isinstance(space[name], _NEVER_IN_THE_WAY):
            try:
                packed(space[name])
            except Exception:
                return f"{name} of {Path(str(space.get('__file__'))).name}: "
    return ""


def _found(parcel: _Parcel, own_process: bool) -> Pipeline:
    """The pipeline of the file that lies here.

    Raises:
        _NotThereError: it can't be had, or has led to something else.
    """
    place = parcel.place
    if isinstance(place, _InFile):
        return _found_in_file(place, parcel, own_process)
    assert place is not None
    return _found_in_script(place, parcel, own_process)


def _found_in_file(place: _InFile, parcel: _Parcel, own_process: bool) -> Pipeline:
    source = place.source
    if parcel.origin != _here():
        # What ran here before may have changed it. While something runs, it isn't taken away.
        patience = None if parcel.code is None else _PATIENCE_SECONDS
        fresh = not is_any_known()
        _refuse(source, why_unreached(source, fresh=fresh, here=own_process, patience_seconds=patience))
        _refuse_other(place.state, source.name)
    found = found_by_name(source.name, place.name)
    pipeline = found.get(place.key) if place.key is not None and type(found) is dict else found
    if not isinstance(pipeline, Pipeline):
        raise _NotThereError(f"has {Path(source.path).name} a pipeline {place.name} there")
    keep_settings(pipeline, settings_made(source))
    return pipeline


def _found_in_script(place: _InScript, parcel: _Parcel, own_process: bool) -> Pipeline:
    from dataflow.memo.fingerprint import likeness

    if parcel.origin != _here():
        _refuse(place.source, why_not_script(place.source, place.start if own_process else None))
    stages = []
    for module, name, options in place.stages:
        found = found_by_name(module, name)
        stages.append(found if options is None or not callable(found) else Stage(found, **options))
    if not all(isinstance(stage, Stage) for stage in stages):
        raise _NotThereError(f"has {Path(place.source.path).name} its stages there")
    here = tuple(likeness(stage.function, _is_bound) for stage in stages)
    if None in here or here != place.likenesses:
        _refuse_other(place.state, MAIN)
        other = next(
            (s.name for s, a, b in zip(stages, here, place.likenesses, strict=True) if a != b), "all"
        )
        raise _NotThereError(f"can the file be imported there instead: stage {other} is something else there")
    return Pipeline(*stages)


def _is_bound(value: object) -> bool:
    """Whether an object can't leave its process."""
    from dataflow.graph.sending import packed

    try:
        packed(value)
    except Exception:
        return True
    return False


def _refuse(source: Source, why_not: str) -> None:
    if why_not:
        raise _NotThereError(f"can {Path(source.path).name} be imported there: {why_not.rstrip('.')}")


def _refuse_other(there: Mapping[str, object], module: str) -> None:
    here = vars(sys.modules[module])
    for name in sorted(there):
        if name not in here or _shown(here[name]) != there[name]:
            raise _NotThereError(f"can the file be imported there instead: {name} is something else there")


def _here() -> tuple[str, int]:
    return socket.gethostname(), os.getpid()


def _state(module: str, asked: Set[str]) -> Mapping[str, object]:
    """What functions of a module find in its globals: short plain data in full, of all else the types."""
    space: dict[str, Any] = vars(sys.modules[module])
    return {name: _shown(space[name]) for name in asked & set(space) if not name.startswith("__")}


def _shown(value: Any) -> object:
    kind = type(value)
    if kind in LEAVES or of_leaves(value):
        short = not hasattr(value, "__len__") or len(value) <= _LONGEST_TOLD
        return (
            digest(encode(usual_name(value) if kind is str else value))
            if short
            else (kind.__name__, len(value))
        )
    return f"{home_of(kind)}.{kind.__qualname__} {getattr(value, '__qualname__', '')}"
