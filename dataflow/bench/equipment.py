"""What trials run on, opened once and kept warm: clusters, a Redis server, the baselines' processes."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dataflow.bench.baselines import Processes
from dataflow.bench.suites import ENGINE, GIVEN, INLINE, SERVED, Arm
from dataflow.engine.clusters import OpenCluster, open_cluster
from dataflow.engine.specs import ClusterSpec, load_cluster, usable_cores
from dataflow.errors import CacheError, counted, one_line
from dataflow.strategy import Strategy
from dataflow.workload import Workload

if TYPE_CHECKING:
    from dataflow.memo.server import ServerHandle

__all__ = ["Equipment", "open_equipment", "same_cluster", "sizes_of"]

_TIMES = " x "  # stands in a place between cluster and size


@dataclass
class Equipment:
    """Everything that is open.

    Attributes:
        clusters: by the place that arms name.
        startup_seconds: of each cluster, by its own name.
        workers: of each cluster when it was opened, by its place.
        redis: the server; ``None`` where no arm needs one or there is none.
        serial: the process of the plain loop.
        pool: the processes of the pool.
        notes: what had to be left out, and why.
        visits: what is opened for one trial at a time, by place: cluster and size. Idle workers cost some CPU
            each, so that many of them would slow the trial that they wait for.
    """

    serial: Processes
    pool: Processes
    clusters: dict[str, OpenCluster] = field(default_factory=dict)
    startup_seconds: dict[str, float] = field(default_factory=dict)
    workers: dict[str, int] = field(default_factory=dict)
    redis: ServerHandle | None = None
    notes: list[str] = field(default_factory=list)
    visits: dict[str, tuple[Any, int | None]] = field(default_factory=dict)

    @property
    def redis_url(self) -> str | None:
        """The server's URL, which may hold a password."""
        return self.redis.url if self.redis else None

    @contextlib.contextmanager
    def at(self, place: str) -> Iterator[bool]:
        """Have a place open for the length of the block; tells whether it was opened just now, and is cold.

        Raises:
            ClusterError: it can't be opened.
        """
        if place not in self.visits:
            yield False
            return
        with open_cluster(*self.visits[place]) as opened:
            self.clusters[place], self.workers[place] = opened, len(opened.client.nthreads())
            try:
                yield True
            finally:
                del self.clusters[place]

    def name_of(self, place: str) -> str:
        """The name of a place's cluster, open or not."""
        name = place.partition(_TIMES)[0]
        return self.clusters[name].name if name in self.clusters else name

    def describe(self) -> dict[str, Any]:
        """As data for ``run.json``."""
        redis = self.redis
        return {
            "clusters": {
                cluster.name: {
                    "workers": len(cluster.client.nthreads()),
                    "threads": cluster.slots,
                    "local": cluster.local,
                    "startup_seconds": self.startup_seconds.get(cluster.name),
                }
                for cluster in self.clusters.values()
            },
            "opened_for_each_trial": sorted(self.visits),
            "pool": {"processes": self.pool.count},
            "redis": redis
            and {"server": redis.shown, "version": redis.version, "embedded": redis.embedded is not None},
        }


@contextlib.contextmanager
def open_equipment(
    workload: Workload,
    arms: Sequence[Arm],
    cluster: Any,
    workers: int | None,
    redis_url: str | None,
    say: Callable[[str], None],
) -> Iterator[Equipment]:
    """Open all that the arms need, for the length of the block.

    Args:
        workload: the baselines' processes learn its pipeline.
        arms: of the suite.
        cluster: the one that the user asked for.
        workers: how many, for every cluster that the arm doesn't size itself.
        redis_url: the user's server; without one it is ``REDIS_URL``, or else an embedded one.
        say: told what is opened.

    Raises:
        ClusterError, CacheError: what the user asked for can't be opened.
    """
    with contextlib.ExitStack() as stack:
        wants_redis = any(arm.strategy.cache in SERVED for arm in arms)
        # First what is quick to fail: a server that the user named has to be there.
        server = _named_server(stack, redis_url or os.environ.get("REDIS_URL")) if wants_redis else None
        clusters: dict[str, OpenCluster] = {}
        startup_seconds: dict[str, float] = {}
        visits: dict[str, tuple[Any, int | None]] = {}
        sized = any(arm.workers for arm in arms)
        for place, (name, size) in _places(arms).items():
            wanted = cluster if name == GIVEN else name
            if sized and place != GIVEN:
                visits[place] = wanted, size or workers
                continue
            twin = _same(wanted, clusters, cluster)
            if twin is not None:
                clusters[place] = dataclasses.replace(clusters[twin], name=name)
                say(f"cluster {name} is what {clusters[twin].name} is on this machine: it isn't opened twice")
                continue
            started = time.perf_counter()
            opened = clusters[place] = stack.enter_context(open_cluster(wanted, workers))
            startup_seconds[opened.name] = time.perf_counter() - started
            say(_welcome(opened, startup_seconds[opened.name]))
        given = clusters[GIVEN]
        processes = given.slots if given.local else usable_cores()
        serial = Processes(1, workload.pipeline, workload.search_path)
        pool = Processes(processes, workload.pipeline, workload.search_path)
        sizes = {place: len(opened.client.nthreads()) for place, opened in clusters.items()}
        equipment = Equipment(serial, pool, clusters, startup_seconds, sizes, visits=visits)
        stack.callback(serial.close)
        stack.callback(pool.close)
        equipment.redis = server
        if wants_redis and server is None:
            equipment.redis = _embedded(stack, equipment, arms[0].strategy)
        for note in equipment.notes:
            say(note)
        yield equipment


def sizes_of(cluster: Any, workers: int | None) -> int | None:
    """How many workers a cluster's file gives it; ``None`` where the cluster can't be opened at any size."""
    spec = _spec(cluster)
    return None if spec is None or not spec.workers_option else workers or usable_cores()


def same_cluster(name: str, given: Any) -> bool:
    """Whether a cluster's file says the same as the given one's."""
    return (spec := _spec(name)) is not None and spec == _spec(given)


def _places(arms: Sequence[Arm]) -> dict[str, tuple[str, int | None]]:
    """Cluster and size of each place that is to be opened."""
    engines = (arm for arm in arms if arm.kind == ENGINE and arm.cluster != INLINE)
    return {arm.place: (arm.cluster, arm.workers) for arm in engines}


def _named_server(stack: contextlib.ExitStack, url: str | None) -> ServerHandle | None:
    from dataflow.memo.server import find_server

    return stack.enter_context(find_server(url)) if url else None


def _embedded(stack: contextlib.ExitStack, equipment: Equipment, base: Strategy) -> ServerHandle | None:
    """A server of our own; where there can't be one, a note says why."""
    from dataflow.memo.server import find_server

    if not all(c.local for c in equipment.clusters.values()):
        equipment.notes.append("no Redis arm: workers on other machines need a server of yours (REDIS_URL)")
        return None
    try:
        return stack.enter_context(find_server(**base.server))
    except CacheError as error:
        equipment.notes.append(f"no Redis arm: {one_line(error)}")
        return None


def _welcome(opened: OpenCluster, seconds: float) -> str:
    link = f", dashboard at {opened.dashboard_link}" if opened.dashboard_link else ", no dashboard"
    size = f"{counted(len(opened.client.nthreads()), 'worker')}, {counted(opened.slots, 'thread')}"
    return f"cluster {opened.name}: {size}, open in {seconds:.1f} s{link}"


def _same(wanted: Any, clusters: dict[str, OpenCluster], given: Any) -> str | None:
    """The open cluster whose file says the same as the wanted one's."""
    spec = _spec(wanted)
    for name in clusters:
        if spec is not None and spec == _spec(given if name == GIVEN else name):
            return name
    return None


def _spec(name: Any) -> ClusterSpec | None:
    """A cluster's file without what it is called; ``None`` for an address or a client."""
    if not isinstance(name, str) or "://" in name or name.endswith(".json"):
        return None
    return dataclasses.replace(load_cluster(name), name="", description="")
