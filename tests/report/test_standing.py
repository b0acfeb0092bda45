from __future__ import annotations

import random

import pytest

from dataflow.report.standing import BEST, INCONCLUSIVE, INDISTINGUISHABLE, SLOWER, standings


def speeds(blocks=8, noise=0.02, seed=1, **means):
    chance = random.Random(seed)
    return {name: {b: mean * chance.gauss(1, noise) for b in range(blocks)} for name, mean in means.items()}


def verdicts(found):
    return {s.name: s.verdict for s in found}


def test_what_is_clearly_slower_is_told_from_the_best_and_what_is_equal_is_not():
    found = standings(speeds(one=100, same=100.2, slow=80))
    assert found[0].verdict == BEST
    assert sorted(verdicts(found).values()) == sorted([BEST, INDISTINGUISHABLE, SLOWER])
    assert verdicts(found)["slow"] == SLOWER


def test_five_blocks_can_tell_nothing_however_large_the_difference():
    assert verdicts(standings(speeds(blocks=5, one=100, slow=1))) == {"one": BEST, "slow": INCONCLUSIVE}


def test_a_machine_that_is_slow_for_a_whole_block_changes_nothing():
    plain = speeds(one=100, slow=90)
    shaken = {n: {b: v * (0.3 if b % 2 else 1.0) for b, v in found.items()} for n, found in plain.items()}
    assert verdicts(standings(plain)) == verdicts(standings(shaken))


def test_equal_arms_are_seldom_called_slower_however_many_there_are():
    names = [f"arm{i}" for i in range(8)]
    wrong = 0
    for seed in range(60):
        found = standings(speeds(blocks=7, noise=0.05, seed=seed, **dict.fromkeys(names, 100)))
        wrong += any(s.verdict == SLOWER for s in found)
    # The best is picked from the same blocks, which costs something beyond the nominal 5%.
    assert wrong <= 18


def test_only_blocks_that_all_have_are_compared():
    uneven = {"one": {0: 10.0, 1: 10.0}, "other": {1: 5.0}}
    assert [s.ratios for s in standings(uneven)] == [(1.0,), (pytest.approx(0.5),)]
    assert {s.verdict for s in standings({"one": {0: 1.0}, "other": {1: 1.0}})} == {INCONCLUSIVE}


def test_of_nothing_nothing_is_said():
    assert standings({}) == []
    assert verdicts(standings({"one": {0: 3.0}})) == {"one": BEST}
