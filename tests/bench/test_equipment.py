from __future__ import annotations

import dataclasses

import pytest

from dataflow.bench import equipment as module
from dataflow.bench.equipment import Equipment, open_equipment
from dataflow.bench.suites import suite_arms
from dataflow.engine.specs import load_cluster
from dataflow.errors import CacheError

ARMS = suite_arms("quick")[1]


class Client:
    def __init__(self, workers):
        self.workers = workers

    def nthreads(self):
        return {f"worker {i}": 1 for i in range(self.workers)}


@pytest.fixture
def opened(monkeypatch):
    """Clusters that are opened by name alone; those not ``local`` are on other machines."""
    import contextlib

    from dataflow.engine.clusters import OpenCluster

    names: list[str] = []

    @contextlib.contextmanager
    def open_cluster(name, workers=None):
        names.append(name)
        try:
            yield OpenCluster(Client(workers or 3), name, f"http://{name}/status", local="://" not in name)
        finally:
            names.append(f"closed {name}")

    monkeypatch.setattr(module, "open_cluster", open_cluster)
    return names


def describe(name):
    return dataclasses.replace(load_cluster(name), name="", description="")


def test_each_cluster_is_opened_once_and_closed_at_the_end(workload, opened):
    said: list[str] = []
    with open_equipment(workload, ARMS, "distributed", 2, None, said.append) as equipment:
        assert opened == ["distributed", "threads", "processes"]
        assert set(equipment.startup_seconds) == {"distributed", "threads", "processes"}
        assert equipment.pool.count == 2
        assert equipment.redis is not None
    assert opened[3:] == ["closed processes", "closed threads", "closed distributed"]
    assert any("dashboard at http://distributed/status" in text for text in said)


def test_a_cluster_that_is_the_given_one_under_another_name_is_not_opened_twice(workload, opened):
    assert describe("local") == describe("processes")
    said: list[str] = []
    with open_equipment(workload, ARMS, "local", 2, None, said.append) as equipment:
        assert opened == ["local", "threads"]
        assert equipment.clusters["processes"].client is equipment.clusters["given"].client
        assert equipment.clusters["processes"].name == "processes"
    assert any("isn't opened twice" in text for text in said)


def test_workers_on_other_machines_get_no_embedded_server_and_that_is_said(workload, opened, monkeypatch):
    monkeypatch.delenv("REDIS_URL", raising=False)
    said: list[str] = []
    with open_equipment(workload, ARMS, "tcp://elsewhere:8786", None, None, said.append) as equipment:
        assert equipment.redis is None
        assert equipment.notes
    assert any("REDIS_URL" in text for text in said)


def test_a_server_that_the_user_named_is_missed_before_any_cluster_is_opened(workload, opened, monkeypatch):
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1")
    with (
        pytest.raises(CacheError),
        open_equipment(workload, ARMS, "local", 1, None, lambda text: None),
    ):
        pass
    assert opened == []


def test_clusters_are_closed_when_the_experiment_fails(workload, opened):
    with (
        pytest.raises(ZeroDivisionError),
        open_equipment(workload, ARMS, "local", 1, None, lambda text: None),
    ):
        _ = 1 / 0
    assert opened == ["local", "threads", "closed threads", "closed local"]


def test_a_run_says_what_it_ran_on_without_the_servers_password(workload, opened):
    from dataflow.memo.server import ServerHandle

    equipment = Equipment(serial=None, pool=type("Pool", (), {"count": 2}))
    equipment.redis = ServerHandle("redis://:hunter2@host", "redis://:***@host", "9.0", None)
    assert "hunter2" not in str(equipment.describe())
    assert equipment.describe()["redis"] == {
        "server": "redis://:***@host",
        "version": "9.0",
        "embedded": False,
    }
