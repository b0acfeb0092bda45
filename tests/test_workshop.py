"""The workshop: the lock, the version, the wheel, and what may not stand in any file."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
# An editable install puts the checkout on the path; what is tested is the wheel without it.
FORGET = f"import sys; sys.path[:] = [path for path in sys.path if path != {str(ROOT)!r}]\n"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def locked() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if not line.startswith("#"))


def declared() -> list[Requirement]:
    project = PROJECT["project"]
    texts = [*project["dependencies"], *PROJECT["build-system"]["requires"]]
    for extra in project["optional-dependencies"].values():
        texts += extra
    requirements = [Requirement(text) for text in texts]
    return [requirement for requirement in requirements if requirement.name != project["name"]]


def tracked() -> list[Path]:
    """Return the files of the repository, or of this folder where it is no checkout."""
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listing.returncode:
        pytest.skip("this is no git checkout")
    return [path for name in listing.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def command(*arguments: str, cwd: Path = ROOT, status: int = 0, **variables: str) -> str:
    """Run a command as if no make were running, and return what it prints, errors included."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))
    }
    done = subprocess.run(
        arguments, cwd=cwd, env={**environment, **variables}, capture_output=True, text=True, check=False
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("requirement", declared(), ids=lambda requirement: requirement.name)
def test_the_lock_pins_a_version_that_pyproject_admits(requirement: Requirement) -> None:
    version = locked()[canonicalize_name(requirement.name)]

    assert requirement.specifier.contains(version)


def test_the_lock_holds_whatever_its_packages_need_here() -> None:
    missing = [
        f"{name} needs {needed}"
        for name in locked()
        for needed in map(Requirement, requires(name))
        if (needed.marker is None or needed.marker.evaluate({"extra": ""}))
        and not needed.specifier.contains(locked().get(canonicalize_name(needed.name), "0"), prereleases=True)
    ]

    assert missing == []


def requires(name: str) -> list[str]:
    try:
        return metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return []  # what only another Python or system needs


def test_no_file_names_a_package_registry() -> None:
    registry = re.compile(rb"https?://[^\s\"']*(?:pypi|pythonhosted|npmjs|debian\.org/debian)", re.I)

    assert [path for path in tracked() if registry.search(path.read_bytes())] == []


def test_the_memo_cannot_load_a_pickle() -> None:
    loads = re.compile(r"\b(?:pickle|cloudpickle|dill|joblib|marshal|shelve)\.(?:loads?|Unpickler|open)\b")
    sources = list((ROOT / "dataflow" / "memo").rglob("*.py"))

    assert sources
    assert [path for path in sources if loads.search(path.read_text(encoding="utf-8"))] == []


def test_every_command_of_the_makefile_is_listed_by_help() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = re.findall(r"^\.PHONY: (.*)$", makefile, re.M)[0].split()

    listed = re.findall(r"^  make (\w+)", command("make", "help"), re.M)

    assert sorted(listed) == sorted(phony)


def test_make_hands_a_value_on_as_it_was_typed() -> None:
    value = """zip://*.html::my "own" $pages' #1 `x`.zip"""

    script = command("make", "-n", "bench", f"CORPUS={value}").splitlines()
    options = "\n".join(line for line in script if "/install" not in line).replace(
        ".venv/bin/dataflow", "printf '%s\\n'"
    )

    assert value in command("sh", "-c", options, CORPUS=value, CLUSTER="local").splitlines()


def test_a_python_that_is_unfit_is_one_clear_line(tmp_path: Path) -> None:
    for name in ("scripts/install", "pyproject.toml", "constraints.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)

    printed = command(str(tmp_path / "scripts" / "install"), cwd=tmp_path, status=2, PYTHON="/no/such/python")

    assert printed.count("\n") == 1
    assert "/no/such/python is no CPython 3.11 to 3.14" in printed
    assert not (tmp_path / ".venv").exists()


def test_installing_compiles_the_checkout_also_where_python_is_told_to_write_no_bytecode(
    tmp_path: Path,
) -> None:
    for package in ("dataflow", "workloads"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "module.py").write_text("x = 1\n", encoding="utf-8")
    code = "import sys, pathlib, environment; environment.compile_packages(sys.executable, pathlib.Path(sys.argv[1]))"
    variables = {
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": str(ROOT / "scripts"),
        "PYTHONPYCACHEPREFIX": "",
    }
    command(sys.executable, "-c", code, str(tmp_path), **variables)
    compiled = sorted(path.parent.parent.name for path in tmp_path.glob("*/__pycache__/module.*.pyc"))
    assert compiled == ["dataflow", "workloads"]


def test_the_readme_opens_with_the_two_commands() -> None:
    commands = re.findall(
        r"^(?: {4})?(make .*?)(?: *#.*)?$", (ROOT / "README.md").read_text(encoding="utf-8"), re.M
    )

    assert commands[:2] == ["make bench CLUSTER=local", "make test"]


@pytest.mark.parametrize(("required", "status", "said"), [("0", 0, "1 skipped"), ("1", 1, "1 error")])
def test_a_missing_program_skips_a_test_but_not_where_real_parts_are_required(
    tmp_path: Path, required: str, status: int, said: str
) -> None:
    (tmp_path / "conftest.py").write_bytes((ROOT / "tests" / "conftest.py").read_bytes())
    (tmp_path / "test_it.py").write_text("def test_it(redis_server_program): pass\n", encoding="utf-8")
    pytest_here = [sys.executable, "-m", "pytest", "-rs", "-p", "no:cacheprovider", f"--rootdir={tmp_path}"]

    printed = command(
        *pytest_here, cwd=tmp_path, status=status, PATH=str(tmp_path), DATAFLOW_REQUIRE_REAL=required
    )

    assert said in printed
    assert "needs redis-server" in printed


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder))
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in which the wheel is installed, and nothing else."""
    folder = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-compile"]
    command(*pip, "--disable-pip-version-check", "--target", str(folder), str(wheel))
    return folder


def in_site(site: Path, *arguments: str) -> str:
    """Run Python from the folder above the site, where there is no checkout, and return what it prints."""
    return command(sys.executable, "-P", *arguments, cwd=site.parent, PYTHONPATH=str(site)).strip()


def test_the_wheel_adds_one_name_to_site_packages(site: Path) -> None:
    names = {path.name for path in site.iterdir() if path.suffix != ".dist-info" and path.name != "bin"}

    assert names == {"dataflow"}


@pytest.mark.parametrize("room", ["workloads", "cluster"])
def test_the_wheel_holds_every_file_of_the_room(site: Path, room: str) -> None:
    expected = {str(path.relative_to(ROOT)) for path in tracked() if path.is_relative_to(ROOT / room)}

    assert expected
    assert {name for name in expected if not (site / "dataflow" / name).is_file()} == set()


def test_every_module_of_the_wheel_can_be_imported_without_the_checkout(site: Path) -> None:
    script = """
import dataflow, importlib, pkgutil
names = [m.name for m in pkgutil.walk_packages(dataflow.__path__, "dataflow.") if "__main__" not in m.name]
for name in names:
    importlib.import_module(name)
print(dataflow.__file__, "dataflow.workloads" in names)
"""
    assert in_site(site, "-c", FORGET + script) == f"{site / 'dataflow' / '__init__.py'} True"


def test_the_workloads_of_the_wheel_load_by_name(site: Path) -> None:
    script = """
from dataflow.workload import load_workload
for name in ("single", "batch", "mixed"):
    print(load_workload(name).pipeline.stages[0].name)
"""
    assert in_site(site, "-c", FORGET + script).split() == ["extract"] * 3


def test_the_version_of_the_wheel_is_the_one_in_the_package(site: Path) -> None:
    version = in_site(site, "-c", "import dataflow; print(dataflow.__version__)")

    assert [path.name for path in site.glob("*.dist-info")] == [f"dataflow_bench-{version}.dist-info"]


def test_the_installed_command_answers_with_its_help(site: Path) -> None:
    assert "bench" in in_site(site, str(site / "bin" / "dataflow"), "--help")
