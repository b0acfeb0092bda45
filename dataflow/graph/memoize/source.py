"""From what a user calls a memo (a name, a URL, a spec) to the spec that travels in the tasks."""

from __future__ import annotations

import atexit
import dataclasses
import functools
import os

from dataflow.errors import CacheError
from dataflow.memo.admin import generation
from dataflow.memo.secret import cache_secret
from dataflow.memo.server import EmbeddedServer
from dataflow.memo.spec import KINDS, MemoSpec

__all__ = ["spec_of", "with_generation"]


def spec_of(memo: MemoSpec | str) -> MemoSpec:
    """The spec of a memo: a spec itself, a server's URL, or one of the kinds.

    ``redis`` and ``tiered`` use the server that REDIS_URL names. Without it, one is started on a Unix socket,
    once for this process, and ends with it: workers on this machine reach it.

    Raises:
        CacheError: it is none of these, or no server can be started.
    """
    if isinstance(memo, MemoSpec):
        return memo
    if not isinstance(memo, str):
        kind = type(memo).__name__
        raise CacheError(f"a {kind} can't travel to the workers: pass a MemoSpec, a URL or a kind of memo.")
    if "://" in memo:
        return MemoSpec("redis", url=memo, secret=cache_secret())
    if memo in ("redis", "tiered"):
        return MemoSpec(
            memo, url=os.environ.get("REDIS_URL") or _own_server(os.getpid()), secret=cache_secret()
        )
    if memo not in KINDS:
        raise CacheError(f"memo {memo!r} is unknown: pass a redis:// URL or one of {', '.join(KINDS)}.")
    return MemoSpec(memo)


def with_generation(spec: MemoSpec) -> MemoSpec:
    """The spec with its server's present generation, so that no worker goes on with what was invalidated by hand.

    Only ``tiered`` has something in memory that a server's users can't reach. A server that doesn't answer leaves
    the spec as it was.
    """
    if spec.kind != "tiered" or spec.generation or spec.url is None:
        return spec
    try:
        return dataclasses.replace(spec, generation=generation(spec.url, spec.namespace))
    except CacheError:
        return spec


@functools.lru_cache(maxsize=1)
def _own_server(pid: int) -> str:
    """The URL of this process's server; a forked child starts its own."""
    server = EmbeddedServer().start()
    atexit.register(server.stop)
    return server.url
