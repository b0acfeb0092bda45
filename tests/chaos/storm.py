"""A file system that misbehaves on request: `storm:///folder/file` is a local file behind bad weather.

The weather is JSON in the environment's CHAOS_STORM, so that worker processes inherit it; its `folder` holds a
mark for each misfortune, made with O_EXCL: what should fail once fails once among all processes, and what
happened can be counted afterwards. Importing this module makes fsspec know the protocol; the pipeline's stage
`calm` stands here, so that every worker that unpickles the pipeline imports it.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from dataflow import stage
from workloads.values import Chunked

PROTOCOL = "storm"
VARIABLE = "CHAOS_STORM"
FULL = "full"
POISON = "This document ends the process that reads it."
DOCUMENT_SECONDS = 0.03


@stage
def calm(chunked: Chunked) -> Chunked:
    """Leave a document as it is, unless it asks for the death of its process.

    It takes its time: a run that is over before a fault's moment proves nothing.
    """
    time.sleep(DOCUMENT_SECONDS)
    if any(POISON in text for text in chunked["chunks"]):
        os._exit(9)
    return chunked


class StormFileSystem(LocalFileSystem):  # type: ignore[misc]
    """Local files whose reads may be slow, fail once or for ever, and whose writes may fail once or find no room."""

    protocol = PROTOCOL
    cachable = False

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(p) for p in path]
        return super()._strip_protocol(os.fspath(path).removeprefix(f"{PROTOCOL}://"))

    def unstrip_protocol(self, name: str) -> str:
        """The URL of a path."""
        return f"{PROTOCOL}://{self._strip_protocol(name)}"

    def ls(self, path: str, detail: bool = False, **options: Any) -> Any:
        """List a folder in the order of names, as local folders are listed: positions can be compared."""
        found = super().ls(path, detail=True, **options)
        found.sort(key=lambda info: info["name"])
        return found if detail else [info["name"] for info in found]

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **options: Any) -> Any:
        """Read a file, if the weather allows."""
        path = self._strip_protocol(path)
        before_reading(path)
        return super().cat_file(path, start=start, end=end, **options)

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **options: Any) -> None:
        """Write a whole object: it appears at once or not at all, as in an object store."""
        path = self._strip_protocol(path)
        before_writing(path)
        fresh = f"{path}.{os.getpid()}.{time.monotonic_ns()}"
        Path(fresh).write_bytes(value)
        try:
            if mode == "create":
                os.link(fresh, path)
            else:
                os.replace(fresh, path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(fresh)

    def _open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        if "r" not in mode:
            before_writing(self._strip_protocol(path))
        return super()._open(path, mode=mode, **options)


def before_reading(path: str) -> None:
    """What may happen to a read. Raises OSError."""
    weather = _weather()
    if "_dataflow" in path or not weather:
        return
    if _chosen(weather, "slow", path):
        _mark(weather, "slow", path)
        time.sleep(weather["delay_seconds"])
    if _chosen(weather, "broken", path):
        _mark(weather, "broken", path)
        raise OSError(errno.EIO, "the disk can't read this block", path)
    for moment in range(weather.get("times", 1)):
        if _chosen(weather, "read_fails", path) and _mark(weather, f"read_fails-{moment}", path):
            raise OSError(errno.EIO, "the network file system hiccuped", path)


def before_writing(path: str) -> None:
    """What may happen to a write: an attempt leaves half a file behind. Raises OSError."""
    weather = _weather()
    if not weather:
        return
    if Path(weather["folder"], FULL).exists():
        _half(weather, "store_full", path)
        raise OSError(errno.ENOSPC, "No space left on device", path)
    batch = "-".join(os.path.basename(path).split("-")[:2])  # part-00000007
    if (
        batch.startswith("part-")
        and _chosen(weather, "write_fails", batch)
        and _mark(weather, "write_fails", batch)
    ):
        _half(weather, "write_half", path)
        raise OSError(errno.EIO, "the network file system hiccuped", path)


def marks(folder: Path, kind: str) -> int:
    """How often a misfortune happened."""
    return len(list(folder.glob(f"{kind}*.mark")))


def chosen(weather: dict[str, Any], kind: str, path: str) -> bool:
    """Whether a path is one of those that a misfortune is meant for."""
    return _chosen(weather, kind, path)


def _weather() -> dict[str, Any]:
    weather: dict[str, Any] = json.loads(os.environ.get(VARIABLE, "{}"))
    return weather


def _chosen(weather: dict[str, Any], kind: str, path: str) -> bool:
    digest = hashlib.blake2b(
        f"{weather['seed']} {kind} {os.path.basename(path)}".encode(), digest_size=8
    ).digest()
    return int.from_bytes(digest) < weather.get(kind, 0.0) * 2**64


def _mark(weather: dict[str, Any], kind: str, path: str) -> bool:
    """Note a misfortune; false where it was noted before."""
    digest = hashlib.blake2b(path.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    try:
        os.close(os.open(Path(weather["folder"], f"{kind}-{digest}.mark"), os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def _half(weather: dict[str, Any], kind: str, path: str) -> None:
    _mark(weather, kind, path)
    if os.path.basename(path).startswith("part-"):
        Path(path).write_bytes(b"PAR1 and no more")


fsspec.register_implementation(PROTOCOL, StormFileSystem, clobber=True)
