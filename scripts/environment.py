"""Create or update .venv, exactly as constraints.txt says: the second half of scripts/install.

Two at once wait for each other; one that was interrupted is begun anew, since pip takes a half-copied
package for an installed one. Needs nothing beyond the standard library.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / ".installed"
LOG = VENV / "install.log"
LOCK = ROOT / "constraints.txt"
# Settings of the user's shell that would send packages elsewhere, or mix others in.
FOREIGN = {
    "PYTHONHOME",
    "PYTHONPATH",
    "PIP_CONSTRAINT",
    "PIP_PREFIX",
    "PIP_REQUIREMENT",
    "PIP_TARGET",
    "PIP_USER",
}


class InstallError(Exception):
    """The environment could not be made; the message names the mend."""


def main(wanted: str) -> int:
    """Bring .venv to the state named by `wanted`; return the exit status."""
    try:
        with exclusively(ROOT / ".venv.lock"):
            if stamp() != wanted:
                install(wanted)
    except (InstallError, OSError, subprocess.CalledProcessError) as error:
        print(f"make: could not install into {VENV.name}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("make: interrupted; the next make begins the installation anew", file=sys.stderr)
        return 130
    return 0


@contextmanager
def exclusively(path: Path) -> Iterator[None]:
    """Hold the lock file at `path`; it is free again when this process ends, however that happens."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another make, which is installing")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def stamp() -> str | None:
    """Return what was last installed to the end, if anything was."""
    return STAMP.read_text(encoding="utf-8") if STAMP.exists() else None


def install(wanted: str) -> None:
    """Install everything, and stamp the environment last."""
    began = time.monotonic()
    if stamp() is None or not works():
        say(f"creating .venv with Python {sys.version.split()[0]}")
        shutil.rmtree(VENV, ignore_errors=True)
        venv.create(VENV, with_pip=True)
    STAMP.unlink(missing_ok=True)
    total = sum(not line.startswith("#") for line in LOCK.read_text(encoding="utf-8").splitlines())
    say(f"installing {total} packages; details in .venv/install.log")
    LOG.write_bytes(b"")
    # The lock is complete, so nothing is resolved here and nothing else can slip in. The check afterwards
    # says so if pyproject.toml has come to need more than the lock holds.
    pip("install", "--no-deps", "--requirement", str(LOCK), steps=total)
    pip("install", "--no-deps", "--no-build-isolation", "--editable", str(ROOT))
    pip("check", mend="pyproject.toml and constraints.txt disagree; run make lock")
    compile_packages(VENV / "bin" / "python", ROOT)
    STAMP.write_text(wanted, encoding="utf-8")
    say(f"installed in {time.monotonic() - began:.0f} s")


def compile_packages(python: Path, root: Path) -> None:
    """Compile this checkout's packages, as pip does with all others.

    With ``PYTHONDONTWRITEBYTECODE``, as containers have it, each process would do it again: a tenth of a short run.
    """
    folders = [str(root / name) for name in ("dataflow", "workloads")]
    # It only saves time, so a checkout that can't be written to is fine.
    subprocess.run([python, "-m", "compileall", "-q", *folders], check=False, stdout=subprocess.DEVNULL)


def works() -> bool:
    """Say whether the environment's Python starts; it doesn't once the system's Python was replaced."""
    python = VENV / "bin" / "python"
    return python.exists() and subprocess.run([python, "-c", "import pip"], check=False).returncode == 0


def pip(*arguments: str, steps: int = 0, mend: str = "") -> None:
    """Run pip in the environment, its output in the log; `steps` is how many packages it will collect."""
    environment = {name: value for name, value in os.environ.items() if name not in FOREIGN}
    command = [str(VENV / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--no-input"]
    with (
        LOG.open("a", encoding="utf-8") as log,
        subprocess.Popen(
            [*command, *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None
        follow(process.stdout, log, steps)
    if process.returncode:
        raise InstallError(mend or reason())


def follow(lines: Iterable[str], log: TextIO, steps: int) -> None:
    """Copy pip's lines to the log, and say now and then how far it is."""
    collected = 0
    for line in lines:
        log.write(line)
        if line.startswith(("Collecting ", "Processing ", "Requirement already satisfied: ")):
            collected += 1
            if collected % 20 == 0 or collected == steps:
                say(f"  {collected} of {steps} packages collected")
        elif line.startswith("Installing collected packages") and steps:
            say("  copying them into .venv")


def reason() -> str:
    """Return the line of the log that says what went wrong."""
    errors = [line for line in LOG.read_text(encoding="utf-8").splitlines() if line.startswith("ERROR: ")]
    said = errors[-1].removeprefix("ERROR: ") if errors else "pip failed"
    return f"{said} (all of it is in .venv/install.log; if the network was down, run make again)"


def say(line: str) -> None:
    """Print a line at once, also where the output is no terminal."""
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
