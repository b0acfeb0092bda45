"""What is kept on a server that may not be started yet, and leases on it; see :mod:`dataflow.memo.demand`.

As long as it isn't, nobody can have written: whoever reads finds nothing, without asking, and whoever writes has it
started and waits for it. Leases are files of a folder ``unstarted`` then. That gets another name when the server is
there, which is one step for all processes: from then on nobody makes a lease there, and those that were made still
count.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from dataflow.memo.base import Counters, Missed
from dataflow.memo.blobs import Blob, BlobStore, Sealed
from dataflow.memo.keys import Key
from dataflow.memo.leases import LeaseStore

__all__ = ["BlobsOnDemand", "LeasesOnDemand", "begin", "end", "place"]

_UNSTARTED, _STARTED = "unstarted", "started"
_START_SECONDS = 12.0  # longer than whoever starts it waits for it
_TRIES = 8


def place(folder: Path) -> Path:
    """Where the server is spoken to, or whoever starts it."""
    return folder / "d"


def begin(folder: Path) -> None:
    """Say that the server of a folder isn't started."""
    (folder / _UNSTARTED).mkdir()


def end(folder: Path) -> None:
    """Say that it is."""
    (folder / _UNSTARTED).rename(folder / _STARTED)


class BlobsOnDemand:
    """The sealed bytes on a server that may not be started yet: there are none as long as it isn't.

    Args:
        blobs: those on the server.
        folder: of the :class:`ServerOnDemand`.
    """

    def __init__(self, blobs: BlobStore, folder: str) -> None:
        self.name = blobs.name
        self._blobs = blobs
        self._folder = Path(folder)
        self._started = False

    @property
    def counters(self) -> Counters:
        """Those of the server's."""
        return self._blobs.counters

    def read(self, keys: Sequence[Key]) -> list[Blob | Missed]:
        """See :class:`BlobStore`."""
        return self._blobs.read(keys) if self._is_started() else [Missed("new")] * len(keys)

    def read_tagged(self, keys: Sequence[Key], tag: str) -> tuple[bytes, list[Blob | Missed]]:
        """See :class:`BlobStore`. A tag has an epoch once it is asked for: this starts the server."""
        self._start()
        return self._blobs.read_tagged(keys, tag)

    def write(self, items: Sequence[Sealed]) -> int:
        """See :class:`BlobStore`. This starts the server."""
        self._start()
        return self._blobs.write(items)

    def discard(self, keys: Sequence[Key]) -> None:
        """See :class:`BlobStore`."""
        self._blobs.discard(keys)

    def bump(self, tag: str) -> None:
        """See :class:`BlobStore`. This starts the server."""
        self._start()
        self._blobs.bump(tag)

    def close(self) -> None:
        """See :class:`BlobStore`."""
        self._blobs.close()

    def _is_started(self) -> bool:
        self._started = self._started or not (self._folder / _UNSTARTED).exists()
        return self._started

    def _start(self) -> None:
        """Have it started, and wait until it is, or can't be: then whoever waits is sent away. A server answers."""
        if self._is_started():
            return
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as asking:
            asking.settimeout(_START_SECONDS)
            asking.connect(str(place(self._folder)))
            asking.sendall(b"PING\r\n")
            asking.recv(1)


class LeasesOnDemand:
    """Leases on a server that may not be started yet: files as long as it isn't. A :class:`LeaseStore`.

    Args:
        leases: those on the server.
        folder: of the :class:`ServerOnDemand`.
        seconds: how long the file of a holder that died counts.
    """

    def __init__(self, leases: LeaseStore, folder: str, seconds: float) -> None:
        self._leases = leases
        self._unstarted, self._started = Path(folder, _UNSTARTED), Path(folder, _STARTED)
        self._seconds = seconds
        self._files: set[Key] = set()  # those of this process

    def take(self, keys: Sequence[Key], seconds: float) -> list[bool]:
        """See :class:`LeaseStore`."""
        given: list[bool] = []
        with contextlib.suppress(FileNotFoundError):  # the server is there now, or its folder is gone
            for key in keys:
                given.append(self._made(key))
        rest = keys[len(given) :]
        if not rest:
            return given
        taken = self._held(self._started, rest)
        free = [key for key in rest if key not in taken]
        answers = self._leases.take(free, seconds) if free else []
        won = {key for key, ok in zip(free, answers, strict=True) if ok}
        return given + [key in won for key in rest]

    def held(self, keys: Sequence[Key]) -> set[Key]:
        """See :class:`LeaseStore`."""
        held = self._held(self._unstarted, keys)
        if self._unstarted.exists():  # still, so that it was when it was looked into
            return held
        return self._held(self._started, keys) | self._leases.held(keys)

    def extend(self, keys: Sequence[Key], seconds: float) -> None:
        """See :class:`LeaseStore`."""
        for path in self._own(keys):
            with contextlib.suppress(OSError):
                os.utime(path)
        others = [key for key in keys if key not in self._files]
        if others and not self._unstarted.exists():
            self._leases.extend(others, seconds)

    def drop(self, keys: Sequence[Key]) -> None:
        """See :class:`LeaseStore`."""
        for path in self._own(keys):
            with contextlib.suppress(OSError):
                path.unlink()
        others = [key for key in keys if key not in self._files]
        self._files.difference_update(keys)
        if others and not self._unstarted.exists():
            self._leases.drop(others)

    def _made(self, key: Key) -> bool:
        """Whether this process has it now. Raises FileNotFoundError where the server is there."""
        path = self._unstarted / key.hex()
        for _ in range(_TRIES):
            try:
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            except FileExistsError:
                if self._lasts(path):
                    return False
                path.unlink(missing_ok=True)  # whoever held it has died, or has just given it back
                continue
            except FileNotFoundError:
                raise
            except OSError:
                break
            self._files.add(key)
            return True
        return True  # no lease keeps anybody from computing

    def _held(self, folder: Path, keys: Collection[Key]) -> set[Key]:
        try:
            there = set(os.listdir(folder))
        except OSError:
            return set()
        return {key for key in keys if key.hex() in there and self._lasts(folder / key.hex())}

    def _lasts(self, path: Path) -> bool:
        try:
            return path.stat().st_mtime + self._seconds > time.time()
        except OSError:
            return False

    def _own(self, keys: Sequence[Key]) -> Iterator[Path]:
        """The files of what this process holds, where each may be."""
        for key in keys:
            if key in self._files:
                yield from (self._unstarted / key.hex(), self._started / key.hex())
