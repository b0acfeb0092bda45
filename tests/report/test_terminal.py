from __future__ import annotations

import io

import pytest
from rich.console import Console

from dataflow.errors import ResultsError
from dataflow.measure.tables import ResultsFolder
from dataflow.report import print_summary


def printed(folder, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width)
    print_summary(folder, console)
    return console.file.getvalue()


def test_every_strategy_has_a_line_of_an_ordinary_terminal(synthetic, tmp_path):
    run = synthetic.make_run(tmp_path, blocks=2)
    lines = printed(run).splitlines()
    for strategy, _, _, phase, *_ in synthetic.ARMS:
        name = f"{strategy} · {phase}" if phase else strategy
        assert sum(line.startswith(f" {name} ") for line in lines) == 1, name
    assert max(map(len, lines[: len(synthetic.ARMS) + 4])) <= 80


def test_the_recommendation_is_a_sentence_and_says_what_is_not_known(synthetic, tmp_path):
    text = " ".join(printed(synthetic.make_run(tmp_path, blocks=2)).split())
    assert "The same documents again: cache=lru has the highest median" in text
    assert "Inconclusive: 2 blocks; at least 6 are needed for a verdict." in text


def test_paths_are_printed_whole(synthetic, tmp_path):
    run = synthetic.make_run(tmp_path, blocks=1)
    assert f"  {run / 'trials.parquet'}" in printed(run, width=40).splitlines()


def test_a_disqualified_arm_has_no_ratio_to_be_tempted_by(synthetic, tmp_path):
    run = synthetic.make_run(tmp_path, blocks=2, wrong="pool")
    (line,) = [line for line in printed(run).splitlines() if line.startswith(" pool ")]
    assert "other results" in line
    assert "x " not in line


def test_names_are_no_markup_and_errors_are_told(tmp_path):
    folder = ResultsFolder.create(tmp_path, "w", "c")
    folder.append("trials", [{"trial": 0, "strategy": "[red]x[/red]", "error": "boom [bold]"}])
    folder.save()
    text = printed(folder.path)
    assert "[red]x[/red]" in text
    assert "A trial failed: [red]x[/red]: boom [bold]" in text


def test_a_folder_without_trials_is_a_clear_error(tmp_path):
    with pytest.raises(ResultsError):
        printed(tmp_path)
