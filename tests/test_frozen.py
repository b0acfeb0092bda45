"""What makes frozen dataclasses fast makes the same ones."""

from __future__ import annotations

import dataclasses
import pickle

import pytest

from dataflow.document import Document, make_document
from dataflow.outcome import Outcome, make_outcome


@pytest.mark.parametrize(
    ("made", "usual"),
    [
        (make_document("a.html", 1, "text/html"), Document("a.html", 1, "text/html")),
        (make_outcome("a", "text/html", 1, "ok"), Outcome("a", "text/html", 1, "ok")),
    ],
)
def test_an_instance_is_the_one_that_its_class_makes(made, usual):
    assert type(made) is type(usual)
    assert made == usual == pickle.loads(pickle.dumps(made))
    assert repr(made) == repr(usual)
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.media_type = "text/plain"


def test_what_is_not_given_is_no_others():
    one, other = make_outcome("a", "text/html", 1, "ok"), make_outcome("b", "text/html", 1, "ok")
    assert one.stage_seconds is not other.stage_seconds
