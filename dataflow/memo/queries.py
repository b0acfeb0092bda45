"""Names in the texts of queries, which pandas, DuckDB and polars look up where the query is asked.

``frame.query("words > @LIMIT")`` and ``duckdb.sql("from CODES")`` read globals, of which the code says nothing.
"""

from __future__ import annotations

import re
import types
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from dataflow.memo.code import Chain, Reads

__all__ = ["queried"]

_ASKING = frozenset({"eval", "execute", "executemany", "query", "sql"})
_NAMES = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")
_MOST_TEXTS = 100_000


def queried(function: types.FunctionType, found: Reads) -> list[Chain]:
    """The globals that a function may read by the text of a query, where it asks one.

    Any word of its texts may be one: more than are meant cost no more than a false miss, as long as nothing is refused
    for them.

    Args:
        function: the function.
        found: what its code reads.
    """
    space = function.__globals__
    if not _ASKING & found.loose and not any(_ASKING.intersection(chain[1:]) for chain in found.chains):
        return []
    texts = [*_texts_in(function.__code__.co_consts, function.__doc__), *_held(space, found)]
    names = {name for text in texts for name in _NAMES.findall(text)}
    return sorted(tuple(name.split(".")) for name in names if name.partition(".")[0] in space)


def _texts_in(constants: Iterable[object], doc: str | None) -> Iterator[str]:
    for one in constants:
        if isinstance(one, types.CodeType):
            yield from _texts_in(one.co_consts, None)
        elif isinstance(one, tuple | frozenset):
            yield from _texts_in(one, None)
        elif isinstance(one, str) and one != doc:
            yield one


def _held(space: Mapping[str, Any], found: Reads) -> Iterator[str]:
    """The texts that its globals are or hold, as far as each of them is looked into."""
    for name in sorted({chain[0] for chain in found.chains}):
        waiting: deque[Any] = deque([space.get(name)])
        for _ in range(_MOST_TEXTS):
            if not waiting:
                break
            one = waiting.popleft()
            if isinstance(one, str):
                yield one
            elif type(one) is dict:
                waiting += one.values()
            elif type(one) in (list, tuple):
                waiting += one
            elif type(one) in (set, frozenset):  # in one order for every process
                waiting += sorted(text for text in one if isinstance(text, str))
