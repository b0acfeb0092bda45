"""Which clusters there are, by name or file, and what is wrong with a name before anything is started.

``cluster/NAME.yaml`` holds ``class`` (a class of Dask's deploy convention, by its import path),
``options`` (its keyword arguments), ``config`` (Dask configuration while it is open) and ``workers``
(which option ``WORKERS=N`` sets). In an option, ``cores`` and ``workers`` stand for this machine's usable
cores and for the number of workers asked for.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dataflow.errors import ClusterError, one_line
from dataflow.places import known_files, resource_file

__all__ = [
    "UNDER_MAIN",
    "ClusterSpec",
    "check_cluster",
    "cluster_names",
    "forget_script_without_file",
    "imports_the_script",
    "is_address",
    "load_cluster",
    "usable_cores",
]

UNDER_MAIN = "the call has to stand under `if __name__ == '__main__':`."

_ADDRESSES = ("tcp://", "tls://", "ws://", "wss://", "ucx://", "inproc://")
_ONE_MACHINE = ("distributed.LocalCluster", "distributed.deploy.subprocess.SubprocessCluster")


@dataclass(frozen=True)
class ClusterSpec:
    """A cluster's file, read."""

    name: str
    class_path: str
    options: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    workers_option: str | None = None
    description: str = ""

    def resolve(self, workers: int | None) -> dict[str, Any]:
        """The options with ``cores`` and ``workers`` filled in."""
        words = {"cores": usable_cores(), "workers": workers or usable_cores()}
        if self.class_path in _ONE_MACHINE and words["workers"] > _most_workers():
            raise ClusterError(
                f"WORKERS={workers} is more than this machine can hold: {_most_workers()} at most."
            )
        options = _fill(self.options, words)
        if workers is not None:
            if not self.workers_option:
                raise ClusterError(f"cluster {self.name} has a fixed size: leave WORKERS out.")
            options[self.workers_option] = workers
        return dict(options)


@functools.cache
def usable_cores() -> int:
    """Cores that this process may use: affinity and control groups count.

    As ``dask.system`` counts them; but a small job is half done in the time that Dask's import takes.
    """
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    return max(1, min(len(allowed), _quota()))


def imports_the_script() -> bool:
    """Whether this process is a worker that is being started, and imports the script of the one that starts it.

    A call that is met there would do the whole job once more, while that one waits for it.
    """
    starting = sys.modules.get("multiprocessing.process")
    # So the standard library asks.
    return bool(starting and getattr(starting.current_process(), "_inheriting", False))


def forget_script_without_file() -> None:
    """Let a main module that came by standard input name no file: workers would look for it, to import it."""
    main = sys.modules["__main__"]
    if str(getattr(main, "__file__", None)).startswith("<"):
        del main.__file__


def _quota(root: Path = Path("/")) -> int:
    """Cores that the control group of this process allows, in either version of the kernel's interface."""
    with contextlib.suppress(OSError, ValueError):
        folder = (root / "proc/self/cgroup").read_text().strip().rpartition(":")[2]
        quota, period = (root / "sys/fs/cgroup" / folder.lstrip("/") / "cpu.max").read_text().split()
        return math.ceil(int(quota) / int(period))
    for name in ("cpuacct,cpu", "cpu,cpuacct"):
        with contextlib.suppress(OSError, ValueError):
            folder_1 = root / "sys/fs/cgroup" / name
            quota, period = ((folder_1 / f"cpu.cfs_{n}_us").read_text() for n in ("quota", "period"))
            if int(quota) > 0:  # -1 for no limit
                return math.ceil(int(quota) / int(period))
    return sys.maxsize


def _most_workers() -> int:
    return max(64, 16 * usable_cores())


def cluster_names() -> list[str]:
    """The names that ``cluster=`` knows."""
    return sorted(p.stem for p in known_files("cluster", ".yaml"))


def load_cluster(name: str) -> ClusterSpec:
    """Read the file of a cluster, by name or path.

    Raises:
        ClusterError: there is none, or it isn't one.
    """
    import yaml

    path = resource_file("cluster", name, ".yaml")
    if path is None:
        known = ", ".join(cluster_names())
        raise ClusterError(
            f"no cluster is called {name!r}: take one of {known}, a YAML file, or tcp://HOST:PORT."
        )
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
        class_path = data["class"]
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        why = one_line(error) if isinstance(error, OSError | yaml.YAMLError) else "it names no class"
        raise ClusterError(f"cluster file {path} can't be read: {why}. It needs a 'class'.") from None
    return ClusterSpec(
        name=path.stem,
        class_path=class_path,
        options=data.get("options") or {},
        config=data.get("config") or {},
        workers_option=data.get("workers"),
        description=data.get("description") or "",
    )


def check_cluster(name: Any, workers: int | None = None) -> None:
    """Find out what is wrong with a cluster's name or size without opening it.

    Raises:
        ClusterError: unknown, not readable, or a size that can't be.
    """
    if workers is not None and workers < 1:
        raise ClusterError(f"WORKERS must be a whole number above 0, not {workers}.")
    if not isinstance(name, str | os.PathLike) or name in ("auto", "inline"):
        return
    name = os.fspath(name)
    if not is_address(name):
        load_cluster(name).resolve(workers)
    elif name.startswith(("tcp://", "tls://")) and not _has_port(name):
        raise ClusterError(f"{name} has no host and port: name both, such as tcp://127.0.0.1:8786.")


def is_address(name: str) -> bool:
    """Whether it names a scheduler that runs already, by its address or its file."""
    return name.startswith(_ADDRESSES) or name.endswith(".json")


def _has_port(address: str) -> bool:
    try:
        parts = urlsplit(address)
        return bool(parts.hostname and parts.port)
    except ValueError:
        return False


def _fill(value: Any, words: Mapping[str, int]) -> Any:
    if isinstance(value, Mapping):
        return {k: _fill(v, words) for k, v in value.items()}
    return words.get(value, value) if isinstance(value, str) else value
