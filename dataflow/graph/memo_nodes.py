"""What runs in the place of a task: look up, else compute and store. Never raises what the task doesn't."""

from __future__ import annotations

import time
from typing import Any

from dataflow.graph.contents import content
from dataflow.memo.base import Counters, Entry, Found
from dataflow.memo.keys import Key, Uncacheable, digest, encode, memo_key, tagged
from dataflow.memo.spec import MemoSpec, open_memo

__all__ = ["MemoNode", "PlainNode", "node_counters"]

_counters = Counters()
_NAMES = ("hits", "misses", "uncacheable", "compute_seconds", "compute_seconds_saved")


def node_counters() -> dict[str, float]:
    """What the memo nodes of this process did so far; every number only ever grows.

    ``hits`` and ``misses`` of nodes; ``uncacheable``, tasks that ran plainly since they have no key;
    ``compute_seconds`` spent and ``compute_seconds_saved``. On a cluster: ``client.run(node_counters)``.
    """
    return {**dict.fromkeys(_NAMES, 0.0), **_counters.snapshot()}


class MemoNode:
    """A task that is looked up before it is run; called with the results that it waits for.

    Args:
        task: the task as it was.
        inputs: keys of what it waits for, in the order of the call's arguments.
        template: see :class:`dataflow.graph.describe.Described`.
        derived: for each input, a key that follows from the graph alone; ``None`` where there is none. It
            stands for a result whose content can't be told, such as an iterator or a model.
        spec: the memo.
    """

    __slots__ = ("__name__", "derived", "inputs", "spec", "task", "template")

    def __init__(
        self,
        task: Any,
        inputs: tuple[Any, ...],
        template: bytes,
        derived: tuple[bytes | None, ...],
        spec: MemoSpec,
    ) -> None:
        self.task, self.inputs, self.template, self.derived, self.spec = task, inputs, template, derived, spec
        self.__name__ = f"memo({name_of(task)})"

    def __call__(self, *results: Any) -> Any:
        """The task's value, from the memo or from the task."""
        try:
            key = self.key(results)
        except Uncacheable:
            _counters.add({"uncacheable": 1})
            return self._run(results)
        memo = open_memo(self.spec)
        (answer,) = memo.lookup([key])
        if isinstance(answer, Found):
            _counters.add({"hits": 1, "compute_seconds_saved": answer.compute_seconds})
            return answer.value
        start = time.perf_counter()
        value = self._run(results)
        seconds = time.perf_counter() - start
        _counters.add({"misses": 1, "compute_seconds": seconds})
        memo.store([Entry(key, value, seconds)])
        return value

    def key(self, results: tuple[Any, ...]) -> Key:
        """The key of what the task makes of these results.

        Raises:
            Uncacheable: a result has neither a content nor a derived key.
        """
        parts = [_part(result, known) for result, known in zip(results, self.derived, strict=True)]
        return memo_key((self.template,), "dask task", digest(b"".join(parts)))

    def _run(self, results: tuple[Any, ...]) -> Any:
        return self.task(dict(zip(self.inputs, results, strict=True)))

    def __dask_tokenize__(self) -> object:
        return ("MemoNode", self.template, self.derived, self.inputs, repr(self.spec))

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
