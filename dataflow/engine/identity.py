"""What a run is: its header in the manifest, and whether two runs are the same, so that one may resume the other."""

from __future__ import annotations

import dataclasses
import os
import time
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from dataflow.errors import OutputError, one_line
from dataflow.pipeline import Pipeline

if TYPE_CHECKING:
    from dataflow.graph.plan import Plan
    from dataflow.graph.table import Sink

__all__ = ["describe_run", "foresee", "header", "refuse_other"]

_Prints = tuple[list[str | None], dict[str, str]]
_known_prints: WeakKeyDictionary[Pipeline, _Prints] = WeakKeyDictionary()


def header(plan: Plan, corpus: str, recorded: Mapping[str, Any] | None) -> dict[str, Any]:
    """What the manifest says of a run. Without an output, nothing."""
    if plan.sink is None:
        return {}
    foresee(plan.pipeline, plan.stage_ids)
    return {
        "run": plan.run,
        "started": time.time(),
        **describe_run(plan.pipeline, plan.sink, corpus, known=True),
        "strategy": plan.strategy.describe(),
        "choices": dataclasses.asdict(plan.strategy),
        **(recorded or {}),
    }


def describe_run(pipeline: Pipeline, sink: Sink, corpus: str, *, known: bool = False) -> dict[str, Any]:
    """What has to be the same when a run is resumed, for the manifest's header.

    Args:
        pipeline: its stages' names and fingerprints.
        sink: its columns.
        corpus: its name.
        known: take the fingerprints that were found for this pipeline before.
    """
    if not known:
        _known_prints.pop(pipeline, None)
    foresee(pipeline)
    prints, why_not = _known_prints[pipeline]
    return {
        "corpus": _absolute(corpus),
        "stages": [s.name for s in pipeline.stages],
        "fingerprints": prints,
        "unfingerprinted": why_not,
        "columns": [[name, kind] for name, kind, _ in sink.columns],
    }


def foresee(pipeline: Pipeline, known: Sequence[bytes] = ()) -> None:
    """Find the fingerprints that a run's header will ask for, unless they were found for this pipeline before.

    The first take some tenths of a second: each trial of a benchmark would have to bear them, workers to wait for them.

    Args:
        pipeline: whose stages'.
        known: those of its first stages, where the memo has just asked for them. Asked again, a stage may have another:
            to find those of the stages after it has loaded modules, and a package shows what is loaded of it.
    """
    if pipeline not in _known_prints:
        _known_prints[pipeline] = _fingerprints(pipeline, known)


def refuse_other(folder: str, then: dict[str, Any], now: dict[str, Any], *, code: bool = True) -> list[str]:
    """Find out whether two descriptions are of the same run.

    Args:
        folder: for the message.
        then: the manifest's header.
        now: :func:`describe_run` of what is to be done.
        code: other code of a stage is refused; else it is noted.

    Returns:
        What couldn't be checked, a line each.

    Raises:
        OutputError: they aren't the same; the message names the difference.
    """
    for what in ("corpus", "stages", "columns"):
        if what in now and then.get(what, now[what]) != now[what]:
            raise OutputError(
                f"{folder} is the output of another run: its {what} {_are(what)} {_show(then[what])}, "
                f"not {_show(now[what])}. Name the same, or another folder."
            )
    return _compare_code(folder, then, now, refuse=code)


def _compare_code(folder: str, then: dict[str, Any], now: dict[str, Any], *, refuse: bool) -> list[str]:
    notes = []
    before = then.get("fingerprints") or [None] * len(now["stages"])
    for name, old, new in zip(now["stages"], before, now["fingerprints"], strict=True):
        if old is None or new is None:
            why = now["unfingerprinted"].get(name) or "that run recorded no fingerprint"
            notes.append(f"stage {name} is taken for the same by its name alone: {why}")
        elif old != new and refuse:
            raise OutputError(
                f"{folder} can't be resumed: stage {name} has changed since (its code, data that it uses, or the "
                "version of a package). Go back to what it was, or name another folder."
            )
        elif old != new:
            notes.append(
                f"stage {name} has changed since that run: what is replayed is of the code as it is now"
            )
    return notes


def _fingerprints(pipeline: Pipeline, known: Sequence[bytes]) -> _Prints:
    """The stages' fingerprints, those of the first ones as they are known, and why some have none."""
    from dataflow.memo.fingerprint import stage_fingerprint
    from dataflow.memo.keys import Uncacheable

    prints: list[str | None] = [one.hex() for one in known]
    why_not: dict[str, str] = {}
    for stage in pipeline.stages[len(known) :]:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what the memo warns of is said where something is memoized
                prints.append(stage_fingerprint(stage).hex())
        except Uncacheable as error:
            prints.append(None)
            why_not[stage.name] = one_line(error).rstrip(".")
    return prints, why_not


def _absolute(corpus: str) -> str:
    """A corpus's name that means the same in every folder."""
    if "::" in corpus or "<" in corpus or ("://" in corpus and not corpus.startswith("file://")):
        return corpus
    return os.path.abspath(os.path.expanduser(corpus.removeprefix("file://")))


def _are(what: str) -> str:
    return "was" if what == "corpus" else "were"


def _show(value: Any) -> str:
    if isinstance(value, str):
        return value
    return ", ".join(v if isinstance(v, str) else " ".join(v) for v in value)
