"""``dataflow doctor``: what this machine has, and what is wrong."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import click


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's report; ``mend`` is empty where nothing is wrong, else it says what to do."""

    what: str
    found: str
    mend: str = ""
    fatal: bool = False


@click.command(short_help="Say what this machine has, and what is wrong.")
@click.option("--redis-url", envvar="REDIS_URL", metavar="URL", help="Ask this Redis server too.")
def doctor(redis_url: str | None) -> int:
    """Say what this machine has: cores, memory, Redis, the dashboard's port, packages; and what is wrong.

    Exits with status 2 if something is wrong that keeps `dataflow run` from working.
    """
    findings = [*_machine(), *_packages(), *_redis(redis_url), _port(), _disk(), *_parts()]
    for finding in findings:
        mark = "ok  " if not finding.mend else ("BAD " if finding.fatal else "note")
        click.echo(f"{mark} {finding.what:<18} {finding.found}")
        if finding.mend:
            click.echo(f"{'':>23} -> {finding.mend}")
    fatal = sum(f.fatal for f in findings)
    notes = sum(bool(f.mend) for f in findings) - fatal
    click.echo(f"{fatal} wrong, {notes} to note." if fatal or notes else "Nothing is wrong.")
    return 2 if fatal else 0


def _machine() -> Iterator[Finding]:
    import psutil

    from dataflow.engine.specs import usable_cores

    cores, all_cores = usable_cores(), os.cpu_count() or 1
    limited = f" of {all_cores} (affinity or a control group limits them)" if cores < all_cores else ""
    yield Finding(
        "cores", f"{cores}{limited}", "" if cores > 1 else "with one core only caching and batching can help"
    )
    memory = psutil.virtual_memory()
    gib = memory.available / 1024**3
    yield Finding(
        "memory",
        f"{gib:.1f} GiB free of {memory.total / 1024**3:.1f}",
        "" if gib > cores else "less than 1 GiB a worker: use fewer with WORKERS=N",
    )
    good = sys.version_info >= (3, 11)
    yield Finding(
        "python",
        f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        "" if good else "use Python 3.11 or newer",
        not good,
    )


_NEEDED = ("dask", "distributed", "redis", "fsspec", "psutil", "bokeh", "pandas", "pyarrow")
_EXTRAS = {
    "s3fs": "s3:// corpora: pip install 'dataflow-bench[s3]'",
    "aiohttp": "http:// corpora: pip install 'dataflow-bench[http]'",
}


def _packages() -> Iterator[Finding]:
    versions = {name: _version(name) for name in _NEEDED}
    missing = [n for n, v in versions.items() if v is None]
    have = ", ".join(f"{n} {v}" for n, v in versions.items() if v)
    yield Finding(
        "packages", have, f"missing: {', '.join(missing)}; run make install" if missing else "", bool(missing)
    )
    same = versions["dask"] == versions["distributed"]
    if not same:
        yield Finding("dask", "dask and distributed differ", "install the same release of both", True)
    for name, mend in _EXTRAS.items():
        version = _version(name)
        yield Finding(name, version or "not installed", "" if version else f"needed for {mend}")


def _version(package: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _redis(url: str | None) -> Iterator[Finding]:
    from dataflow.errors import CacheError
    from dataflow.memo.server import find_server

    for name, address in (("embedded server", None), *([("REDIS_URL", url)] if url else [])):
        try:
            with find_server(address) as server:
                yield Finding(name, f"answers, {server.version} at {server.shown}")
        except CacheError as error:
            yield Finding(name, "doesn't answer", str(error), fatal=address is not None)


def _port() -> Finding:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", 8787))
        except OSError:
            return Finding(
                "dashboard port", "8787 is taken", "the dashboard will take another; its link is printed"
            )
    return Finding("dashboard port", "8787 is free")


def _disk() -> Finding:
    from dataflow.errors import OutputError, one_line
    from dataflow.places import temporary_folder

    try:
        folder = temporary_folder()
    except OutputError as error:
        return Finding("temporary folder", "none that can be used", one_line(error), True)
    free = shutil.disk_usage(folder).free / 1024**3
    return Finding(
        "temporary folder", f"{folder}, {free:.1f} GiB free", "" if free > 1 else "make room, or set TMPDIR"
    )


def _parts() -> Iterator[Finding]:
    from dataflow.engine.specs import cluster_names
    from dataflow.workload import workload_names

    clusters, workloads = cluster_names(), workload_names()
    yield Finding(
        "clusters",
        ", ".join(clusters) or "none",
        "" if clusters else "the installation is damaged: install again",
        not clusters,
    )
    yield Finding(
        "workloads",
        ", ".join(workloads) or "none",
        "" if workloads else "the installation is damaged: install again",
        not workloads,
    )
