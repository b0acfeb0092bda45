"""The clusters' files say what they should, and a size that can't be is refused."""

import sys

import pytest

from dataflow.engine.specs import _quota, check_cluster, cluster_names, load_cluster, usable_cores
from dataflow.errors import ClusterError


def test_the_clusters_are_these():
    assert cluster_names() == ["distributed", "local", "processes", "threads"]


def test_threads_is_one_process_and_processes_have_one_thread():
    threads, processes = load_cluster("threads").resolve(3), load_cluster("processes").resolve(3)
    assert (threads["n_workers"], threads["threads_per_worker"]) == (1, 3)
    assert (processes["n_workers"], processes["threads_per_worker"]) == (3, 1)
    assert load_cluster("processes").resolve(None)["n_workers"] == usable_cores()


def test_every_cluster_stays_on_loopback():
    for name in cluster_names():
        options = load_cluster(name).options
        assert options["host"] == "127.0.0.1"
        assert options["dashboard_address"].startswith("127.0.0.1:")


def test_a_worker_that_dies_twice_in_a_short_while_keeps_its_nanny():
    for name in cluster_names():
        assert load_cluster(name).config["distributed.deploy.lost-worker-timeout"] == "24h"


def test_a_cluster_without_a_size_refuses_one(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("class: distributed.LocalCluster\n")
    with pytest.raises(ClusterError, match="fixed size"):
        check_cluster(str(path), 3)


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/cpu.max": "150000 100000\n"}, 2),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, None),
        (
            {
                "proc/self/cgroup": "1:cpu:/\n",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "400000",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000",
            },
            4,
        ),
        (
            {
                "sys/fs/cgroup/cpuacct,cpu/cpu.cfs_quota_us": "-1",
                "sys/fs/cgroup/cpuacct,cpu/cpu.cfs_period_us": "100000",
            },
            None,
        ),
        ({}, None),
    ],
)
def test_a_control_group_bounds_the_cores(tmp_path, files, cores):
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert _quota(tmp_path) == (cores or sys.maxsize)


def test_cores_are_counted_as_dask_counts_them():
    from dask.system import CPU_COUNT

    assert usable_cores() == CPU_COUNT
