"""Names in the texts of queries, which pandas, DuckDB and polars look up where the query is asked.

``frame.query("words > @LIMIT")`` and ``duckdb.sql("from CODES")`` read globals, of which the code says nothing.
"""

from __future__ import annotations

import contextlib
import glob
import os
import re
import types
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from dataflow.memo.code import Chain, Reads
from dataflow.memo.origin import installed_as

__all__ = ["files_in", "queried"]

_ASKING = frozenset(
    {"eval", "execute", "executemany", "filter", "from_query", "query", "sql", "table", "view"}
)
_ASKED = frozenset({"duckdb", "_duckdb", "pandas", "polars"})
_NAMES = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")
_QUOTED = re.compile(r"'([^'\n\0]{1,255})'")
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
    if not _asks(found, space):
        return []
    names = {name for text in _texts_at_hand(function, found) for name in _NAMES.findall(text)}
    return sorted(tuple(name.split(".")) for name in names if name.partition(".")[0] in space)


def _asks(found: Reads, space: Mapping[str, Any]) -> bool:
    """Whether code asks queries: by the name of a method, or of what is imported of a library that answers them."""
    if _ASKING & found.loose or any(_ASKING.intersection(chain[1:]) for chain in found.chains):
        return True
    return any(len(chain) == 1 and _answers(space.get(chain[0])) for chain in found.chains)


def _answers(value: object) -> bool:
    if not isinstance(value, types.FunctionType | types.BuiltinFunctionType):
        return False
    home = str(value.__module__).partition(".")[0]
    return home in _ASKED and value.__name__.removeprefix("module_") in _ASKING  # as DuckDB calls its own


def _texts_at_hand(function: types.FunctionType, found: Reads) -> Iterator[str]:
    """The texts in a function, and those that its globals, defaults, closure and class are or hold."""
    yield from _texts_in(function.__code__.co_consts, function.__doc__)
    space = function.__globals__
    held = [space.get(name) for name in sorted({chain[0] for chain in found.chains})]
    held += [function.__defaults__, function.__kwdefaults__, _class_of(function)]
    for cell in function.__closure__ or ():
        with contextlib.suppress(ValueError):  # it is empty
            held.append(cell.cell_contents)
    for one in held:
        yield from _held(one)


def _class_of(function: types.FunctionType) -> object:
    """The class in which a method is defined, at the top of its module."""
    name, _, rest = function.__qualname__.partition(".")
    found = function.__globals__.get(name)
    return found if rest and isinstance(found, type) else None


def files_in(function: types.FunctionType, found: Reads) -> list[str]:
    """The files that are named in the texts of a function's queries: ``from 'codes.csv'``, and are there."""
    if not _asks(found, function.__globals__):
        return []
    quoted = {name for text in _texts_at_hand(function, found) for name in _QUOTED.findall(text)}
    return sorted(repr(name) for name in quoted if _is_there(name))


def _is_there(name: str) -> bool:
    if not name.strip("./*") or not ("." in name or "/" in name):  # a value like any other
        return False
    return os.path.exists(name) or (glob.has_magic(name) and next(glob.iglob(name), None) is not None)


def _texts_in(constants: Iterable[object], doc: str | None) -> Iterator[str]:
    for one in constants:
        if isinstance(one, types.CodeType):
            yield from _texts_in(one.co_consts, None)
        elif isinstance(one, tuple | frozenset):
            yield from _texts_in(one, None)
        elif isinstance(one, str) and one != doc:
            yield one


def _held(value: object) -> Iterator[str]:
    """The texts that a value is or holds, as far as it is looked into."""
    waiting: deque[Any] = deque([value])
    seen: set[int] = set()
    for _ in range(_MOST_TEXTS):
        if not waiting:
            break
        one = waiting.popleft()
        if isinstance(one, str):
            yield str.__str__(one)
        elif type(one) is dict:
            waiting += one.values()
        elif type(one) in (list, tuple):
            waiting += one
        elif type(one) in (set, frozenset):  # in one order for every process
            waiting += sorted(text for text in one if isinstance(text, str))
        elif id(one) not in seen and _is_own(one):
            seen.add(id(one))
            waiting += list(vars(one).values())


def _is_own(value: object) -> bool:
    """Whether it is a module, a class, or an object of one, of first-party code, or a plain namespace."""
    if type(value) is types.SimpleNamespace:
        return True
    if isinstance(value, types.ModuleType):
        return installed_as(value.__name__) is None
    kind = value if isinstance(value, type) else type(value)
    try:
        return installed_as(kind.__module__) is None and isinstance(vars(value), Mapping)
    except Exception:  # it has none, or does what it likes when it is looked at
        return False
