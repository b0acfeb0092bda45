"""Suite batching: which batch sizes can be told from the best, and what a document costs its batch that kills."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dataflow.errors import StrategyError, counted
from dataflow.report.answer import Answer, Number, by_block, number, span
from dataflow.report.numbers import NOTHING, amount, seconds, times, whole
from dataflow.report.standing import (
    BEST,
    INCONCLUSIVE,
    INDISTINGUISHABLE,
    SLOWER,
    Standing,
    standings,
)
from dataflow.report.summary import BLOCKS_FOR_A_VERDICT, Arm
from dataflow.strategy import Strategy

if TYPE_CHECKING:
    from dataflow.report.results import Results

__all__ = ["batching"]


def batching(arms: Sequence[Arm], results: Results) -> list[Answer]:
    """The set of batch sizes on clean documents, then the losses by poison."""
    engines = [a for a in arms if a.trials and not a.twin and a.factor != "baseline"]
    clean = {_level(a): a for a in engines if a.phase == "clean"}
    poison = [a for a in engines if a.phase == "poison"]
    return [found for found in (_sizes(clean), _losses(poison)) if found.rows]


def _sizes(arms: dict[str, Arm]) -> Answer:
    speeds = {
        level: found
        for level, arm in arms.items()
        if not arm.disqualified and (found := by_block(arm, "documents_per_second"))
    }
    rows, numbers = [], []
    standing_of = standings(speeds)
    for standing in standing_of:
        arm = arms[standing.name]
        ratio = Number(arm, "to_best", "ratio", standing.ratios, standing.verdict)
        speed = number(arm, "documents_per_second", "documents/second")
        batch = number(arm, "batch_documents_mean", "documents")
        numbers += [ratio, speed, batch]
        rows.append([
            standing.name, amount(batch.value), amount(speed.value), times(ratio.value), span(ratio.values),
            standing.verdict,
        ])  # fmt: skip
    return Answer(
        "Batch sizes on clean documents",
        "Each against the best in the same block. Slower: a test over the blocks says so, for all sizes together. "
        f"Inconclusive: fewer than {BLOCKS_FOR_A_VERDICT} blocks can't say anything.",
        ("batching", "docs a batch", "docs/s", "to best", "min-max", "verdict"),
        rows,
        _size_sentences(standing_of),
        numbers,
    )


def _size_sentences(found: Sequence[Standing]) -> list[str]:
    if not found:
        return []
    by_verdict = {
        v: [s.name for s in found if s.verdict == v] for v in (INDISTINGUISHABLE, INCONCLUSIVE, SLOWER)
    }
    best, blocks = found[0], counted(len(found[0].ratios), "block")
    if best.verdict != BEST:
        return ["No block has all batch sizes, so none can be compared."]
    same, unknown, slower = by_verdict.values()
    said = [f"The highest median has {best.name}."]
    if unknown:
        said = [
            f"The highest mean has {best.name}; over {blocks} nothing can be told from it: at least "
            f"{BLOCKS_FOR_A_VERDICT} are needed (inconclusive: {', '.join(unknown)})."
        ]
    else:
        others = f" are {', '.join(same)}" if same else " is nothing"
        said = [f"Over {blocks}, {best.name} is the best; indistinguishable from it{others}."]
    if slower:
        said.append(f"Slower: {', '.join(slower)}.")
    return said


def _losses(arms: Sequence[Arm]) -> Answer:
    numbers, rows = [], []
    for arm in sorted(arms, key=lambda a: (_rule(a), _column(a, "errors"))):
        lost = number(arm, "lost", "documents")
        poison = number(arm, "poison", "documents")
        took = number(arm, "wall_seconds", "seconds")
        numbers += [lost, poison, took]
        name = _level(arm) + (" (other results)" if arm.disqualified else "")
        rows.append([
            name, _column(arm, "errors"), whole(poison.value), whole(lost.value),
            whole(arm.median("quarantined")), seconds(took.value),
        ])  # fmt: skip
    return Answer(
        "Documents lost to poison",
        "Poison ends the worker that works on it. Lost: quarantined although the plain loop gets through them; with "
        "errors=skip, those are all that the worker had, in the same batch and in others that waited on it.",
        ("batching", "errors", "poison", "lost", "quarantined", "time"),
        rows,
        _loss_sentences(numbers),
        numbers,
    )


def _loss_sentences(numbers: Sequence[Number]) -> list[str]:
    by_errors: dict[str, list[Number]] = {}
    for lost in (n for n in numbers if n.measure == "lost" and n.value is not None):
        by_errors.setdefault(_column(lost.arm, "errors"), []).append(lost)
    said = []
    for errors, found in sorted(by_errors.items()):
        least = min(found, key=lambda n: n.value or 0)
        most = max(found, key=lambda n: n.value or 0)
        if not most.value:
            said.append(f"errors={errors} loses no document with any batch size.")
        else:
            said.append(
                f"errors={errors} loses {whole(least.value)} documents with {_level(least.arm)} and "
                f"{whole(most.value)} with {_level(most.arm)}."
            )
    return said


def _rule(arm: Arm) -> tuple[str, int]:
    """Kind and size of the batches, so that 4 comes before 16."""
    try:
        return Strategy(batching=_level(arm)).batch_rule
    except StrategyError:  # a level of another version
        return _level(arm), 0


def _level(arm: Arm) -> str:
    return _column(arm, "batching")


def _column(arm: Arm, name: str) -> str:
    return str(next((row[name] for row in arm.trials if row.get(name)), NOTHING))
