"""The same work by other means: a plain loop, Pool, joblib, Dask bag, a Dask task a document, Ray, datatrove.

    python tests/benchmarks/peers.py --arm pool --corpus pages/ --output out/ --workers 2

Each arm reads every document, extracts its text, cuts it in chunks and leaves Parquet files with one row a
document. It is started and warmed first; the time is that of the work alone. datatrove has no warm state: its
processes start with each run, and that is part of its time. Everything an arm does stands in its own class, a
dozen lines each, written as that library's users write it.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import itertools
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from work import (
    ROOT,
    cut,
    digest_of,
    list_files,
    work,
    work_all_chunks,
    work_chunk,
    work_one_chunk,
    write_stream,
)

_WARM_SECONDS = 3.0


class Arm:
    """Something that does the work.

    Args:
        workers: processes.
        chunksize: documents a unit of work, where the arm wants to be told.
    """

    needs: str | None = None
    tuned = False

    def __init__(self, workers: int, chunksize: int) -> None:
        self.workers, self.chunksize = workers, chunksize
        self.stack = contextlib.ExitStack()

    def start(self) -> None:
        """Start processes."""

    def run(self, paths: Sequence[str], output: str) -> None:
        """Do the work."""
        raise NotImplementedError


class Serial(Arm):
    """A plain loop."""

    def run(self, paths: Sequence[str], output: str) -> None:
        """Do the work."""
        write_stream(map(work, paths), output)


class Dataflow(Arm):
    """This project, on its `processes` cluster."""

    def start(self) -> None:
        """Start processes."""
        from dataflow import Pipeline
        from dataflow.engine.clusters import open_cluster
        from workloads.chunking import chunk
        from workloads.extraction import extract

        self.pipeline = Pipeline(extract, chunk)  # which stands at the top of a user's module
        self.cluster = self.stack.enter_context(open_cluster("processes", self.workers))

    def run(self, paths: Sequence[str], output: str) -> None:
        """Do the work."""
        from dataflow import run

        with run(self.pipeline, paths, cluster=self.cluster.client, output=output) as running:
            for _ in running:
                pass


class Pool(Arm):
    """`multiprocessing.Pool`; a chunk is written by the process that did it."""

    tuned = True

    def start(self) -> None:
        """Start processes."""
        import multiprocessing

        self.pool = self.stack.enter_context(multiprocessing.get_context("spawn").Pool(self.workers))

    def run(self, paths: Sequence[str], output: str) -> None:
        """Do the work."""
        jobs = [(chunk, output) for chunk in cut(paths, self.chunksize)]
        for _ in self.pool.imap_unordered(work_one_chunk, jobs):
            pass


class Loops(Pool):
    """As many plain loops side by side as there are workers: nothing is handed out, so this is what the machine gives.

    Each has every so-manieth document, and writes it a few at a time.
    """

    tuned = False

    def run(self, paths: Sequence[str], output: str) -> None:
        """Do the work."""
        shares = [(paths[i :: self.workers], output) for i in range(self.workers)]
        self.pool.map(work_all_chunks, shares, chunksize=1)


class Joblib(Arm):
    """joblib with its own batching; rows come back and are written here."""

    needs = "joblib"

    def start(self) -> None:
        """Start processes."""
        import joblib

        self.parallel = self.stack.enter_context(
            joblib.Parallel(n_jobs=self.workers, return_as="generator_unordered", pre_dispatch="4*n_jobs")
        )

    def run(self, paths: Sequence[str], output: str) -> None:
        """Do the work."""
        import joblib

        write_stream(self.parallel(joblib.delayed(work)(p) for p in paths), output)


class JoblibChunks(Joblib):
    """joblib over chunks of the best size, each written by the process that did it."""

    tuned = True

    def run(self, paths: Sequence[str], output: str) -> None:
        """Do the work."""
        import joblib

        for _ in self.parallel(joblib.delayed(work_chunk)(c, output) for c in cut(paths, self.chunksize)):
            pass


class DaskTasks(Arm):
    """One Dask task a document, `Client.map` and `gather`, on a cluster as Dask opens it."""

    def start(self) -> None:
        """Start processes."""
        from distributed import Client, LocalCluster

        cluster = self.stack.enter_context(
            LocalCluster(n_workers=self.workers, threads_per_worker=1, dashboard_address=None)
        )
        self.client = self.stack.enter_context(Client(cluster))

    def run(self, paths: Sequence[str], output: str) -> None:
        """Do the work."""
        # The key is the function's and its arguments'; `pure=False` keeps a second run from being answered by it.
        write_stream(self.client.gather(self.client.map(work, paths, pure=False)), output)


class DaskBag(DaskTasks):
    """`dask.bag` with partitions of the best size, each written by the worker that did it."""

    tuned = True

    def run(self, paths: Sequence[str], output: str) -> None:
        """Do the work."""
        import dask.bag

        bag = dask.bag.from_sequence(paths, partition_size=self.chunksize)
        bag.map_partitions(_bag_partition, output).compute(scheduler=self.client)


def _bag_partition(paths: Iterable[str], output: str) -> list[int]:
    return [work_chunk(list(paths), output)]


class Ray(Arm):
    """Ray tasks over chunks of the best size, each written by the process that did it."""

    needs = "ray"
    tuned = True

    def start(self) -> None:
        """Start processes."""
        os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"
        os.environ["PYTHONPATH"] = os.pathsep.join(
            [str(Path(__file__).parent), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        )
        import ray

        ray.init(num_cpus=self.workers, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        self.stack.callback(ray.shutdown)
        self.task = ray.remote(work_chunk)

    def run(self, paths: Sequence[str], output: str) -> None:
        """Do the work."""
        import ray

        ray.get([self.task.remote(list(c), output) for c in cut(paths, self.chunksize)])


class Datatrove(Arm):
    """datatrove's local executor: a task a worker, each with its share of the files."""

    needs = "datatrove"

    def run(self, paths: Sequence[str], output: str) -> None:
        """Do the work."""
        from datatrove.executor import LocalPipelineExecutor

        logs = f"{output}-logs"
        LocalPipelineExecutor(
            [DatatroveStep(list(paths), output)], tasks=self.workers, workers=self.workers, logging_dir=logs,
            start_method="spawn",
        ).run()  # fmt: skip


class DatatroveStep:
    """A pipeline step, as datatrove wants one: called with data, rank and world size."""

    def __init__(self, paths: list[str], output: str) -> None:
        self.paths, self.output = paths, output

    def __call__(self, data: Any, rank: int = 0, world_size: int = 1) -> Iterator[Any]:
        """Do this rank's share."""
        write_stream(map(work, self.paths[rank::world_size]), self.output)
        return iter(())


ARMS: dict[str, type[Arm]] = {
    "serial": Serial,
    "loops": Loops,
    "dataflow": Dataflow,
    "pool": Pool,
    "joblib": Joblib,
    "joblib-chunks": JoblibChunks,
    "dask-bag": DaskBag,
    "dask-tasks": DaskTasks,
    "ray": Ray,
    "datatrove": Datatrove,
}


def is_installed(arm: str) -> bool:
    """Whether the package of an arm is there."""
    needs = ARMS[arm].needs
    return needs is None or importlib.util.find_spec(needs) is not None


def measure(arm: str, paths: Sequence[str], output: Path, workers: int, chunksize: int) -> dict[str, Any]:
    """Start an arm, warm it, and time its work.

    Returns:
        ``seconds`` of wall, ``cpu_seconds`` of this process alone, and the output's ``digest``.
    """
    made = ARMS[arm](workers, chunksize)
    with made.stack:
        made.start()
        _warm(made, paths, output)
        rows = str(output / "rows")
        os.mkdir(rows)
        cpu, started = time.process_time(), time.perf_counter()
        made.run(paths, rows)
        seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu
    return {
        "arm": arm,
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "digest": digest_of(rows),
        "chunksize": chunksize,
    }


def run_whole(arm: str, paths: Sequence[str], output: Path, workers: int, chunksize: int) -> None:
    """All that a script of the arm would do, once: start, work, end."""
    made = ARMS[arm](workers, chunksize)
    os.makedirs(output)
    with made.stack:
        made.start()
        made.run(paths, str(output))


def _warm(arm: Arm, paths: Sequence[str], output: Path) -> None:
    """Let every process import what it needs: some documents, in units of one, for a while."""
    some, chunksize = paths[:: max(1, len(paths) // (8 * arm.workers))][: 8 * arm.workers], arm.chunksize
    arm.chunksize, end = 1, time.monotonic() + _WARM_SECONDS
    for number in itertools.count():
        folder = output / f"warm-{number}"
        folder.mkdir(parents=True)
        arm.run(some, str(folder))
        if time.monotonic() > end or isinstance(arm, Serial | Datatrove):
            break
    arm.chunksize = chunksize


def main() -> int:
    """Measure one arm, and print it as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--arm", choices=ARMS, required=True)
    parser.add_argument("--corpus", type=Path, required=True, help="a folder of documents")
    parser.add_argument("--output", type=Path, required=True, help="a new folder")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--chunksize", type=int, default=64)
    parser.add_argument(
        "--whole", action="store_true", help="measure nothing: do the work once, from a cold start"
    )
    given = parser.parse_args()
    if not is_installed(given.arm):
        print(f"{given.arm} is not installed: python -m pip install --group peers", file=sys.stderr)
        return 2
    paths = list_files(given.corpus)
    if given.whole:
        run_whole(given.arm, paths, given.output.absolute(), given.workers, given.chunksize)
        return 0
    print(json.dumps(measure(given.arm, paths, given.output.absolute(), given.workers, given.chunksize)))
    return 0


if __name__ == "__main__":
    # What travels to other processes has to be found by name there, and not in `__main__`.
    import peers

    sys.exit(peers.main())
