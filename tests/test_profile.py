"""What a benchmark saves is what a run is given."""

import pytest

from dataflow import Strategy
from dataflow.document import Document
from dataflow.engine.cost import CostModel
from dataflow.errors import StrategyError
from dataflow.profile import Cost, Profile

PROFILE = Profile(
    strategy=Strategy(cache="redis", batching="fixed:16"),
    cluster="processes",
    workload="batch",
    evidence={"run": "a run", "documents_per_second": 12.5},
    costs={"text/html": Cost(0.002, 1e-6, 5000.0, 40)},
)


def test_a_profile_comes_back_as_it_was_saved(tmp_path):
    path = tmp_path / "profile.yaml"
    path.write_text(PROFILE.dump())
    assert Profile.load(path) == PROFILE
    assert Profile.load(tmp_path) == PROFILE  # the folder of its run will do


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("format: [", "can't be read"),
        ("just words", "can't be read"),
        ("format: 99", "another version"),
        (PROFILE.dump().replace("redis", "radish"), "cache has no level 'radish'"),
        (PROFILE.dump().replace("seconds_a_byte", "nonsense"), "can't be read"),
    ],
)
def test_what_is_no_profile_is_one_clear_line(tmp_path, text, says):
    path = tmp_path / "profile.yaml"
    path.write_text(text)
    with pytest.raises(StrategyError, match=says) as caught:
        Profile.load(path)
    assert "\n" not in str(caught.value)


def test_a_missing_profile_is_one_clear_line(tmp_path):
    with pytest.raises(StrategyError, match="name a profile"):
        Profile.load(tmp_path)


def test_what_was_seen_seeds_the_next_runs_predictions():
    model = CostModel()
    for number in range(200):
        model.see("text/html", 1000 + 50 * number, 0.002 + 1e-6 * (1000 + 50 * number))
    again = CostModel(model.costs())
    for size in (500, 20_000):
        document = Document("x", size, "text/html")
        assert again.predict(document) == pytest.approx(0.002 + 1e-6 * size, rel=0.01)
    assert model.costs()["text/html"].documents == 200


def test_a_seed_that_is_wrong_is_soon_forgotten():
    model = CostModel({"text/html": Cost(1.0, 0.0, 1000.0, 500)})
    for _ in range(300):
        model.see("text/html", 1000, 0.001)
    assert model.predict(Document("x", 1000, "text/html")) < 0.1
