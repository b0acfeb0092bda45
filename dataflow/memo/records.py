"""What is noted of a document when its value is stored: enough to say later which part of its key changed."""

from __future__ import annotations

import functools
import time
from typing import Any

from dataflow.document import Document
from dataflow.memo.chain import Chain
from dataflow.memo.keys import RUNTIME, Key, digest, encode

__all__ = ["record_of"]

_NO_PARAMETERS = digest(encode(()))


def record_of(
    chain: Chain, document: Document, content_digest: bytes, epoch: bytes, key: Key
) -> dict[str, Any]:
    """The parts of a document's key, as plain data of some 300 bytes. No content and no secret is in it."""
    return {
        "content": content_digest,
        "state": [document.size_bytes, document.modified, document.etag],
        "stages": _stages(chain.names, chain.ids),
        "parameters": digest(encode(chain.parameters(document))) if chain.fields else _NO_PARAMETERS,
        "tag": chain.tag,
        "epoch": epoch,
        "runtime": RUNTIME,
        "key": key,
        "stored": time.time(),
    }


@functools.lru_cache(maxsize=64)
def _stages(names: tuple[str, ...], ids: tuple[bytes, ...]) -> list[list[str | bytes]]:
    # Lists, and no tuples: msgpack has none, and one that is packed as an extension takes ten times as long.
    return [list(pair) for pair in zip(names, ids, strict=True)]
