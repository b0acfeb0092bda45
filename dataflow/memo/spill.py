"""Large values go to files, and the store holds their header: a server's eviction doesn't see size.

A file holds the payload alone and is named by its digest: equal values are one file, whenever and by whomever they
were stored, and a file that was cut short or altered is known by its name already. The header with its MAC stays in
the store, and the MAC covers the payload too; so a pointer to another's file gives a value that doesn't open.
"""

from __future__ import annotations

import contextlib
import os
import struct
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from dataflow.memo.base import Counters, Missed
from dataflow.memo.blobs import Blob, BlobStore, Sealed
from dataflow.memo.envelope import HEADER_BYTES, claimed_payload_bytes
from dataflow.memo.keys import Key, digest

__all__ = ["SpillFolder", "SpillingBlobs", "is_pointer"]

_POINTER = struct.Struct("<4s20sQ")  # after the header, where a payload would be
_MAGIC = b"DFs2"
_SUFFIX = ".spill"


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
        if not filesystem.exists(path) or filesystem.size(path) != len(data):  # else it was cut short
            self._put(filesystem, path, data)
        return _POINTER.pack(_MAGIC, name, len(data))

    def read(self, pointer: bytes) -> bytes | None:
        """The bytes that a pointer points to; ``None`` where they aren't what it says. Raises OSError."""
        _, name, size = _POINTER.unpack(pointer)
        filesystem, path = self._place(name)
        if filesystem.size(path) != size:
            return None
        data = bytes(filesystem.cat_file(path))
        if digest(data) == name:
            return data
        with contextlib.suppress(Exception):  # of no use to anybody, it would never be written anew
            filesystem.rm_file(path)
        return None

    def clear(self) -> int:
        """Remove all files; how many. Raises OSError."""
        return self.trim(0)

    def trim(self, max_bytes: int) -> int:
        """Remove the oldest files until all together are no larger; how many. Raises OSError.

        Nothing else tells when a file is of no use any more: a server that evicts or expires says it to nobody. Whoever
        still asks for a value whose file is gone has a miss.
        """
        filesystem, root = self._open()
        # Only what has a name of ours: the folder may hold something else by mistake.
        found = filesystem.find(root, detail=True) if filesystem.exists(root) else {}
        ours = {name: info for name, info in found.items() if name.endswith(_SUFFIX)}
        excess = sum(int(info.get("size") or 0) for info in ours.values()) - max_bytes
        removed = 0
        for name in sorted(ours, key=lambda name: _written(ours[name])):
            if excess <= 0:
                break
            filesystem.rm_file(name)
            excess -= int(ours[name].get("size") or 0)
            removed += 1
        return removed

    def _open(self) -> tuple[Any, str]:
        if self._opened is None:
            from fsspec.core import url_to_fs

            self._opened = url_to_fs(self.url)
        return self._opened

    def _place(self, name: bytes) -> tuple[Any, str]:
        filesystem, root = self._open()
        return filesystem, f"{root.rstrip('/')}/{name.hex()[:2]}/{name.hex()}{_SUFFIX}"

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
            pointer = self._folder.write(item.data[HEADER_BYTES:])
        except Exception as error:  # a file system raises what it likes
            self.counters.add({"spill_errors": 1, f"spill_errors_{type(error).__name__}": 1})
            return None
        self.counters.add({"spilled": 1, "spilled_bytes": len(item.data)})
        return item._replace(data=item.data[:HEADER_BYTES] + pointer)

    def _followed(self, answer: Blob | Missed) -> Blob | Missed:
        if isinstance(answer, Missed) or not is_pointer(answer.data):
            return answer
        header, pointer = answer.data[:HEADER_BYTES], answer.data[HEADER_BYTES:]
        started = time.perf_counter()
        try:
            payload = self._folder.read(pointer)
        except Exception as error:
            self.counters.add({f"spill_errors_{type(error).__name__}": 1})
            return Missed("spill")
        if payload is None:
            return Missed("corrupt")
        return Blob(header + payload, "spill", time.perf_counter() - started)


def is_pointer(data: bytes) -> bool:
    """Whether a blob points to a file, and isn't one whose payload happens to look like that."""
    looks = len(data) == HEADER_BYTES + _POINTER.size and data[HEADER_BYTES:].startswith(_MAGIC)
    return looks and claimed_payload_bytes(data) != _POINTER.size


def _written(info: Mapping[str, Any]) -> float:
    """When a file was written, as its file system says; seconds since 1970."""
    moment = info.get("mtime") or info.get("LastModified") or info.get("created") or 0.0
    return float(moment.timestamp() if hasattr(moment, "timestamp") else moment)


def _protocols(filesystem: Any) -> tuple[str, ...]:
    protocol = filesystem.protocol
    return (protocol,) if isinstance(protocol, str) else tuple(protocol)
