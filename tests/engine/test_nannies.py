"""Which workers are lost for good, and when each was heard of. Real ones are killed elsewhere: `test_run`."""

from types import SimpleNamespace

import pytest

from dataflow.engine import nannies
from dataflow.engine.nannies import Nannies


class Nanny:
    def __init__(self, status="running", address="tcp://one", alive=True, pid=41):
        self.status, self.worker_address = SimpleNamespace(name=status), address
        self.pid, self.closed, self._alive = pid, False, alive

    def is_alive(self):
        return self._alive

    def close(self, timeout):
        self.closed = True


class Cluster:
    """Of one nanny, whose worker the scheduler knows, or not."""

    def __init__(self, nanny, known=("tcp://one",)):
        self.workers, self.scaled, self.worker_spec = {0: nanny}, [], {0: None}
        self.working = [SimpleNamespace(key=("batch-me", 7))]
        worker = SimpleNamespace(last_seen=100.0, processing=self.working)
        self.scheduler = SimpleNamespace(workers=dict.fromkeys(known, worker))

    def sync(self, function, **arguments):
        return function(**arguments)

    def scale(self, count):
        self.scaled.append(count)


@pytest.fixture(autouse=True)
def ended(monkeypatch):
    found = []
    monkeypatch.setattr(nannies, "end_left_by", found.append)
    return found


@pytest.mark.parametrize("long", [False, True])
@pytest.mark.parametrize("status", ["closed", "failed"])
def test_one_that_gave_up_is_replaced_at_once(status, long, ended):
    nanny = Nanny(status, alive=False)
    cluster = Cluster(nanny)
    Nannies(cluster).revive(long)
    assert (cluster.workers, cluster.scaled, ended) == ({}, [1], [41])


@pytest.mark.parametrize(
    "nanny", [Nanny(alive=False), Nanny("running", "tcp://gone"), Nanny("closing_gracefully", "tcp://gone")]
)
def test_one_whose_worker_has_gone_or_taken_its_leave_is_replaced_after_a_while(nanny):
    cluster = Cluster(nanny)
    Nannies(cluster).revive(long=False)
    assert cluster.workers == {0: nanny}
    Nannies(cluster).revive(long=True)
    assert (cluster.workers, cluster.scaled, nanny.closed) == ({}, [1], True)


@pytest.mark.parametrize("nanny", [Nanny(), Nanny("starting", None), Nanny("starting", "tcp://old")])
def test_one_whose_worker_is_there_or_is_just_started_is_left_alone(nanny):
    cluster = Cluster(nanny)
    Nannies(cluster).revive(long=True)
    assert (cluster.workers, cluster.scaled) == ({0: nanny}, [])


@pytest.mark.parametrize(("returncode", "replaced"), [(None, False), (-9, True)])
def test_one_that_is_a_process_of_its_own_is_replaced_when_it_was_killed(returncode, replaced):
    nanny = SimpleNamespace(process=SimpleNamespace(returncode=returncode), close=lambda timeout: None)
    cluster = Cluster(nanny)
    Nannies(cluster).revive(long=False)
    assert (cluster.workers, cluster.scaled) == (({}, [1]) if replaced else ({0: nanny}, []))


def test_workers_are_heard_of_by_their_processes():
    assert Nannies(Cluster(Nanny())).heard("me") == {41: 100.0}
    assert Nannies(Cluster(Nanny(address="tcp://gone"))).heard("me") == {}
    assert Nannies(Cluster(Nanny(pid=None))).heard("me") == {}


@pytest.mark.parametrize("others", [[("batch-you", 7)], ["sum-1"], [("batch-me", 7), ("batch-you", 7)], []])
def test_a_worker_with_nothing_to_do_or_with_others_work_is_not_watched(others):
    cluster = Cluster(Nanny())
    cluster.working[:] = [SimpleNamespace(key=key) for key in others]
    assert Nannies(cluster).heard("me") == {}


@pytest.mark.parametrize("cluster", [None, SimpleNamespace(), SimpleNamespace(scheduler=None, workers={})])
def test_a_cluster_elsewhere_says_nothing(cluster):
    Nannies(cluster).revive(long=True)
    assert Nannies(cluster).heard("me") == {}
