"""How a pipeline gets to other processes: with its code, as it is here.

What can't be sent, such as a lock or a client among the globals, doesn't stand in the way of a pipeline that they can
find by name in a file that they import themselves: a workload's own, or the script, as `multiprocessing` has it. There
it is made anew, so it has to be seen that all the rest is the same.
"""

from __future__ import annotations

import dataclasses
import decimal
import io
import os
import pickle
import socket
import struct
import sys
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any
from weakref import WeakKeyDictionary

from dataflow.errors import WorkloadError, one_line
from dataflow.graph.plan import Plan, is_any_known
from dataflow.graph.settings import context_of, keep_context
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
    usual_name,
    why_unreached,
)

__all__ = ["packed_pipeline", "packed_plan", "unpacked_pipeline", "unpacked_plan"]

_LENGTH = struct.Struct(">Q")
_NEVER_IN_THE_WAY = (ModuleType, FunctionType, type, Stage, Pipeline)
_LONGEST_TOLD = 1000


@dataclass(frozen=True)
class _Place:
    """Where a pipeline is to be found by name.

    Attributes:
        source: the file.
        start: how to import it where it is the script, and may be imported.
        where: the global of a workload's own file that holds it, and the key where that is a dict; or else what holds
            the stages: module, dotted name and options of each, ``None`` where that is what has the name.
        likenesses: of the stages' functions, by the stages' names.
        state: what the file's globals hold, for what is said of them.
    """

    source: Source
    start: ScriptStart | None
    where: tuple[str, Any] | list[tuple[str, str, dict[str, Any] | None]]
    likenesses: Mapping[str, bytes | None]
    state: Mapping[str, object]


@dataclass(frozen=True)
class _Parcel:
    """What goes with a pipeline's code, or stands for it.

    Attributes:
        origin: the process that it is of.
        context: of decimals, that it runs under.
        recursion_limit: of the process that it is of; a workload's file may have set it.
        why_not: what can't be sent of the code.
        place: where the pipeline is to be found then.
    """

    origin: tuple[str, int]
    context: decimal.Context | None
    why_not: str = ""
    place: _Place | None = None
    recursion_limit: int = field(default_factory=sys.getrecursionlimit)


# What was found here by its name goes on as it came: it may have run meanwhile, and have changed what its module holds.
_received: WeakKeyDictionary[Pipeline, _Parcel] = WeakKeyDictionary()


def packed_plan(plan: Plan) -> bytes:
    """A plan as bytes for :func:`unpacked_plan`.

    Raises:
        WorkloadError: its pipeline can't be sent.
    """
    return _packed(dataclasses.replace(plan, pipeline=None), plan.pipeline)  # type: ignore[arg-type]


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
    plan, pipeline = _unpacked(packed, own_process)
    return dataclasses.replace(plan, pipeline=pipeline)


def packed_pipeline(pipeline: Pipeline) -> bytes:
    """A pipeline as bytes for :func:`unpacked_pipeline`.

    Raises:
        WorkloadError: it can't be sent.
    """
    return _packed(None, pipeline)


def unpacked_pipeline(packed: bytes, *, own_process: bool = False) -> Pipeline:
    """The pipeline; see :func:`unpacked_plan`."""
    _, pipeline = _unpacked(packed, own_process)
    return pipeline


def _packed(rest: object, pipeline: Pipeline) -> bytes:
    """The code first, and nowhere else: it may be large."""
    with io.BytesIO() as file:
        parcel = _received.get(pipeline) or _parcel(pipeline, file)
        length = file.tell()
        if not length and parcel.place is None:
            raise _unsendable(parcel)
        file.write(pickle.dumps((rest, parcel), protocol=5) + _LENGTH.pack(length))
        return file.getvalue()


def _unpacked(packed: bytes, own_process: bool) -> tuple[Any, Pipeline]:
    parcel: _Parcel
    view = memoryview(packed)
    (length,) = _LENGTH.unpack(view[-_LENGTH.size :])
    rest, parcel = pickle.loads(view[length : -_LENGTH.size])
    pipeline: Pipeline = pickle.loads(view[:length]) if length else _found(parcel, own_process)
    keep_context(pipeline, parcel.context)
    if parcel.recursion_limit > sys.getrecursionlimit():
        sys.setrecursionlimit(parcel.recursion_limit)
    if not length and parcel.origin != _here():
        _received[pipeline] = parcel
    return rest, pipeline


def _unsendable(parcel: _Parcel, not_by_name: str = "") -> WorkloadError:
    nor = f"; nor {not_by_name}" if not_by_name else ""
    return WorkloadError(
        f"the pipeline can't be sent to worker processes: {parcel.why_not}{nor}. "
        "Define its stages at the top of a module and keep open files and locks out of them."
    )


def _parcel(pipeline: Pipeline, file: io.BytesIO) -> _Parcel:
    """What goes with the code, which is written to the file if it can be sent."""
    from dataflow.graph.sending import pack_into

    context = context_of(pipeline)
    try:
        pack_into(file, pipeline)
        return _Parcel(_here(), context)
    except Exception as error:
        why_not = one_line(error).rstrip(".")
    file.seek(0)
    file.truncate()
    place = _in_file(pipeline) or _in_script(pipeline)
    which = _which_global(place.source.name) if place else ""
    return _Parcel(_here(), context, which + why_not, place)


def _in_file(pipeline: Pipeline) -> _Place | None:
    for source in imported_sources():
        for name, value in list(vars(sys.modules[source.name]).items()):
            pairs = list(value.items()) if type(value) is dict else [(None, value)]
            where = next(((name, key) for key, one in pairs if one is pipeline), None)
            if where:
                state = _state(source.name, globals_asked_for(source.name))
                return _Place(source, None, where, _likenesses(pipeline), state)
    return None


def _in_script(pipeline: Pipeline) -> _Place | None:
    source, where = script_source(), []
    for stage in pipeline.stages if source else ():
        module, name = (
            getattr(stage.function, "__module__", None),
            getattr(stage.function, "__qualname__", None),
        )
        found = found_by_name(str(module), str(name))
        if found is not stage and found is not stage.function:
            return None
        where.append((str(module), str(name), None if found is stage else stage.options))
    if source is None:
        return None
    answer_for_script()
    return _Place(source, script_start(), where, _likenesses(pipeline), _state(MAIN, script_asks_for()))


def _likenesses(pipeline: Pipeline) -> Mapping[str, bytes | None]:
    from dataflow.memo.fingerprint import likeness

    return {stage.name: likeness(stage.function, _is_bound) for stage in pipeline.stages}


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
        WorkloadError: it can't be had, or importing it has led to something else.
    """
    place = parcel.place
    assert place is not None
    source, file = place.source, Path(place.source.path).name
    if parcel.origin != _here():
        if source.name == MAIN:
            why_not = why_not_script(source, place.start if own_process else None)
        else:  # what ran here before may have changed it; while something runs, it isn't taken away
            why_not = why_unreached(source, fresh=not is_any_known(), here=own_process)
        if why_not:
            raise _unsendable(parcel, f"can {file} be imported there: {why_not.rstrip('.')}")
    pipeline = _pipeline_at(place)
    if pipeline is None:
        raise _unsendable(parcel, f"has {file} the pipeline there")
    here = _likenesses(pipeline)
    if list(here.items()) != list(place.likenesses.items()) or None in here.values():
        other = _other(place, here)
        raise _unsendable(parcel, f"can {file} be imported there instead: {other} is something else there")
    return pipeline


def _pipeline_at(place: _Place) -> Pipeline | None:
    if isinstance(place.where, tuple):
        name, key = place.where
        held = found_by_name(place.source.name, name)
        found = held.get(key) if key is not None and type(held) is dict else held
        return found if isinstance(found, Pipeline) else None
    stages = []
    for module, name, options in place.where:
        found = found_by_name(module, name)
        stages.append(found if options is None or not callable(found) else Stage(found, **options))
    return Pipeline(*stages) if all(isinstance(stage, Stage) for stage in stages) else None


def _other(place: _Place, here: Mapping[str, bytes | None]) -> str:
    """What isn't here what it is where the pipeline comes from: a global, or else a stage."""
    space = vars(sys.modules[place.source.name])
    for name in sorted(place.state):
        if name not in space or _shown(space[name]) != place.state[name]:
            return name
    changed = (name for name, one in place.likenesses.items() if one is None or here.get(name) != one)
    return f"stage {next(changed, next(iter(here)))}"


def _is_bound(value: object) -> bool:
    """Whether an object can't leave its process."""
    from dataflow.graph.sending import packed

    try:
        packed(value)
    except Exception:
        return True
    return False


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
