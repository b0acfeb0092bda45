from __future__ import annotations

import os

import pytest

from dataflow.measure.resources import (
    Sample,
    Sampler,
    Seen,
    growth_bytes,
    last_evicted,
    look_at,
    peak_bytes,
    peak_used_bytes,
    used_cpu_seconds,
)


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def test_samples_are_relative_to_the_start_and_to_the_sample_before():
    clock, looks = Clock(), iter([(5.0, 10), (5.5, 30), (6.5, 20)])
    sampler = Sampler({("worker-0", 7): lambda: next(looks)}, interval_seconds=3600, clock=clock)
    sampler.start()
    clock.now += 1
    sampler.look()
    clock.now += 1
    assert sampler.stop() == [
        Sample(0.0, "worker-0", 7, None, 0.0, 10),
        Sample(1.0, "worker-0", 7, 50.0, 0.5, 30),
        Sample(2.0, "worker-0", 7, 100.0, 1.5, 20),
    ]


def test_a_process_that_ends_keeps_the_samples_it_has_and_disturbs_no_other():
    answers = {"a": iter([(0.0, 1)]), "b": iter([(0.0, 1), (1.0, 1), (2.0, 1)])}
    clock = Clock()
    looks = {(n, i): lambda n=n: next(answers[n]) for i, n in enumerate(answers)}
    sampler = Sampler(looks, interval_seconds=3600, clock=clock)
    sampler.start()
    sampler.look()
    samples = sampler.stop()
    assert [s.process for s in samples] == ["a", "b", "b", "b"]


def test_the_thread_looks_by_itself():
    import threading

    looked, seen = threading.Event(), []

    def look():
        seen.append(1)
        if len(seen) >= 3:
            looked.set()
        return 0.0, 1

    sampler = Sampler({("driver", 1): look}, interval_seconds=0.001)
    sampler.start()
    assert looked.wait(30)
    assert len(sampler.stop()) >= 4


def test_a_look_at_a_real_process_sees_its_cpu_and_memory():
    look = look_at(os.getpid())
    before, rss = look()
    sum(i * i for i in range(2_000_000))
    after, _ = look()
    assert after > before
    assert rss > 1_000_000


def test_cpu_is_added_up_over_processes_and_the_server_is_not_the_runs_own():
    samples = [
        Sample(0.0, "driver", 1, None, 0.0, 1),
        Sample(1.0, "driver", 1, 50.0, 0.5, 1),
        Sample(1.0, "worker-0", 2, 100.0, 2.0, 1),
        Sample(1.0, "redis", 3, 100.0, 9.0, 1),
    ]
    assert used_cpu_seconds(samples) == pytest.approx(2.5)


def test_growth_is_the_peak_above_what_each_process_began_with():
    samples = [
        Sample(0.0, "driver", 1, None, 0, 100),
        Sample(0.1, "worker-0", 2, None, 0, 50),
        Sample(0.2, "driver", 1, None, 0, 130),
        Sample(0.3, "worker-0", 2, None, 0, 40),
    ]
    assert growth_bytes(samples, lambda process: True) == 30
    assert growth_bytes(samples, lambda process: process == "worker-0") == 0
    assert growth_bytes(samples, lambda process: process == "redis") is None


def test_the_peak_is_the_largest_sum_at_one_time():
    samples = [
        Sample(0.0, "worker-0", 1, None, 0.0, 100),
        Sample(0.1, "worker-1", 2, None, 0.0, 10),
        Sample(1.0, "worker-0", 1, None, 0.0, 10),
        Sample(1.1, "worker-1", 2, None, 0.0, 95),
        Sample(1.1, "redis", 3, None, 0.0, 5000),
    ]
    assert peak_bytes(samples, lambda name: name != "redis") == 110
    assert peak_bytes(samples, lambda name: name == "redis") == 5000
    assert peak_bytes(samples, lambda name: name == "pool-0") is None


def test_a_server_tells_more_of_its_memory_than_other_processes():
    sampler = Sampler({("redis", 3): lambda: Seen(1.0, 10, 8, 2, 1.25)}, interval_seconds=3600)
    sampler.start()
    samples = [Sample(0.0, "driver", 1, None, 0.0, 1), *sampler.stop()]
    assert {(s.used_memory_bytes, s.evicted_keys, s.fragmentation_ratio) for s in samples[1:]} == {
        (8, 2, 1.25)
    }
    assert (peak_used_bytes(samples), last_evicted(samples)) == (8, 2)
    assert (peak_used_bytes(samples[:1]), last_evicted(samples[:1])) == (None, None)
