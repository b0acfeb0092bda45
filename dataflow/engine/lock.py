"""One driver at a time in an output folder: a lock that dies with its holder."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import secrets
import socket
import time
from pathlib import Path
from typing import Any, Protocol

from dataflow.engine.journal import listing
from dataflow.errors import OutputError, one_line

__all__ = ["FileLock", "Lock", "RecordLock", "take_lock"]

_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)


class Lock(Protocol):
    """A lock that is held."""

    def release(self) -> None:
        """Give it up. Releasing twice is fine."""


def take_lock(filesystem: Any, folder: str, *, local: bool, shown: str) -> Lock:
    """Take the lock of an output folder.

    Args:
        filesystem: an fsspec file system.
        folder: path of the lock's folder in it; it has to exist where folders exist.
        local: it is a folder of this machine's own tree.
        shown: the output's name, for the message.

    Raises:
        OutputError: another driver holds it; the message says which.
    """
    if local:
        try:
            return FileLock(Path(folder, "lock"), shown)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
    return RecordLock(filesystem, folder, shown)


class FileLock:
    """The kernel's own lock on a file: gone with its holder, however that ended.

    Raises:
        OutputError: another driver holds it.
    """

    def __init__(self, path: Path, shown: str) -> None:
        self._file: int | None = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.release()
            raise OutputError(_held(shown, _read(path.read_bytes()))) from None
        except BaseException:
            self.release()
            raise
        # The file stays when the lock is given up: whoever waits at its name must find the same file.
        os.ftruncate(self._file, 0)
        os.write(self._file, _me())

    def release(self) -> None:
        """Give it up."""
        file, self._file = self._file, None
        if file is not None:
            os.close(file)


class RecordLock:
    """An object that names its holder, for stores that have no locks.

    Each lock has a number, and only one driver can create the next one. A lock whose holder was a process of
    this host that has died is passed over.

    Raises:
        OutputError: another driver holds it.
    """

    def __init__(self, filesystem: Any, folder: str, shown: str) -> None:
        self._filesystem = filesystem
        names = sorted(n for n in listing(filesystem, folder) if re.fullmatch(r"lock-\d+\.json", n))
        earlier = [f"{folder}/{name}" for name in names]
        if earlier:
            holder = _read(filesystem.cat_file(earlier[-1]))
            if not _is_dead(holder):
                raise OutputError(_held(shown, holder, f"{shown.rstrip('/')}/_dataflow/lock-*.json"))
        number = int(earlier[-1].rpartition("-")[2].removesuffix(".json")) + 1 if earlier else 0
        self._path: str | None = f"{folder}/lock-{number:06d}.json"
        try:
            filesystem.pipe_file(self._path, _me(), mode="create")
        except FileExistsError:
            raise OutputError(_held(shown, {})) from None
        for path in earlier:
            filesystem.rm_file(path)

    def release(self) -> None:
        """Give it up.

        Raises:
            OutputError: the store doesn't let it go; drivers of this host pass over it once this process has ended.
        """
        path, self._path = self._path, None
        try:
            if path:
                self._filesystem.rm_file(path)
        except FileNotFoundError:  # the folder went, since nothing counted in it
            pass
        except Exception as error:  # a store raises what it likes
            raise OutputError(f"lock {path} can't be removed: {one_line(error)}. Remove it") from error


def _held(shown: str, holder: dict[str, Any], record: str = "") -> str:
    who = f"process {holder['pid']} on {holder['host']}" if "pid" in holder else "another run"
    mend = f"; if that one has died, remove {record}" if record else ""
    return f"output {shown} is being written by {who}: wait for its end, or stop it{mend}."


def _me() -> bytes:
    import psutil

    return json.dumps(
        {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "born": psutil.Process().create_time(),
            "since": time.time(),
            "token": secrets.token_hex(8),
        }
    ).encode()


def _read(data: bytes) -> dict[str, Any]:
    try:
        holder = json.loads(data)
    except ValueError:
        return {}
    return holder if isinstance(holder, dict) else {}


def _is_dead(holder: dict[str, Any]) -> bool:
    """Whether the holder is known to have died: only a process of this host can be asked."""
    import psutil

    if not holder:  # torn: its writer died at it, since objects are written whole
        return True
    if holder.get("host") != socket.gethostname():
        return False
    try:
        # Another process may have got the same number since.
        born: float = psutil.Process(holder["pid"]).create_time()
        return abs(born - float(holder["born"])) > 1.0
    except psutil.NoSuchProcess:
        return True
    except (psutil.AccessDenied, KeyError):
        return False
