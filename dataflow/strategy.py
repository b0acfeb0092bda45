"""A strategy: every choice about *how* a pipeline is run, as frozen data."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import Any

from dataflow.errors import StrategyError
from dataflow.limits import LONGEST_SECONDS, parse_size

__all__ = ["LEVELS", "Freshness", "Strategy"]

#: The levels of each factor, as a user writes them. ``N`` stands for a number above 0.
LEVELS: dict[str, tuple[str, ...]] = {
    "cache": ("none", "lru", "redis", "tiered"),
    "freshness": ("content", "stat", "ttl:SECONDS", "tag:NAME"),
    "batching": ("fixed:N", "bytes:N", "adaptive"),
    "collect": ("gather", "ordered", "as_completed"),
    "errors": ("fail", "skip", "bisect"),
    "payload": ("raw", "lz4", "zstd"),
    "eviction": (
        "allkeys-lfu",
        "allkeys-lru",
        "allkeys-random",
        "volatile-lfu",
        "volatile-lru",
        "volatile-random",
        "volatile-ttl",
        "noeviction",
    ),
}

_MEMORIES = ("near_memory", "server_memory")

_LEAST_MEMORY = 1024**2


@dataclass(frozen=True, slots=True)
class Freshness:
    """What makes a cached value count as new, besides the code.

    Attributes:
        by_stat: URL, size and entity tag or modification time stand for the bytes.
        ttl_seconds: how long a value lives; ``None`` for ever.
        tag: values end when it is invalidated; ``None`` for no tag.
    """

    by_stat: bool
    ttl_seconds: float | None = None
    tag: str | None = None

    @classmethod
    def parse(cls, level: str) -> Freshness:
        """From a level as a user writes it. Raises StrategyError."""
        base, ttl, tag = None, None, None
        for part in level.split("+"):
            kind, _, argument = part.partition(":")
            if part in ("content", "stat") and base is None:
                base = part
            elif kind == "ttl" and ttl is None and _is_seconds(argument):
                ttl = float(argument)
            elif kind == "tag" and tag is None and re.fullmatch(r"[\w.@/-]{1,200}", argument):
                tag = argument
            else:
                raise StrategyError(
                    f"freshness has no level {level!r}; there are {', '.join(LEVELS['freshness'])}, and "
                    "content+ttl:60 and the like. A tag's name has letters, digits and . _ - / @ only."
                )
        return cls(base != "content", ttl, tag)


@dataclass(frozen=True, slots=True)
class Strategy:
    """Every choice about how to run.

    Attributes:
        cache: ``none``; ``lru``, in the worker, bounded in bytes; ``redis``, shared by all workers; ``tiered``,
            the one in front of the other.
        freshness: what makes a cached value count as new, besides the code. ``content``: the digest of the
            bytes. ``stat``: URL, size and entity tag or modification time, so that a warm run reads no
            document. ``ttl:SECONDS`` and ``tag:NAME``: as ``stat``, for so long, or until the tag is
            invalidated; ``content+ttl:60`` and the like read the bytes all the same.
        batching: ``fixed:N`` documents, ``bytes:N`` (``bytes:1MiB``), or ``adaptive``, by predicted seconds.
        collect: ``gather``, all at the end; ``ordered``, in the corpus's order; ``as_completed``.
        errors: ``fail``, the first bad document ends the run; ``skip``, it is an outcome, and a batch whose
            worker died is quarantined whole; ``bisect``, such a batch is halved until the culprit is found.
        payload: how values are compressed on their way to Redis.
        near_memory: what ``lru``, and the front of ``tiered``, may take in each worker process, such as ``128MiB``.
        server_memory: the limit of a server that is started for the run; one of yours keeps its own.
        eviction: what goes first on such a server when it is full, as Redis's ``maxmemory-policy``.
        fuse: one Dask task a batch; when false every node is a task of its own, to look at.
        admission: leave the cache alone where looking up costs more than computing, as measured.
        timeout_seconds: limit for one document in one stage, unless the stage has its own.

    Raises:
        StrategyError: a level that doesn't exist.
    """

    cache: str = "none"
    freshness: str = "content"
    batching: str = "adaptive"
    collect: str = "as_completed"
    errors: str = "bisect"
    payload: str = "raw"
    near_memory: str = "128MiB"
    server_memory: str = "512MiB"
    eviction: str = "allkeys-lfu"
    fuse: bool = True
    admission: bool = True
    timeout_seconds: float = 60.0

    def __post_init__(self) -> None:
        if self.fresh.tag is not None and self.cache == "lru":
            raise StrategyError(
                "freshness tag:NAME needs a store that all workers share: cache redis or tiered."
            )
        for factor, levels in LEVELS.items():
            if factor == "freshness":
                continue
            _check(factor, str(getattr(self, factor)), levels)
        for name in _MEMORIES:
            if parse_size(str(getattr(self, name))) < _LEAST_MEMORY:
                raise StrategyError(f"{name} must be a size of 1MiB or more, not {getattr(self, name)!r}.")
        if not 0 < self.timeout_seconds <= LONGEST_SECONDS:
            raise StrategyError(
                f"timeout must be seconds above 0 and up to 30 days, not {self.timeout_seconds!r}."
            )

    @property
    def fresh(self) -> Freshness:
        """The freshness, taken apart."""
        return Freshness.parse(self.freshness)

    @property
    def batch_rule(self) -> tuple[str, int]:
        """``("fixed", documents)``, ``("bytes", bytes)`` or ``("adaptive", 0)``."""
        return _parse(self.batching)

    @property
    def near_bytes(self) -> int:
        """What the near tier of a worker process may take."""
        return parse_size(self.near_memory)

    @property
    def server(self) -> dict[str, Any]:
        """What a server that is started for the run is told: ``max_bytes`` and ``policy``."""
        return {"max_bytes": parse_size(self.server_memory), "policy": self.eviction}

    def replace(self, **changes: Any) -> Strategy:
        """The same strategy with some choices changed.

        Raises:
            StrategyError: a factor or a level that doesn't exist.
        """
        known = {f.name for f in dataclasses.fields(self)}
        unknown = sorted(set(changes) - known)
        if unknown:
            raise StrategyError(f"no factor is called {unknown[0]!r}; there are {', '.join(sorted(known))}.")
        return dataclasses.replace(self, **changes)

    def describe(self) -> str:
        """One line: every choice that differs from the default, or ``default``."""
        default = type(self)()
        parts = [
            f"{f.name}={getattr(self, f.name)}"
            for f in dataclasses.fields(self)
            if getattr(self, f.name) != getattr(default, f.name)
        ]
        return " ".join(parts) or "default"


def _is_seconds(text: str) -> bool:
    return re.fullmatch(r"\d+(\.\d+)?", text) is not None and float(text) > 0


def _check(factor: str, level: str, levels: tuple[str, ...]) -> None:
    if level in levels and not level.endswith(":N"):
        return
    kind, _, number = level.partition(":")
    if f"{kind}:N" in levels and number not in ("", "N"):
        _parse(level)
        return
    raise StrategyError(f"{factor} has no level {level!r}; there are {', '.join(levels)}.")


def _parse(level: str) -> tuple[str, int]:
    kind, _, number = level.partition(":")
    if not number:
        return kind, 0
    size = parse_size(number) if kind == "bytes" or number.isdecimal() else 0
    if size < 1:
        wanted = (
            "a size such as bytes:1MiB" if kind == "bytes" else f"a whole number above 0, such as {kind}:64"
        )
        raise StrategyError(f"{level!r}: after the colon comes {wanted}.")
    return kind, size
