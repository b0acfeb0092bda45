"""Where a run was measured: machine, Python, packages, commit and command, as plain data for ``run.json``.

Whatever a platform doesn't tell is ``None``; nothing here raises for that.
"""

from __future__ import annotations

import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

__all__ = ["commit", "describe_environment", "machine", "shown_command", "versions", "without_secrets"]

_ROOT = Path(__file__).resolve().parents[2]
_USER_INFO = re.compile(r"(?<=://)[^\s/?#]*@")
_SECRET = r"(?:password|passwd|token|secret|signature|credential|key)"
_QUERY = re.compile(rf"([?&][^=&\s]*{_SECRET}[^=&\s]*=)[^&\s]+", re.IGNORECASE)
_OPTION = re.compile(rf"^(--?[\w-]*{_SECRET}[\w-]*=).+", re.IGNORECASE)


def describe_environment(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Everything about the surroundings that may explain a number.

    Returns:
        ``command``, ``machine``, ``python``, ``versions`` and ``commit``; ready for JSON.
    """
    return {
        "command": shown_command(sys.argv if argv is None else argv),
        "machine": machine(),
        "python": {
            "version": platform.python_version(),
            "implementation": platform.python_implementation(),
            "compiler": platform.python_compiler(),
        },
        "versions": versions(),
        "commit": commit(),
    }


def machine() -> dict[str, Any]:
    """The machine: its system, processor, cores (all, and those that may be used) and memory in bytes."""
    import psutil

    return {
        "host": platform.node() or None,
        "system": platform.platform(),
        "architecture": platform.machine() or None,
        "processor": _processor(),
        "cores": os.cpu_count(),
        "cores_physical": psutil.cpu_count(logical=False),
        "cores_affinity": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "cores_limit": _cgroup_cores(),
        "memory_bytes": psutil.virtual_memory().total,
        "memory_available_bytes": psutil.virtual_memory().available,
        "memory_limit_bytes": _cgroup_memory_bytes(),
    }


def versions() -> dict[str, str]:
    """Version of every distribution that this process has imported something of, by its name."""
    from dataflow import __version__

    loaded = {name.partition(".")[0] for name in list(sys.modules)}
    names = {
        d for module, owners in metadata.packages_distributions().items() if module in loaded for d in owners
    }
    found = {name: metadata.version(name) for name in names}
    return {"dataflow-bench": __version__, **{name: found[name] for name in sorted(found, key=str.lower)}}


def commit(root: Path = _ROOT) -> dict[str, Any] | None:
    """``{"id", "dirty"}`` of the checkout that the code runs from; ``None`` where it isn't one."""
    if not (
        root / ".git"
    ).exists():  # not any repository around it: a virtual environment may lie in another's
        return None
    head = _git(root, "rev-parse", "HEAD")
    changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    if not head:
        return None
    return {"id": head, "dirty": None if changed is None else bool(changed)}


def shown_command(argv: Sequence[str]) -> str:
    """A command line as one line for a shell, without the secrets that URLs and options may hold."""
    return shlex.join(without_secrets(word) for word in argv)


def without_secrets(word: str) -> str:
    """A URL or an option without the password, token or signature that it may hold."""
    return _OPTION.sub(r"\1***", _QUERY.sub(r"\1***", _USER_INFO.sub("***@", word)))


def _git(root: Path, *arguments: str) -> str | None:
    command = ["git", "-C", str(root), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _processor() -> str | None:
    text = _read("/proc/cpuinfo") or ""
    match = re.search(r"^(?:model name|Model|Hardware)\s*:\s*(.+)$", text, re.MULTILINE)
    return match[1].strip() if match else platform.processor() or None


def _cgroup_cores() -> float | None:
    """The quota of the control group, in cores; ``None`` where there is no limit."""
    quota, _, period = (_read("/sys/fs/cgroup/cpu.max") or "").strip().partition(" ")
    if not period:
        quota = (_read("/sys/fs/cgroup/cpu/cpu.cfs_quota_us") or "").strip()
        period = (_read("/sys/fs/cgroup/cpu/cpu.cfs_period_us") or "").strip()
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() and int(period) else None


def _cgroup_memory_bytes() -> int | None:
    limit = _read("/sys/fs/cgroup/memory.max") or _read("/sys/fs/cgroup/memory/memory.limit_in_bytes") or ""
    # The first version of control groups says "no limit" with a number near 2**63.
    return int(limit) if limit.strip().isdigit() and int(limit) < 2**60 else None


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return None
