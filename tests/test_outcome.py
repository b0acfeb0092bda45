from __future__ import annotations

import pickle

import pytest

from dataflow import Outcome
from dataflow.outcome import Outcomes

SAME = [
    Outcome(
        "a",
        "text/html",
        5,
        "ok",
        seconds=0.5,
        stage_seconds={"read": 0.1, "extract": 0.4},
        position=3,
        batch=2,
    ),
    Outcome(
        "b", "text/plain", None, "ok", seconds=0.2, stage_seconds={"read": 0.1, "extract": 0.1}, position=4
    ),
]
FAILED = Outcome(
    "c", "text/html", 7, "failed", "ValueError", "no", 2, stage_seconds={"read": 0.1}, digest="ab"
)
CACHED = Outcome("d", "text/html", 7, "ok", cache="redis")


@pytest.mark.parametrize("outcomes", [[], SAME, [FAILED], [*SAME, FAILED, CACHED], [CACHED, *SAME]])
def test_columns_give_the_outcomes_that_they_were_made_of_also_in_another_process(
    outcomes: list[Outcome],
) -> None:
    for columns in (Outcomes(outcomes), pickle.loads(pickle.dumps(Outcomes(outcomes)))):
        assert len(columns) == len(outcomes)
        assert list(columns) == list(columns) == outcomes
        assert [columns[place] for place in range(len(outcomes))] == outcomes
        assert list(columns[::-2]) == outcomes[::-2]
        assert list(Outcomes(columns)) == outcomes
        assert columns == Outcomes(outcomes) == outcomes
        assert columns != Outcomes([*outcomes, CACHED])


def test_there_is_none_beyond_the_end() -> None:
    assert Outcomes(SAME)[-1] == SAME[-1]
    with pytest.raises(IndexError):
        Outcomes(SAME)[2]


def test_each_gets_its_own_value_and_none_is_left_over() -> None:
    assert [(o.document, o.value) for o in Outcomes(SAME).with_values([1, [2]])] == [("a", 1), ("b", [2])]
    for values in ([1], [1, 2, 3]):
        with pytest.raises(ValueError, match="for 2 outcomes"):
            Outcomes(SAME).with_values(values)
