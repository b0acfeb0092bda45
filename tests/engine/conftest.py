import pytest
import yaml

from dataflow.engine.clusters import open_cluster
from dataflow.engine.specs import load_cluster


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
