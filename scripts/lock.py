"""Write constraints.txt: every package that an install can need, at the running interpreter's version of it.

`make lock` runs this inside a new environment that holds the newest versions of everything. The closure is
taken over Python 3.11 to 3.14 on Linux and macOS, so a package that only another Python or system needs is in
it as well: its version is asked of pip, which installs nothing for that.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PYTHONS = ("3.11.0", "3.11.9", "3.12.0", "3.13.0", "3.14.0")
SYSTEMS = (("linux", "Linux", "x86_64"), ("linux", "Linux", "aarch64"), ("darwin", "Darwin", "arm64"))
HEADER = """\
# The lock: every package an install can need, on CPython 3.11 to 3.14, on Linux and macOS, at one version.
# `make` installs exactly these. Written by `make lock`; don't edit by hand.
"""


class Package(NamedTuple):
    """What the lock needs to know of one package."""

    name: str
    version: str
    requires: tuple[Requirement, ...]


def main() -> None:
    """Write the lock beside pyproject.toml."""
    packages = closure(roots(ROOT / "pyproject.toml"))
    lines = [f"{package.name}=={package.version}\n" for _, package in sorted(packages.items())]
    (ROOT / "constraints.txt").write_text(HEADER + "".join(lines), encoding="utf-8")
    print(f"constraints.txt: {len(lines)} packages")


def roots(pyproject: Path) -> list[Requirement]:
    """Return the project's requirements with every extra, and those of its build."""
    content = tomllib.loads(pyproject.read_text(encoding="utf-8"))
    project = content["project"]
    texts = [*project["dependencies"], *content["build-system"]["requires"]]
    for extra in project["optional-dependencies"].values():
        texts += extra
    requirements = [Requirement(text) for text in texts]
    return [requirement for requirement in requirements if requirement.name != project["name"]]


def closure(requirements: list[Requirement]) -> dict[str, Package]:
    """Return the packages that the requirements reach in any of the environments, by canonical name."""
    packages: dict[str, Package] = {}
    seen: set[tuple[str, str]] = set()
    waiting = list(requirements)
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name not in packages:
            packages[name] = installed(requirement) or resolved(requirement)
        for extra in {"", *requirement.extras} - {e for n, e in seen if n == name}:
            seen.add((name, extra))
            waiting += [needed for needed in packages[name].requires if applies(needed, extra)]
    return packages


def applies(requirement: Requirement, extra: str) -> bool:
    """Say whether any environment of the lock needs the requirement."""
    return requirement.marker is None or any(
        requirement.marker.evaluate({**environment, "extra": extra}) for environment in environments()
    )


def environments() -> list[dict[str, str]]:
    """Return the marker variables of each Python on each system."""
    return [
        {
            **{key: str(value) for key, value in default_environment().items()},
            "python_version": ".".join(python.split(".")[:2]),
            "python_full_version": python,
            "implementation_version": python,
            "implementation_name": "cpython",
            "platform_python_implementation": "CPython",
            "os_name": "posix",
            "sys_platform": sys_platform,
            "platform_system": system,
            "platform_machine": machine,
        }
        for python in PYTHONS
        for sys_platform, system, machine in SYSTEMS
    ]


def installed(requirement: Requirement) -> Package | None:
    """Return the package as the running interpreter has it."""
    try:
        found = metadata.distribution(requirement.name)
    except metadata.PackageNotFoundError:
        return None
    requires = tuple(Requirement(text) for text in found.requires or ())
    return Package(canonicalize_name(requirement.name), found.version, requires)


def resolved(requirement: Requirement) -> Package:
    """Return the package as pip would install it; nothing is installed."""
    bare = f"{requirement.name}{requirement.specifier}"
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--dry-run",
        "--no-deps",
        "--report",
        "-",
        bare,
    ]
    report = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    found = report["install"][0]["metadata"]
    requires = tuple(Requirement(text) for text in found.get("requires_dist", ()))
    return Package(canonicalize_name(requirement.name), found["version"], requires)


if __name__ == "__main__":
    main()
