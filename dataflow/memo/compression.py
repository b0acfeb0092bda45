"""Compression of payloads, with a bound on what may come out."""

from __future__ import annotations

import threading
from typing import Any

from dataflow.errors import CacheError

__all__ = ["COMPRESSIONS", "compress", "decompress", "require"]

COMPRESSIONS = {"raw": 0, "lz4": 1, "zstd": 2}
"""Names, as a strategy's ``payload`` has them, and numbers, as the envelope's header has them."""

_MODULES = {1: "lz4.frame", 2: "zstandard"}
_local = threading.local()


def require(name: str) -> int:
    """The number of a compression whose library is there. Raises CacheError if unknown or not installed."""
    if name not in COMPRESSIONS:
        raise CacheError(f"payload {name!r} is unknown: choose one of {', '.join(COMPRESSIONS)}.")
    number = COMPRESSIONS[name]
    if number:
        _library(number)
    return number


def compress(number: int, data: bytes) -> bytes:
    """``data`` compressed; number 0 leaves it as it is."""
    if number == 0:
        return data
    library = _library(number)
    if number == 1:
        return bytes(library.compress(data))
    # A zstd compressor belongs to one thread.
    if not hasattr(_local, "zstd"):
        _local.zstd = library.ZstdCompressor(level=3)
    return bytes(_local.zstd.compress(data))


def decompress(number: int, data: bytes | memoryview, raw_bytes: int) -> bytes | memoryview:
    """What was compressed, never more than ``raw_bytes``. Raises ValueError if it isn't exactly that much."""
    if number == 0:
        raw: bytes | memoryview = data
    elif number not in _MODULES:
        raise ValueError(f"no compression has the number {number}")
    else:
        raw = _bounded(number, data, raw_bytes + 1)
    if len(raw) != raw_bytes:
        raise ValueError("the payload's length isn't the one that its header says")
    return raw


def _bounded(number: int, data: bytes | memoryview, limit: int) -> bytes:
    library = _library(number)
    try:
        if number == 1:
            return bytes(library.LZ4FrameDecompressor().decompress(data, max_length=limit))
        with library.ZstdDecompressor().stream_reader(bytes(data)) as reader:
            return bytes(reader.read(limit))
    except _errors(number, library) as error:
        raise ValueError(str(error)) from error


def _library(number: int) -> Any:
    import importlib

    try:
        return importlib.import_module(_MODULES[number])
    except ImportError:
        package = _MODULES[number].partition(".")[0]
        raise CacheError(f"payload needs {package}: pip install {package}, or choose payload=raw.") from None


def _errors(number: int, library: Any) -> tuple[type[Exception], ...]:
    return (RuntimeError,) if number == 1 else (RuntimeError, library.ZstdError)
