"""One disturbed run: its driver, its output, its weather, and how far it has come."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import outputs
import processes
import storm

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
LOOK_SECONDS = 0.01
STILL_LOOKS = 100  # looks without progress after which a run counts as standing still
PATIENCE_SECONDS = 240.0


@dataclass
class Scene:
    """Where a round plays.

    Attributes:
        folder: of the round's own files; new.
        corpus: the documents.
        documents: how many.
        size_bytes: of the parts of an undisturbed run.
        cluster, cache, batch: as `dataflow run` takes them.
        rng: of this round.
        stormy: documents and output lie on the misbehaving file system.
        weather: what it does; see storm.py.
        variables: more of the environment.
        redis: a server of the round's own, which REDIS_URL then names.
        undo: what has to be done at the end.
    """

    folder: Path
    corpus: Path
    documents: int
    size_bytes: int
    cluster: str
    cache: str
    batch: str
    rng: Random
    stormy: bool = False
    weather: dict[str, Any] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    redis: subprocess.Popen[bytes] | None = None
    redis_url: str | None = None
    undo: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    driver: subprocess.Popen[bytes] | None = None
    drivers: int = 0
    said: str = ""

    @property
    def output(self) -> Path:
        """The output folder."""
        return self.folder / "out"

    @property
    def weather_folder(self) -> Path:
        """Where the file system leaves its marks."""
        return self.folder / "weather"

    def start(self) -> None:
        """Start a driver: the first time a run, afterwards its resumption."""
        self.weather_folder.mkdir(parents=True, exist_ok=True)
        scheme = "storm://" if self.stormy else ""
        command = [
            sys.executable, "-m", "dataflow", "run", "--workload", str(HERE / "stormy.py"), "--cluster", self.cluster,
            "--workers", "2", "--corpus", f"{scheme}{self.corpus}", "--output", f"{scheme}{self.output}",
            "--cache", self.cache, "--batch", self.batch, "--timeout", "30",
        ]  # fmt: skip
        if self.redis_url:
            command += ["--redis-url", self.redis_url]
        if self.drivers:
            command.append("--resume")
        self.drivers += 1
        with self._log.open("wb") as log:
            self.driver = subprocess.Popen(
                command,
                cwd=self.folder,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def ended(self) -> bool:
        """Whether the driver has gone."""
        assert self.driver is not None
        return self.driver.poll() is not None

    def look(self) -> None:
        """Let a moment pass, and no longer than the driver lives."""
        assert self.driver is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.driver.wait(LOOK_SECONDS)

    def progress(self) -> int:
        """Documents that are committed."""
        return outputs.progress(self.output)

    def reach(self, documents: int) -> bool:
        """Wait until so many documents are committed; false where the driver ended before."""
        end = time.monotonic() + PATIENCE_SECONDS
        while self.progress() < documents:
            if self.ended() or time.monotonic() > end:
                return False
            self.look()
        return not self.ended()

    def pass_over(self, pid: int) -> None:
        """Wait until the others went on without a stopped process, or nothing moves any more, or it has gone."""
        before, looks = self.progress(), 0
        goal = before + max(4, self.documents // 5)
        while looks < STILL_LOOKS and before < goal and not self.ended() and os.path.exists(f"/proc/{pid}"):
            self.look()
            now = self.progress()
            looks, before = (looks + 1, before) if now == before else (0, now)

    def wait(self) -> int | None:
        """Wait for the driver's end; its status, or ``None`` where it hangs and had to be ended."""
        assert self.driver is not None
        try:
            status = self.driver.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self.send_driver(signal.SIGABRT)
            processes.end_all(self.driver.pid)
            self.driver.wait()
            status = None
        self.said = self._log.read_text(errors="replace")
        return status

    def send_driver(self, number: signal.Signals) -> bool:
        """Send the driver a signal."""
        assert self.driver is not None
        return not self.ended() and processes.send(self.driver.pid, number)

    def close(self) -> None:
        """End what still runs, and give everything back."""
        if self.driver and not self.ended():
            processes.end_all(self.driver.pid)
            self.driver.wait()
        self.undo.close()

    @property
    def _log(self) -> Path:
        return self.folder / f"driver-{self.drivers}.log"

    def _environment(self) -> dict[str, str]:
        weather = {"seed": self.weather.get("seed", 0), "folder": str(self.weather_folder), **self.weather}
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        mine = {
            "PYTHONPATH": path,
            storm.VARIABLE: json.dumps(weather) if self.stormy else "{}",
            **self.variables,
        }
        return {k: v for k, v in os.environ.items() if k not in ("REDIS_URL", "COLUMNS")} | mine
