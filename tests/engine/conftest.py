import psutil
import pytest
import yaml

from dataflow.engine.clusters import open_cluster
from dataflow.engine.specs import load_cluster


@pytest.fixture(scope="session", params=["processes", "threads"])
def either(request):
    """A cluster that stays open for all tests that ask for it."""
    with open_cluster(request.param, 2) as opened:
        yield opened


@pytest.fixture(scope="session")
def of_processes():
    """Likewise."""
    with open_cluster("processes", 2) as opened:
        yield opened


@pytest.fixture
def cluster(either):
    """An open cluster of two slots."""
    return whole(either)


@pytest.fixture
def processes(of_processes):
    """An open cluster of two worker processes."""
    return whole(of_processes)


def whole(opened):
    """A cluster as it was opened: an earlier test may have ended a worker, which is back soon or has to be replaced."""
    workers = len(opened.client.cluster.worker_spec)
    for _ in range(10):
        try:
            opened.client.wait_for_workers(workers, timeout=10)
            return opened
        except TimeoutError:
            opened.own.revive(long=True)
    raise AssertionError("a worker of the cluster that the tests share doesn't come back")


@pytest.fixture
def changed(tmp_path):
    """Writes a cluster's file like that of ``processes``, with other options."""

    def write(**options):
        spec = load_cluster("processes")
        described = {
            "class": spec.class_path,
            "options": {**spec.options, **options},
            "config": dict(spec.config),
        }
        path = tmp_path / "mine.yaml"
        path.write_text(yaml.safe_dump(described))
        return path

    return write


@pytest.fixture
def all_end():
    """Waits until processes have ended, by their numbers; those that don't are killed, and the test fails."""

    def wait(numbers):
        alive = [psutil.Process(number) for number in map(int, numbers) if psutil.pid_exists(number)]
        _, left = psutil.wait_procs(alive, timeout=20)
        for one in left:
            one.kill()
        assert not left

    return wait
