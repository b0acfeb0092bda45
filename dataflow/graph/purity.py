"""Does a task's result follow from its code and arguments alone? What looks outside is found out here.

The list below names what gives another answer each time (chance, clocks, identities), what reads or changes
the outside world (files, network, environment, processes) and what varies by process (``hash``, ``id``).
First-party code is searched through, as deep as it goes; installed code is known by its names alone.
"""

from __future__ import annotations

import dis
import functools
import inspect
import types
from collections.abc import Collection, Iterator
from typing import Any

from dataflow.memo.code import reads
from dataflow.memo.keys import LEAVES, of_leaves
from dataflow.memo.origin import installed_as
from dataflow.memo.special import importable

__all__ = ["ALLOWED", "DENIED", "Purity", "names_of"]

_CHANCE = """
random secrets uuid.uuid1 uuid.uuid4 uuid.getnode time numpy.random scipy.stats.qmc
dask.array.random dask.bag.random datetime.datetime.now datetime.datetime.utcnow
datetime.datetime.today datetime.date.today pandas.Timestamp.now pandas.Timestamp.utcnow
pandas.Timestamp.today builtins.hash builtins.id
"""
_PROCESS = """
os posix sys.argv sys.stdin socket getpass platform tempfile shutil glob subprocess multiprocessing
threading.get_ident threading.current_thread distributed dask.config builtins.input
"""
_FILES = """
builtins.open io.open _io linecache pathlib.Path.cwd pathlib.Path.home sqlite3 duckdb fsspec s3fs
urllib.request http.client ftplib smtplib requests httpx aiohttp zarr h5py tiledb partd
numpy.load numpy.fromfile numpy.loadtxt numpy.genfromtxt numpy.memmap numpy.save numpy.savetxt numpy.savez
pandas.read_csv pandas.read_parquet pandas.read_json pandas.read_excel pandas.read_sql pandas.read_table
pandas.read_feather pandas.read_pickle pandas.read_html pandas.read_hdf pandas.io.parsers.readers
pandas.io.parquet pyarrow.parquet pyarrow.dataset pyarrow.fs pyarrow.csv
"""
# Tasks of Dask's own that read, write, warn, or hand data on past the graph.
_DASK = """
dask.bytes dask.dataframe.io dask.dataframe.dask_expr.io dask.bag.text dask.bag.avro
dask.array.core.store_chunk dask.array.core.load_chunk dask.array.core.load_store_chunk
dask.bag.core.partition dask.bag.core.collect dask.bag.core.safe_take dask.bag.core._to_textfiles_chunk
dask.dataframe.shuffle dask.dataframe.dask_expr._shuffle._shuffle_transfer
"""
_UNSEEN = """
builtins.eval builtins.exec builtins.globals builtins.locals builtins.vars builtins.__import__ importlib
"""
_HARMLESS = """
time.sleep time.strftime time.strptime time.gmtime time.struct_time os.path os.fspath os.sep os.linesep
os.fsencode os.fsdecode posixpath ntpath dask.dataframe.dask_expr.io.io.FromPandas dask.dataframe.io.utils
"""
# Methods of objects that aren't known until the code runs.
_METHODS = """
read_text read_bytes write_text write_bytes iterdir urandom urlopen tofile to_csv to_parquet to_sql
to_pickle savefig unlink mkdir rmdir touch
"""
DENIED = frozenset((_CHANCE + _PROCESS + _FILES + _DASK + _UNSEEN).split())
"""Dotted names; whatever is inside of them is denied too."""
ALLOWED = frozenset(_HARMLESS.split())
"""What of these changes nothing."""
DENIED_METHODS = frozenset(_METHODS.split())
_WRITES = {"STORE_GLOBAL", "DELETE_GLOBAL"}
_ABSENT = object()


class Purity:
    """Looks things through; what was looked through once isn't again.

    Args:
        trust: functions, or names of functions, that aren't looked at.
    """

    def __init__(self, trust: Collection[Any] = ()) -> None:
        self._trusted_names = {one for one in trust if isinstance(one, str)}
        self._trusted = [one for one in trust if not isinstance(one, str)]
        self._known: dict[int, tuple[Any, str | None]] = {}

    def why_not(self, value: object) -> str | None:
        """What the value reaches that its result may follow; ``None`` if there is nothing."""
        known = self._known.get(id(value))
        if known is None:
            known = self._known[id(value)] = (value, self._search(value))
        return known[1]

    def _search(self, root: object) -> str | None:
        waiting: list[Any] = [root]
        seen: dict[int, Any] = {}
        while waiting:
            value = waiting.pop()
            if id(value) in seen or type(value) in LEAVES or of_leaves(value) or self._is_trusted(value):
                continue
            seen[id(value)] = value  # kept alive: the identity of what is gone would be given to another
            reason = _denied_value(value) or _code_reason(value)
            if reason:
                return reason
            for found in _reached(value):
                if isinstance(found, str):
                    return found
                waiting.append(found.value)
        return None

    def _is_trusted(self, value: Any) -> bool:
        names = names_of(value)
        return bool(names & self._trusted_names) or any(value is one for one in self._trusted)


class _Reached:
    """A value that is reached; a plain string in its place is a reason to refuse."""

    __slots__ = ("value",)

    def __init__(self, value: object) -> None:
        self.value = value


def names_of(value: Any) -> set[str]:
    """The names that people know a callable by: short, qualified, and with its module."""
    value = value.func if isinstance(value, functools.partial) else value
    name, full = getattr(value, "__name__", None), getattr(value, "__qualname__", None)
    if not isinstance(name, str) or not isinstance(full, str):
        return set()
    return {name, full, f"{getattr(value, '__module__', None)}.{full}"}


def _denied(dotted: str) -> str | None:
    parts = dotted.split(".")
    prefixes = {".".join(parts[:n]) for n in range(1, len(parts) + 1)}
    if prefixes & DENIED and not prefixes & ALLOWED:
        return f"it reaches {dotted}, whose answer may differ each time or comes from outside"
    return None


def _denied_value(value: Any) -> str | None:
    if isinstance(value, types.ModuleType):
        return _denied(value.__name__)
    owner = value if isinstance(value, _NAMED) else type(value)
    if isinstance(owner, type) and owner.__module__ in ("builtins", "types", "functools"):
        return None
    name = getattr(owner, "__qualname__", None) or getattr(owner, "__name__", "")
    return _denied(f"{_module_of(owner)}.{name}")


_NAMED = (type, types.FunctionType, types.BuiltinFunctionType)


def _module_of(owner: Any) -> str:
    module = getattr(owner, "__module__", None)
    if module is None and getattr(owner, "__self__", None) is not None:
        module = type(owner.__self__).__module__
    return str(module or "builtins")


def _is_first_party(function: types.FunctionType) -> bool:
    return installed_as(str(function.__globals__.get("__name__") or function.__module__ or "")) is None


def _code_reason(value: Any) -> str | None:
    if not isinstance(value, types.FunctionType):
        return None
    first_party = _is_first_party(value)
    if not first_party and importable(value.__module__ or "", value.__qualname__) is value:
        return None
    for code in _codes(value.__code__):
        for step in dis.get_instructions(code):
            outer = step.opname == "STORE_DEREF" and step.argval in value.__code__.co_freevars
            if outer or step.opname in _WRITES:
                return f"{value.__qualname__} writes {step.argval}, which is not its own"
        denied = DENIED_METHODS.intersection(code.co_names)
        if denied and first_party:
            return f"{value.__qualname__} calls .{min(denied)}()"
    return None


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)


def _reached(value: Any) -> Iterator[_Reached | str]:
    """What a value leads to, or the reason to refuse it."""
    if isinstance(value, types.FunctionType):
        if _is_first_party(value):
            yield from _globals(value)
        yield from map(_Reached, _own_parts(value))
    elif isinstance(value, types.ModuleType):
        if installed_as(value.__name__) is None:
            yield from (_Reached(v) for v in vars(value).values() if isinstance(v, types.FunctionType))
    elif isinstance(value, type):
        if installed_as(value.__module__) is None:
            yield from map(_Reached, [*vars(value).values(), *value.__bases__])
    elif isinstance(value, dict):
        yield from map(_Reached, [*value.keys(), *value.values()])
    elif isinstance(value, list | tuple | set | frozenset):
        yield from map(_Reached, value)
    else:
        yield from map(_Reached, _state(value))


def _own_parts(function: types.FunctionType) -> list[Any]:
    cells = [cell.cell_contents for cell in function.__closure__ or () if _is_filled(cell)]
    return [*cells, *(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values(),
            *vars(function).values()]  # fmt: skip


def _is_filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not _ABSENT
    except ValueError:
        return False


def _globals(function: types.FunctionType) -> Iterator[_Reached | str]:
    found = reads(function.__code__)
    builtins = function.__globals__.get("__builtins__", {})
    builtin = builtins if isinstance(builtins, dict) else vars(builtins)
    for chain in sorted(found.chains):
        if chain[0] not in function.__code__.co_freevars:
            yield from _chain(chain, function.__globals__, builtin)
    for statement in sorted(found.imports):
        for name in statement.names or ("",):
            dotted = f"{statement.module}.{name}".strip(".")
            reason = _denied(dotted) if not statement.level else None
            # ``import time`` alone says nothing: which of its names is meant can't be seen, so it is refused.
            if reason:
                yield reason
        yield from _imported(function, statement)


def _imported(function: types.FunctionType, statement: Any) -> Iterator[_Reached | str]:
    import importlib

    package = str(function.__globals__.get("__package__") or "")
    try:
        module = importlib.import_module("." * statement.level + statement.module, package)
    except (ImportError, TypeError, ValueError):
        return
    yield from (_Reached(getattr(module, name, None)) for name in statement.names)
    if not statement.names:
        yield _Reached(module)


def _chain(
    chain: tuple[str, ...], space: dict[str, Any], builtin: dict[str, Any]
) -> Iterator[_Reached | str]:
    value = space.get(chain[0], builtin.get(chain[0], _ABSENT))
    for name in chain[1:]:
        if not isinstance(value, types.ModuleType | type):
            break
        owner = value.__name__ if isinstance(value, types.ModuleType) else _class_name(value)
        reason = _denied(f"{owner}.{name}")
        if reason:
            yield reason
            return
        inner = getattr(value, name, _ABSENT)
        if inner is _ABSENT or (isinstance(value, type) and installed_as(value.__module__) is not None):
            break
        value = inner
    if value is not _ABSENT and not _is_harmless_module(value):
        yield _Reached(value)


def _class_name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _is_harmless_module(value: object) -> bool:
    # The names that are taken of a module were looked at one by one; ``os.path.join`` ends at its function.
    return isinstance(value, types.ModuleType) and _denied(value.__name__) is None


def _state(value: Any) -> list[Any]:
    """What an object of any other kind holds, without asking it to compute anything."""
    if isinstance(value, functools.partial):
        return [value.func, value.args, value.keywords]
    if isinstance(value, types.MethodType):
        return [value.__func__, value.__self__]
    if isinstance(value, types.BuiltinFunctionType):
        owner = value.__self__
        return [] if owner is None or isinstance(owner, types.ModuleType) else [owner]
    parts = [getattr(value, "__wrapped__", None), getattr(value, "__func__", None), type(value)]
    if isinstance(value, property):
        parts += [value.fget, value.fset, value.fdel]
    parts += list(getattr(value, "__dict__", {}).values())
    slots = [s for kind in type(value).__mro__ for s in _slots(kind)]
    return parts + [getattr(value, name, None) for name in slots]


def _slots(kind: type) -> list[str]:
    slots = vars(kind).get("__slots__", ())
    names = [slots] if isinstance(slots, str) else list(slots)
    return [n for n in names if inspect.ismemberdescriptor(vars(kind).get(n))]
