"""What may be said about the arms in one sentence each: the highest median, and what isn't known."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dataflow.errors import counted
from dataflow.report.numbers import amount, times
from dataflow.report.summary import BASE, BLOCKS_FOR_A_VERDICT, Arm, groups_of

__all__ = ["Advice", "advice"]

_TOLERANCE = 1e-9

#: What each phase asks, in the order of the answers.
_QUESTIONS = {
    "": "Documents seen for the first time",
    "cold": "Documents seen for the first time",
    "clean": "Documents seen for the first time",
    "poison": "With documents among them that end their worker",
    "warm": "The same documents again",
    "churn": "The same documents, a tenth of them changed",
    "content": "After the content of a tenth changed",
    "mtime": "After a tenth was touched",
    "hidden": "After a tenth changed with its size and time put back",
    "tag": "After the tag was invalidated",
    "code": "After the last stage changed",
}


@dataclass(frozen=True)
class Advice:
    """What is known about one group's documents, first seen or seen again.

    Attributes:
        question: which documents it is about.
        arm: the arm with the highest median among those whose results count; ``None`` if there is none.
        finding: the sentence about it.
        caveat: the sentence about what isn't known.
    """

    question: str
    arm: Arm | None
    finding: str
    caveat: str

    @property
    def sentence(self) -> str:
        """All of it on one line."""
        return " ".join(filter(None, (f"{self.question}: {self.finding}", self.caveat)))


def advice(arms: Sequence[Arm]) -> list[Advice]:
    """One advice for each group and kind of phase: cold caches and warm ones answer different questions."""
    given = []
    groups = groups_of(arms)
    for group, members in groups.items():
        where = f" ({group.label})" if len(groups) > 1 else ""
        noise = next((_noise(arm) for arm in members if arm.twin and arm.ratios), "")
        asked: dict[str, list[Arm]] = {}
        for arm in sorted(members, key=_order):
            asked.setdefault(_QUESTIONS.get(arm.phase, f"After {arm.phase}"), []).append(arm)
        given += [_advise(f"{question}{where}", found, noise) for question, found in asked.items()]
    return given


def _order(arm: Arm) -> int:
    phases = list(_QUESTIONS)
    return phases.index(arm.phase) if arm.phase in phases else len(phases)


def _advise(question: str, arms: Sequence[Arm], noise: str) -> Advice:
    best = max(_eligible(arms), key=lambda arm: arm.documents_per_second or 0, default=None)
    if best is None:
        return Advice(question, None, "no strategy can be recommended.", _why_none(arms))
    speed = f"{amount(best.documents_per_second)} documents/s"
    finding = f"{best.strategy} has the highest median, {speed}{_against_base(best)}."
    caveat = " ".join(filter(None, (_caveat(best, arms), noise)))
    return Advice(question, best, finding, caveat)


def _eligible(arms: Iterable[Arm]) -> list[Arm]:
    """Arms whose speed counts: right results, and no fewer documents ok than others manage."""
    right = [arm for arm in arms if not arm.disqualified and not arm.twin and arm.documents_per_second]
    most = max((arm.success_rate or 0 for arm in right), default=0)
    return [arm for arm in right if (arm.success_rate or 0) >= most - _TOLERANCE]


def _against_base(arm: Arm) -> str:
    if arm.ratio is None:
        return ""
    if len(arm.ratios) == 1:
        return f", {times(arm.ratio)} that of {BASE} in the one block that has both"
    low, high = times(min(arm.ratios)), times(max(arm.ratios))
    return f", {times(arm.ratio)} that of {BASE} ({low} to {high} over {counted(len(arm.ratios), 'block')})"


def _caveat(best: Arm, arms: Sequence[Arm]) -> str:
    if len([arm for arm in arms if arm.trials and not arm.twin]) < 2 and best.ratio is None:
        return "Inconclusive: there is nothing to compare it with."
    blocks = best.blocks
    shown = counted(blocks, "block")
    if blocks < BLOCKS_FOR_A_VERDICT:
        return f"Inconclusive: {shown}; at least {BLOCKS_FOR_A_VERDICT} are needed for a verdict."
    return f"Inconclusive: a median over {shown} describes what was seen; no test was made."


def _noise(twin: Arm) -> str:
    """How far base differs from itself: what any other difference has to be held against."""
    seen = " to ".join(dict.fromkeys((times(min(twin.ratios)), times(max(twin.ratios)))))
    return f"Base run twice in each block differed from itself by {seen}."


def _why_none(arms: Sequence[Arm]) -> str:
    if any(arm.disqualified for arm in arms):
        return "Those that ran to their end gave other results than the serial baseline."
    if any(arm.errors for arm in arms):
        return "No trial ran to its end."
    return "No trial says how fast it was."
