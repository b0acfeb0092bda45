"""Whose code is it? First-party code is read line by line; installed code is known by name and version."""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import os
import re
import site
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

from dataflow.memo.keys import digest

__all__ = ["class_owner", "installed_as", "installed_unloaded", "module_of"]


def installed_as(module_name: str) -> str | None:
    """How an installed or built-in module is named in a fingerprint; ``None`` for first-party code.

    Returns:
        ``"python"`` for the standard library (Python's version is part of every key), or ``"name version"``
        of the distributions that a module under site-packages belongs to. A module of a checkout, a script, a
        notebook or an editable install is first-party: its code can change while its version doesn't.
    """
    top = module_name.partition(".")[0]
    standard = top in sys.stdlib_module_names or top in sys.builtin_module_names
    if standard and top != "__main__" and _is_standard(_file(module_name) or _file(top)):
        return "python"
    return _installed(top, _file(module_name) or _file(top))


def module_of(kind: type) -> str:
    """The module that a class says it is of; one that is written in C may keep that name for its objects."""
    module = kind.__module__
    if isinstance(module, str):
        return module
    return type.__repr__(kind).partition("'")[2].rpartition(".")[0]


def class_owner(kind: type) -> str | None:
    """Whose a class is: see :func:`installed_as`."""
    return installed_as(module_of(kind))


def installed_unloaded(module_name: str) -> str | None:
    """What :func:`installed_as` will say of an installed module that isn't loaded yet, without loading it.

    Parsers are imported where they are needed, since that takes long: to be keyed they needn't be. ``None`` for
    whatever is loaded, is first-party, part of Python, or isn't there.
    """
    top = module_name.partition(".")[0]
    if module_name in sys.modules or top in sys.stdlib_module_names or top in sys.builtin_module_names:
        return None
    try:
        spec = importlib.util.find_spec(top)
    except ValueError:  # a package that a program has made itself
        return None
    return _installed(top, _place(spec.origin, spec.submodule_search_locations)) if spec else None


@functools.lru_cache(maxsize=1024)
def _is_standard(path: str | None) -> bool:
    """Whether a module named like one of the standard library is it, and no file of the same name."""
    if path is None:
        return True  # built in, frozen, or not loaded
    real = os.path.realpath(path)
    return any(real.startswith(folder) for folder in _standard_folders()) and not _in_site_packages(path)


@functools.lru_cache(maxsize=1)
def _standard_folders() -> tuple[str, ...]:
    paths = [sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"), os.path.dirname(os.__file__)]
    paths += [path for path in sys.path if path.endswith(".zip") and path.startswith(sys.base_prefix)]
    return tuple(sorted({os.path.realpath(path) for path in paths}))


def _file(module_name: str) -> str | None:
    module = sys.modules.get(module_name)
    return _place(getattr(module, "__file__", None), getattr(module, "__path__", None))


def _place(file: str | None, folders: Iterable[str] | None) -> str | None:
    """Where a module lies. A namespace package of which one folder isn't installed may hold first-party code."""
    if file is not None:
        return file
    some = list(folders or ())
    return next((folder for folder in some if not _in_site_packages(folder)), some[0] if some else None)


@functools.lru_cache(maxsize=1024)
def _installed(top: str, path: str | None) -> str | None:
    if path is None or not _in_site_packages(path):
        return None
    owners = _distributions(top)
    return " ".join(owners) if owners else None


def _in_site_packages(path: str) -> bool:
    real = os.path.realpath(path)
    return any(real.startswith(folder + os.sep) for folder in _site_folders())


@functools.lru_cache(maxsize=1)
def _site_folders() -> tuple[str, ...]:
    paths = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *site.getsitepackages()]
    if site.ENABLE_USER_SITE:
        paths.append(site.getusersitepackages())
    # A virtual environment that sees the system's packages, or a relocated one, names them here only.
    paths += [p for p in sys.path if Path(p).name in ("site-packages", "dist-packages")]
    return tuple(sorted({os.path.realpath(p) for p in paths}))


def _distributions(top: str) -> list[str]:
    try:
        return [_described(importlib.metadata.distribution(top))]
    except (importlib.metadata.PackageNotFoundError, ValueError):
        owners = sorted({owner.metadata["Name"] for owner in _owners().get(top, ())})
        return [_described(importlib.metadata.distribution(owner)) for owner in owners]


@functools.lru_cache(maxsize=1)
def _owners() -> dict[str, list[importlib.metadata.Distribution]]:
    """Which distributions hold a module: what ``packages_distributions`` says, at a tenth of its 0.1 s."""
    found: dict[str, list[importlib.metadata.Distribution]] = {}
    for distribution in importlib.metadata.distributions():
        for name in _top_levels(distribution):
            found.setdefault(name, []).append(distribution)
    return found


def _top_levels(distribution: importlib.metadata.Distribution) -> set[str]:
    declared = set((distribution.read_text("top_level.txt") or "").split())
    if declared:
        return declared
    record = distribution.read_text("RECORD")
    if record is None:
        paths = [str(path) for path in distribution.files or ()]
    else:
        paths = [line.rsplit(",", 2)[0].strip('"') for line in record.splitlines()]
    return {path.partition("/")[0].removesuffix(".py") for path in paths if path.endswith(".py")}


def _described(distribution: importlib.metadata.Distribution) -> str:
    name = re.sub(r"[-_.]+", "-", distribution.metadata["Name"]).lower()
    text = f"{name} {distribution.version}"
    if distribution.read_text("direct_url.json"):
        # Installed from a folder or a checkout: the same version may hold other code tomorrow.
        lines = (distribution.read_text("RECORD") or "").splitlines()
        code = sorted(line for line in lines if ".dist-info/" not in line and "sha256=" in line)
        text += " " + digest("\n".join(code).encode()).hex()
    return text
