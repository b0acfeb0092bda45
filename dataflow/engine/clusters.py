"""Where it runs: clusters by name, file or address, open for the length of a block."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from dataflow.engine.deploy import close_quietly, deploy, placing_of
from dataflow.engine.nannies import Nannies
from dataflow.engine.placing import Placing
from dataflow.engine.quiet import quiet
from dataflow.engine.specs import check_cluster, is_address, load_cluster
from dataflow.errors import ClusterError, counted, one_line

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["OpenCluster", "open_cluster"]

_PATIENCE_SECONDS = 30.0
_CONNECT_SECONDS = 10
_IN_THIS_PROCESS = (
    "workers in this very process can't be ended, so no limit on time or memory holds: "
    "take a cluster of processes"
)
_NO_NANNY = "workers without a nanny run documents in processes of their own, which may be ended"


@dataclass(frozen=True)
class OpenCluster:
    """A cluster that is open.

    Attributes:
        client: connected.
        name: as the user named it.
        dashboard_link: where to watch, or ``None``.
        local: all its processes are on this machine.
        notes: what the user should know of it, a line each.
        nannies: whoever starts a worker again when it dies: all workers have one.
        in_process: the workers are threads of this process.
        placing: says which worker a batch is for, where nobody but runs of ours gives it any work.
        own: the nannies that we started, which are ours to look after; ``None`` where we did not.
    """

    client: Client
    name: str
    dashboard_link: str | None
    local: bool
    notes: tuple[str, ...] = ()
    nannies: bool = True
    in_process: bool = False
    placing: Placing | None = None
    own: Nannies | None = None

    @property
    def slots(self) -> int:
        """Threads of all workers."""
        return sum(self.client.nthreads().values())


@contextlib.contextmanager
def open_cluster(name: Any, workers: int | None = None) -> Iterator[OpenCluster]:
    """Open a cluster for the length of the block.

    Args:
        name: a name, a path to a YAML file, an address (``tcp://HOST:PORT``), a scheduler file (``.json``),
            or an open ``distributed.Client`` or cluster of Dask's, such as ``LocalCluster``, which is left open.
        workers: how many; an address is waited for until it has as many.

    Raises:
        ClusterError: unknown, unreachable or without workers.
    """
    check_cluster(name, workers)
    name = getattr(name, "scheduler_address", name)  # of a cluster that the user has opened
    if not isinstance(name, str | os.PathLike):
        yield _describe(name, "client")
        return
    name = os.fspath(name)
    if is_address(name):
        with _connect(name, workers) as client:
            yield _describe(client, name)
        return
    spec = load_cluster(name)
    with deploy(spec, workers) as client:
        opened = _describe(client, spec.name)
        yield replace(opened, own=Nannies(client.cluster)) if opened.nannies else opened


def _describe(client: Client, name: str) -> OpenCluster:
    if client.asynchronous:
        raise ClusterError(
            "an asynchronous Client can't be waited for: give its scheduler's address, or another Client."
        )
    try:
        info = client.scheduler_info(n_workers=-1)  # asked once: each time is a message there and one back
        link = client.dashboard_link if info.get("services", {}).get("dashboard") else None
    except Exception as error:
        raise ClusterError(f"cluster {name} doesn't answer: {one_line(error)}") from error
    workers = info["workers"].values()
    local = {w["host"] for w in workers} <= _own_addresses()
    nannies = all(w.get("nanny") for w in workers)
    in_process = info["address"].startswith("inproc:")
    notes = () if nannies else (_IN_THIS_PROCESS if in_process else _NO_NANNY,)
    return OpenCluster(client, name, link, local, notes, nannies, in_process, placing_of(client))


def _own_addresses() -> set[str]:
    import psutil

    found = {"127.0.0.1", "::1", "localhost", socket.gethostname(), ""}
    for addresses in psutil.net_if_addrs().values():
        found.update(a.address.partition("%")[0] for a in addresses)
    return found


@contextlib.contextmanager
def _connect(address: str, workers: int | None) -> Iterator[Client]:
    import dask
    from distributed import Client

    where: dict[str, Any] = {"scheduler_file": address} if address.endswith(".json") else {"address": address}
    if address.endswith(".json") and not os.path.isfile(address):
        raise ClusterError(
            f"scheduler file {address} doesn't exist: start `dask scheduler --scheduler-file {address}`."
        )
    patience = f"{_CONNECT_SECONDS}s"
    with dask.config.set({"distributed.comm.timeouts.connect": patience}), quiet():
        try:
            client = Client(**where, timeout=patience, set_as_default=False)
        except (OSError, TimeoutError, ValueError, RuntimeError) as error:
            raise ClusterError(
                f"no scheduler answers at {address} ({type(error).__name__}): "
                "start `dask scheduler`, and check host and port."
            ) from error
    with contextlib.ExitStack() as stack:
        stack.enter_context(quiet())
        stack.callback(close_quietly, client)
        wanted = workers or 1
        try:
            client.wait_for_workers(wanted, timeout=_PATIENCE_SECONDS if workers else 10)
        except TimeoutError:
            have = len(client.nthreads())
            raise ClusterError(
                f"{address} has {counted(have, 'worker')}, not {wanted}: start more with `dask worker {address}`."
            ) from None
        yield client
