"""Large values go to files, and the store holds a pointer: a server's eviction doesn't see size.

A file is named by the digest of its bytes, so two writers never write different things to one name, and a file
that was cut short or altered is known by its name already. What is in it is the sealed value itself, MAC and
all: a pointer needs no MAC of its own, since a pointer to another's file gives a value that doesn't open.
"""

from __future__ import annotations

import os
import struct
import time
import uuid
from collections.abc import Sequence
from typing import Any

from dataflow.memo.base import Counters, Missed
from dataflow.memo.blobs import Blob, BlobStore, Sealed
from dataflow.memo.keys import Key, digest

__all__ = ["SpillFolder", "SpillingBlobs"]

_POINTER = struct.Struct("<4s20sQ")
_MAGIC = b"DFs1"


class SpillFolder:
    """Content-addressed files under any URL that fsspec opens for writing.

    Args:
        url: the folder's; all workers have to see the same one.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._opened: tuple[Any, str] | None = None

    def write(self, data: bytes) -> bytes:
        """Write one file; returns the pointer to it. Raises OSError."""
        name = digest(data)
        filesystem, path = self._place(name)
        if not filesystem.exists(path):
            self._put(filesystem, path, data)
        return _POINTER.pack(_MAGIC, name, len(data))

    def read(self, pointer: bytes) -> bytes | None:
        """The bytes that a pointer points to; ``None`` where they aren't what it says. Raises OSError."""
        _, name, size = _POINTER.unpack(pointer)
        filesystem, path = self._place(name)
        if filesystem.size(path) != size:
            return None
        data = bytes(filesystem.cat_file(path))
        return data if digest(data) == name else None

    def clear(self) -> int:
        """Remove all files; how many. Raises OSError."""
        filesystem, root = self._open()
        names = filesystem.find(root) if filesystem.exists(root) else []
        # Only what has a name of ours: the folder may hold something else by mistake.
        ours = [name for name in names if name.endswith(".spill")]
        for name in ours:
            filesystem.rm_file(name)
        return len(ours)

    def _open(self) -> tuple[Any, str]:
        if self._opened is None:
            from fsspec.core import url_to_fs

            self._opened = url_to_fs(self.url)
        return self._opened

    def _place(self, name: bytes) -> tuple[Any, str]:
        filesystem, root = self._open()
        return filesystem, f"{root.rstrip('/')}/{name.hex()[:2]}/{name.hex()}.spill"

    @staticmethod
    def _put(filesystem: Any, path: str, data: bytes) -> None:
        filesystem.makedirs(os.path.dirname(path), exist_ok=True)
        if "file" not in _protocols(filesystem):
            filesystem.pipe_file(path, data)  # an object store shows an object when it is whole
            return
        aside = f"{path}.{uuid.uuid4().hex}"
        try:
            filesystem.pipe_file(aside, data)
            os.replace(aside, path)
        except OSError:
            if os.path.exists(aside):
                os.unlink(aside)
            raise


class SpillingBlobs:
    """A store whose large values are files.

    Args:
        blobs: holds what is small, and the pointers.
        folder: holds the rest.
        cap_bytes: what is larger spills.
    """

    def __init__(self, blobs: BlobStore, folder: SpillFolder, cap_bytes: int) -> None:
        self.name = blobs.name
        self._blobs = blobs
        self._folder = folder
        self._cap = cap_bytes

    @property
    def counters(self) -> Counters:
        """Those of the store, with what was spilled."""
        return self._blobs.counters

    def read(self, keys: Sequence[Key]) -> list[Blob | Missed]:
        """One answer a key; a pointer is followed."""
        return [self._followed(answer) for answer in self._blobs.read(keys)]

    def read_tagged(self, keys: Sequence[Key], tag: str) -> tuple[bytes, list[Blob | Missed]]:
        """See :class:`BlobStore`."""
        epoch, answers = self._blobs.read_tagged(keys, tag)
        return epoch, [self._followed(answer) for answer in answers]

    def write(self, items: Sequence[Sealed]) -> int:
        """Keep; what is over the cap goes to a file first, so that no pointer points to nothing."""
        return self._blobs.write([kept for item in items if (kept := self._spilled(item)) is not None])

    def discard(self, keys: Sequence[Key]) -> None:
        """Forget keys."""
        self._blobs.discard(keys)

    def bump(self, tag: str) -> None:
        """A new epoch."""
        self._blobs.bump(tag)

    def close(self) -> None:
        """Let go."""
        self._blobs.close()

    def _spilled(self, item: Sealed) -> Sealed | None:
        if len(item.data) <= self._cap:
            return item
        try:
            pointer = self._folder.write(item.data)
        except Exception as error:  # a file system raises what it likes
            self.counters.add({"spill_errors": 1, f"spill_errors_{type(error).__name__}": 1})
            return None
        self.counters.add({"spilled": 1, "spilled_bytes": len(item.data)})
        return item._replace(data=pointer)

    def _followed(self, answer: Blob | Missed) -> Blob | Missed:
        if isinstance(answer, Missed) or len(answer.data) != _POINTER.size or answer.data[:4] != _MAGIC:
            return answer
        started = time.perf_counter()
        try:
            data = self._folder.read(answer.data)
        except Exception as error:
            self.counters.add({f"spill_errors_{type(error).__name__}": 1})
            return Missed("spill")
        return Missed("corrupt") if data is None else Blob(data, "spill", time.perf_counter() - started)


def _protocols(filesystem: Any) -> tuple[str, ...]:
    protocol = filesystem.protocol
    return (protocol,) if isinstance(protocol, str) else tuple(protocol)
