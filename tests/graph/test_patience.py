import errno

import pytest

from dataflow.graph.patience import is_passing, patiently


class Action:
    """Fails so often, with an error of that kind."""

    def __init__(self, failures, error):
        self.left, self.error, self.calls = failures, error, 0

    def __call__(self):
        self.calls += 1
        if self.calls <= self.left:
            raise self.error
        return "done"


def test_an_error_that_passes_is_nobodys_failure():
    action, pauses = Action(2, OSError(errno.EIO, "hiccup")), []
    assert patiently(action, pauses.append) == "done"
    assert len(pauses) == 2
    assert pauses == sorted(pauses)


def test_an_error_that_does_not_pass_is_raised_after_three_attempts():
    action = Action(9, OSError(errno.ESTALE, "gone"))
    with pytest.raises(OSError, match="gone"):
        patiently(action, lambda _: None)
    assert action.calls == 3


@pytest.mark.parametrize(
    "error",
    [FileNotFoundError(2, "none"), PermissionError(13, "no"), OSError(errno.ENOSPC, "full"), ValueError()],
)
def test_what_is_missing_forbidden_full_or_wrong_is_not_tried_again(error):
    action = Action(1, error)
    with pytest.raises(type(error)):
        patiently(action, lambda _: None)
    assert action.calls == 1


def test_a_server_that_is_busy_may_be_asked_again():
    busy = Exception("too many requests")
    busy.status = 429
    assert is_passing(busy)
    assert is_passing(ConnectionResetError())
    assert not is_passing(OSError("no number"))
