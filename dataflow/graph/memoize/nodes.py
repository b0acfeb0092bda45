"""What runs in the place of a task: look up, else compute and store. Never raises what the task doesn't."""

from __future__ import annotations

import os
import time
from typing import Any

from dataflow.graph.memoize.contents import content
from dataflow.graph.memoize.describe import Described, is_unchanged
from dataflow.graph.memoize.worth import Spent, Worth, worth_of
from dataflow.memo.base import LOST, WON, Claim, Counters, Entry, Found, Missed, tapped
from dataflow.memo.chain import marks
from dataflow.memo.keys import Key, Uncacheable, digest, encode, memo_key, tagged
from dataflow.memo.spec import MemoSpec, open_memo

__all__ = ["MemoNode", "PlainNode", "node_counters"]

_counters = Counters()
_NAMES = ("hits", "misses", "uncacheable", "bypassed", "changed", "compute_seconds", "compute_seconds_saved")


def node_counters() -> dict[str, float]:
    """What the memo nodes of this process did so far; every number only ever grows.

    ``hits`` and ``misses`` of nodes; ``uncacheable``, tasks that have no key or whose value can't be kept;
    ``bypassed``, tasks too cheap to be looked up; ``changed``, tasks whose arguments or code aren't any more what
    they were when ``memoize`` was called; ``compute_seconds`` of misses and ``compute_seconds_saved``.
    On a cluster: ``client.run(node_counters)``.
    """
    return {**dict.fromkeys(_NAMES, 0.0), **_counters.snapshot()}


class MemoNode:
    """A task that is looked up before it is run; called with the results that it waits for.

    Args:
        task: the task as it was.
        described: see :class:`dataflow.graph.memoize.describe.Described`.
        derived: for each input, a key that follows from the graph alone; ``None`` where there is none. It
            stands for a result whose content can't be told, such as an iterator or a model.
        spec: the memo.
        names: of the functions that run in it: what its value is marked with, and its worth is learnt by.
    """

    __slots__ = ("__name__", "derived", "described", "home", "inputs", "label", "marks", "spec", "task")

    def __init__(
        self,
        task: Any,
        described: Described,
        derived: tuple[bytes | None, ...],
        spec: MemoSpec,
        names: tuple[str, ...],
    ) -> None:
        self.task, self.derived, self.spec = task, derived, spec
        self.described, self.inputs, self.home = described, described.inputs, os.getpid()
        self.label, self.marks = " ".join(names), marks(names)
        self.__name__ = f"memo({name_of(task)})"

    def __call__(self, *results: Any) -> Any:
        """The task's value, from the memo or from the task."""
        worth = worth_of(self.spec)
        if worth.asks(self.label):
            start = time.perf_counter()
            if not is_unchanged(self.task, self.described, self.home == os.getpid()):
                # Neither asked for nor kept: the key says what it was when it was described.
                _counters.add({"changed": 1})
                return self._run(results)
            try:
                key = self.key(results)
            except Uncacheable:
                _counters.add({"uncacheable": 1})
            else:
                value = self._recalled(key, results, worth, start)
                worth.share(self.label, open_memo(self.spec))
                return value
        else:
            _counters.add({"bypassed": 1})
        start = time.perf_counter()
        value = self._run(results)
        worth.ran(self.label, time.perf_counter() - start)
        return value

    def _recalled(self, key: Key, results: tuple[Any, ...], worth: Worth, start: float) -> Any:
        memo = open_memo(self.spec)
        (answer,) = memo.lookup([key])
        seconds = time.perf_counter() - start
        epoch = b"" if isinstance(answer, Found) else answer.epoch
        claimed = False
        if not isinstance(answer, Found) and self.spec.leases and worth.claims(self.label):
            claim: Found | Missed | Claim
            (claim,) = memo.claim([key])
            if claim is LOST:
                (claim,) = memo.wait([key])
            claimed = claim is WON
            if isinstance(claim, Found):
                answer = claim
        if isinstance(answer, Found):
            _counters.add({"hits": 1, "compute_seconds_saved": answer.compute_seconds})
            worth.asked(self.label, Spent(answer.compute_seconds, seconds))
            return answer.value
        try:
            return self._computed(key, epoch, results, worth, seconds)
        finally:
            # Whatever comes of it: who waits for the value must not wait for nothing.
            if claimed:
                memo.release([key])

    def _computed(self, key: Key, epoch: bytes, results: tuple[Any, ...], worth: Worth, lookup: float) -> Any:
        start = time.perf_counter()
        value = self._run(results)
        end = time.perf_counter()
        with tapped() as numbers:
            open_memo(self.spec).store([Entry(key, value, end - start, epoch, marks=self.marks)])
        kept = not numbers.get("uncacheable")
        _counters.add({"misses" if kept else "uncacheable": 1, "compute_seconds": end - start})
        worth.asked(self.label, Spent(end - start, lookup, time.perf_counter() - end, kept))
        return value

    def key(self, results: tuple[Any, ...]) -> Key:
        """The key of what the task makes of these results.

        Raises:
            Uncacheable: a result has neither a content nor a derived key.
        """
        parts = [_part(result, known) for result, known in zip(results, self.derived, strict=True)]
        return memo_key((self.described.template,), "dask task", digest(b"".join(parts)))

    def _run(self, results: tuple[Any, ...]) -> Any:
        return self.task(dict(zip(self.inputs, results, strict=True)))

    def __dask_tokenize__(self) -> object:
        return ("MemoNode", self.described.template, self.derived, self.inputs, repr(self.spec))

    def __repr__(self) -> str:
        return self.__name__


class PlainNode:
    """A task that can't be keyed; it runs as it was, and is counted. ``reason`` says why."""

    __slots__ = ("__name__", "inputs", "reason", "task")

    def __init__(self, task: Any, inputs: tuple[Any, ...], reason: str) -> None:
        self.task, self.inputs, self.reason = task, inputs, reason
        self.__name__ = name_of(task)

    def __call__(self, *results: Any) -> Any:
        """The task's value."""
        _counters.add({"uncacheable": 1})
        return self.task(dict(zip(self.inputs, results, strict=True)))

    def __repr__(self) -> str:
        return self.__name__


def name_of(task: Any) -> str:
    """The name of a task's function."""
    function = getattr(task, "func", task)
    return str(getattr(function, "__name__", type(function).__name__))


def _part(result: object, derived: bytes | None) -> bytes:
    try:
        return tagged(b"result", digest(content(result)))
    except Uncacheable:
        if derived is None:
            raise
        return tagged(b"derived", encode(derived))
