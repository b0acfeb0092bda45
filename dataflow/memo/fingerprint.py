"""The fingerprint of a function: equal when, and only when, the code it reaches is."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import PurePath
from typing import Any

from dataflow.errors import one_line
from dataflow.memo.keys import SCHEMA, Uncacheable, digest, encode, tagged
from dataflow.memo.notices import DynamicCodeWarning, SetOrderWarning
from dataflow.memo.special import taken
from dataflow.memo.walk import Walk
from dataflow.pipeline import Stage

__all__ = [
    "DynamicCodeWarning",
    "SetOrderWarning",
    "Uncacheable",
    "fingerprint",
    "likeness",
    "stage_fingerprint",
]


def fingerprint(
    function: Any, *, version: str | None = None, deps: Iterable[Any] = (), ignore: Iterable[str] = ()
) -> bytes:
    """What a function computes, as 20 bytes: its code and all first-party code and data that it reaches.

    The walk follows functions, classes, globals, closures, defaults, attributes of first-party modules and
    imports inside functions. Comments, docstrings, positions and decorators' arguments don't count.
    Installed packages count by name and version, the standard library by Python's version. The result is the
    same in every process, whatever its hash seed.

    Args:
        function: any callable.
        version: changes the fingerprint when the code can't show that results change (a model's weights).
        deps: functions, classes, modules or plain data that the function depends on unseen; a ``Path`` is a file, or a
            folder, whose content it depends on.
        ignore: names of globals, closure variables and attributes that don't matter (counters, clients).

    Raises:
        Uncacheable: something it reaches has no stable description. The message names it and the mend.

    Warns:
        DynamicCodeWarning: it uses ``eval``, ``exec``, ``globals``, ``sys.modules``, ``import_module`` or their
            like, whose targets can't be seen.
        SetOrderWarning: a list, dict or text that it reads seems to have the order of a set, and it can't be seen
            how it is made: its fingerprint differs from process to process.
    """
    walk = Walk(frozenset(ignore))
    name, deps = str(taken(function, "__qualname__") or type(function).__qualname__), tuple(deps)
    walk.notices.files_are_known = any(isinstance(dep, PurePath) for dep in deps)
    try:
        parts = [walk.root(function)]
        parts += [_content(dep) if isinstance(dep, PurePath) else walk.root(dep) for dep in deps]
        nodes = walk.finish() + walk.effects()
        walk.notices.files()
    except RecursionError:
        raise Uncacheable(f"{name}: data that it reaches is nested too deep to be keyed.") from None
    except (Uncacheable, Warning):
        raise
    except Exception as error:  # objects may do what they like when they are looked at
        why = f"{type(error).__name__}: {one_line(error)}".rstrip(".")
        raise Uncacheable(
            f"{walk.path} can't be keyed: looking at it raised {why}. Say ignore= and version=."
        ) from None
    head = encode((SCHEMA, version, len(parts)))
    return digest(tagged(b"fingerprint", head + b"".join(parts) + nodes))


def likeness(function: Any, is_bound: Callable[[object], bool]) -> bytes | None:
    """As :func:`fingerprint`, of as much as can be told: what has no stable description counts by its name alone.

    It says whether two processes have the same of a function, and is no key. ``None`` where nothing can be told.

    Args:
        function: any callable.
        is_bound: says of an object whether it can't leave its process: of a client or a pool only its kind is told,
            whatever it has been used for.
    """
    walk = Walk()
    walk.notices.quiet, walk.is_bound = True, is_bound
    try:
        parts = walk.root(function)
        return digest(tagged(b"likeness", parts + walk.finish() + walk.effects()))
    except Exception:  # objects may do what they like when they are looked at
        return None


def _content(path: PurePath) -> bytes:
    """A file that is named with ``deps=``, or all files below a folder: what is in them, wherever they lie."""
    try:
        if not os.path.isdir(path):
            with open(path, "rb") as file:
                return tagged(b"file", digest(file.read()))
        found = sorted(os.path.join(place, name) for place, _, names in os.walk(path) for name in names)
        inside = [(os.path.relpath(one, path), _content(PurePath(one))) for one in found]
    except OSError as error:
        raise Uncacheable(f"deps= names {path}, which can't be read: {one_line(error)}.") from None
    return tagged(b"folder", encode(tuple(inside)))


def stage_fingerprint(stage: Stage[..., Any]) -> bytes:
    """The fingerprint of a stage: its name and its function's, with its ``version``, ``deps`` and ``ignore``.

    Raises:
        Uncacheable: see :func:`fingerprint`; the message begins with the stage's name.
    """
    try:
        code = fingerprint(stage.function, version=stage.version, deps=stage.deps, ignore=stage.ignore)
    except Uncacheable as error:
        raise Uncacheable(f"stage {stage.name!r}: {error}") from None
    return digest(encode((stage.name, code)))
