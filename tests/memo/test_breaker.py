from __future__ import annotations

from dataflow.memo.breaker import Breaker


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def opened(clock: Clock) -> Breaker:
    breaker = Breaker(failures=3, pause_seconds=1, max_pause_seconds=4, clock=clock)
    for _ in range(3):
        assert breaker.allow()
        breaker.failure()
    return breaker


def test_it_opens_after_failures_in_a_row() -> None:
    breaker = opened(Clock())
    assert breaker.is_open
    assert not breaker.allow()
    assert breaker.opened == 1


def test_a_failure_now_and_then_keeps_it_closed() -> None:
    breaker = Breaker(failures=3, clock=Clock())
    for _ in range(100):
        breaker.failure()
        for _ in range(10):
            breaker.success()
    assert breaker.opened == 0


def test_what_fails_one_time_in_five_opens_it_though_never_twice_in_a_row() -> None:
    """As a proxy does that garbles answers: each failure is a time-out for which a worker waits."""
    clock = Clock()
    breaker = Breaker(failures=3, pause_seconds=1, max_pause_seconds=60, clock=clock)
    failed, calls = 0, 0
    while clock.now < 100:
        clock.now += 0.01
        if breaker.allow():
            calls += 1
            if calls % 5 == 0:
                breaker.failure()
                failed += 1
            else:
                breaker.success()
    assert breaker.opened > 1
    assert failed < 25  # and not one in five of ten thousand


def test_it_is_trusted_again_once_successes_have_made_up_for_what_failed() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now = 1.0
    assert breaker.allow()
    breaker.success()
    breaker.failure()
    assert breaker.is_open
    clock.now = 2.99
    assert not breaker.allow()  # for twice as long as before
    clock.now = 3.0
    assert breaker.allow()
    for _ in range(30):
        breaker.success()
    for _ in range(2):
        breaker.failure()
        assert not breaker.is_open
    breaker.failure()
    clock.now = 4.0
    assert breaker.allow()  # after the first pause again


def test_one_try_is_let_through_after_the_pause() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now = 1.0
    assert [breaker.allow(), breaker.allow()] == [True, False]


def test_a_try_that_succeeds_closes_it() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now = 1.0
    assert breaker.allow()
    breaker.success()
    assert [breaker.allow(), breaker.allow()] == [True, True]


def test_each_failed_try_doubles_the_pause_up_to_a_limit() -> None:
    clock = Clock()
    breaker = opened(clock)
    for pause in (1, 2, 4, 4):
        clock.now += pause - 0.01
        assert not breaker.allow()
        clock.now += 0.01
        assert breaker.allow()
        breaker.failure()


def test_a_straggler_that_fails_while_it_is_open_changes_nothing() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now = 0.9
    breaker.failure()
    clock.now = 1.0
    assert breaker.allow()
