"""What each suite must answer: one maker a suite. A suite without one is answered by the general sections."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from dataflow.report.answer import Answer
from dataflow.report.batching import batching
from dataflow.report.parallel import parallel
from dataflow.report.single import single
from dataflow.report.streaming import streaming
from dataflow.report.summary import Arm, Group, groups_of

if TYPE_CHECKING:
    from dataflow.report.results import Results

__all__ = ["answers"]

_MAKERS: Mapping[str, Callable[[Sequence[Arm], Results], list[Answer]]] = {
    "batching": batching,
    "parallel": parallel,
    "single": single,
    "streaming": streaming,
}


def answers(results: Results) -> dict[Group, list[Answer]]:
    """The answers of each group whose suite has some."""
    found = {
        group: _MAKERS[group.suite](arms, results)
        for group, arms in groups_of(results.arms).items()
        if group.suite in _MAKERS
    }
    return {group: made for group, made in found.items() if made}
