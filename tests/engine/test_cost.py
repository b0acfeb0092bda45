import random

import pytest

from dataflow import Document, Outcome
from dataflow.engine.cost import CostModel


def learned(pairs, media_type="text/html", model=None):
    model = model or CostModel()
    for size, seconds in pairs:
        model.learn([Outcome("x", media_type, size, "ok", seconds=seconds)])
    return model


def predicted(model, size, media_type="text/html"):
    return model.predict(Document("x", size, media_type))


def test_before_anything_is_known_a_larger_document_costs_more():
    assert predicted(CostModel(), 10**6) > predicted(CostModel(), 10**3) > 0


def test_a_line_is_learned():
    rng = random.Random(0)
    sizes = [rng.randrange(1000, 100_000) for _ in range(200)]
    model = learned((s, 0.001 + 1e-7 * s) for s in sizes)
    assert predicted(model, 50_000) == pytest.approx(0.006, rel=0.01)


def test_a_large_batch_says_as_much_as_its_documents_do_one_by_one():
    rng = random.Random(0)
    sizes = sorted((rng.randrange(1000, 100_000) for _ in range(2000)), reverse=True)
    model = CostModel()
    model.learn([Outcome("x", "text/html", size, "ok", seconds=0.001 + 1e-7 * size) for size in sizes])
    assert predicted(model, 5_000) == pytest.approx(0.0015, rel=0.01)
    assert predicted(model, 90_000) == pytest.approx(0.010, rel=0.01)
    assert model.costs()["text/html"].documents < 600


def test_sizes_that_say_nothing_give_the_mean():
    rng = random.Random(0)
    model = learned((rng.randrange(1000, 100_000), rng.choice([0.001, 0.003])) for _ in range(2000))
    assert predicted(model, 50_000) == pytest.approx(0.002, rel=0.1)


def test_a_flat_cost_with_one_size_only_is_the_mean():
    assert predicted(learned([(500, 0.004)] * 20), 10**6) == pytest.approx(0.004)


def test_one_outlier_does_not_move_the_prediction_far():
    model = learned([(1000, 0.001)] * 100 + [(1000, 60.0)])
    assert predicted(model, 1000) < 0.0012


def test_a_prediction_is_never_negative():
    model = learned([(1000, 0.010), (100_000, 0.001)] * 20)
    assert predicted(model, 10**9) > 0
    assert predicted(model, 0) > 0


def test_a_drift_is_followed():
    model = learned([(1000, 0.001)] * 1000 + [(1000, 0.004)] * 3000)
    assert predicted(model, 1000) == pytest.approx(0.004, rel=0.1)


def test_a_type_that_was_hardly_seen_takes_the_line_of_all():
    model = learned([(1000, 0.005)] * 50)
    assert predicted(model, 1000, "application/pdf") == pytest.approx(0.005)
    learned([(1000, 0.050)] * 20, "application/pdf", model)
    assert predicted(model, 1000, "application/pdf") == pytest.approx(0.050)
    assert predicted(model, 1000) == pytest.approx(0.005)
