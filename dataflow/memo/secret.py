"""The secret that values are sealed with. Whoever knows it can write values that others will believe.

All runs that share values through one server need the same one. It comes from the environment variable
``DATAFLOW_CACHE_KEY`` (any text of 16 characters or more; set it alike on every machine), or else from the
file ``dataflow/cache.key`` under the user's configuration folder (``$XDG_CONFIG_HOME``, by default
``~/.config``), which is made at first use with mode 600. It never goes to the server.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path

from dataflow.errors import CacheError, one_line

__all__ = ["VARIABLE", "cache_secret", "key_file"]

VARIABLE = "DATAFLOW_CACHE_KEY"
_SECRET_BYTES = 32
_LEAST_CHARACTERS = 16


def cache_secret(environment: Mapping[str, str] | None = None) -> bytes:
    """The secret: 32 bytes, from the environment or the key file, which is made if there is none.

    Raises:
        CacheError: the variable is too short, or the file can't be made or read, or others may read it.
    """
    environment = os.environ if environment is None else environment
    text = environment.get(VARIABLE)
    if text is not None:
        if len(text) < _LEAST_CHARACTERS:
            raise CacheError(
                f"{VARIABLE} must have at least {_LEAST_CHARACTERS} characters: make it longer, or unset it."
            )
        return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=_SECRET_BYTES).digest()
    path = key_file(environment)
    try:
        if not path.exists():
            _create(path)
        return _read(path)
    except OSError as error:
        raise CacheError(
            f"the cache's key file {path} can't be used ({one_line(error)}): set {VARIABLE}."
        ) from None


def key_file(environment: Mapping[str, str]) -> Path:
    """Where the key file is."""
    base = environment.get("XDG_CONFIG_HOME") or ""
    folder = Path(base) if Path(base).is_absolute() else Path(os.path.expanduser("~")) / ".config"
    return folder / "dataflow" / "cache.key"


def _create(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Written aside and linked into place: of two runs that start at once, both read the file of the first,
    # and nobody ever reads half of one.
    descriptor, aside = tempfile.mkstemp(dir=path.parent, prefix=".cache-key-")
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(_SECRET_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(aside, path)
    finally:
        os.unlink(aside)


def _read(path: Path) -> bytes:
    mode = path.stat().st_mode
    if stat.S_IMODE(mode) & 0o077:
        raise CacheError(
            f"others may read the cache's key file {path}: chmod 600 it, or delete it for a new one."
        )
    try:
        secret = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except ValueError:
        secret = b""
    if len(secret) != _SECRET_BYTES:
        raise CacheError(
            f"the cache's key file {path} is damaged: delete it, and the next run makes a new one."
        )
    return secret
