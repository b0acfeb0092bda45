import pytest

from dataflow.engine.clusters import open_cluster


@pytest.fixture(scope="session", params=["processes", "threads"])
def cluster(request):
    """An open cluster of two slots."""
    with open_cluster(request.param, 2) as opened:
        yield opened


@pytest.fixture(scope="session")
def processes():
    """An open cluster of two worker processes."""
    with open_cluster("processes", 2) as opened:
        yield opened
