"""Real poison through the real extraction on real worker processes: each is one row, its neighbours don't notice."""

from __future__ import annotations

import pytest

from dataflow import run
from dataflow.engine.clusters import open_cluster
from tests.support import poison
from workloads import mixed

POISON = {
    "bomb.docx": (poison.zip_bomb, "failed", "OversizedDocument"),
    "laughs.docx": (poison.laughing_word, "ok", None),
    "deep.docx": (poison.deep_word, "failed", "DamagedDocument"),
    "million.pdf": (poison.million_pages, "ok", None),
    "parents.pdf": (poison.own_parents, "failed", "DamagedDocument"),
    "deep.html": (poison.deep_page, "ok", None),
    "laughs.eml": (poison.laughing_mail, "ok", None),
    "deep.eml": (poison.deep_mail, "ok", None),
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("poison")
    for number in range(30):
        (folder / f"sound{number:02}.txt").write_text(f"a sound document, number {number}")
    for name, (made, _, _) in POISON.items():
        (folder / f"sound15-{name}").write_bytes(made())
    return str(folder)


@pytest.fixture(scope="module")
def processes():
    with open_cluster("processes", 2) as opened:
        yield opened


@pytest.mark.parametrize("pipeline", [mixed.pipeline, mixed.variants["pages"]], ids=["whole", "pages"])
def test_each_poison_is_one_row_and_its_neighbours_are_ok(processes, corpus, pipeline):
    options = {"batching": "fixed:16", "timeout_seconds": 60.0}
    outcomes = {
        o.document.rpartition("/")[2]: o for o in run(pipeline, corpus, cluster=processes.client, **options)
    }
    assert len(outcomes) == 30 + len(POISON)
    for name, (_, status, error_type) in POISON.items():
        outcome = outcomes.pop(f"sound15-{name}")
        assert (outcome.status, outcome.error_type) == (status, error_type), name
        assert outcome.attempts == 1, name  # it ended nobody's process
        if status == "ok":
            assert outcome.value["characters"] < 100_000, name
    assert {o.status for o in outcomes.values()} == {"ok"}
    assert {o.value["chunks"][0] for o in outcomes.values()} == {
        f"a sound document, number {number}" for number in range(30)
    }
