"""Progress: a bar on a terminal, plain lines elsewhere, nothing for what takes under a second."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any

import click

__all__ = ["Progress", "said"]

_LINE_SECONDS = 5.0
_QUIET_SECONDS = 1.0


class Progress:
    """Counts things towards a total that may be known only later.

    Args:
        what: the plural of what is counted.
        clock: seconds, monotonic.
    """

    def __init__(self, what: str, clock: Any = time.monotonic) -> None:
        self._what, self._clock = what, clock
        self._done = self._bad = 0
        self._total: int | None = None
        self._started = self._said = clock()
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> Progress:
        if sys.stderr.isatty():
            self._open_bar()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def advance(self, *, steps: int = 1, bad: bool = False, total: int | None = None, now: str = "") -> None:
        """Count; ``total`` where it is known, ``now`` says what is being done."""
        self._done += steps
        self._bad += bad
        self._total = total if total is not None else self._total
        if self._bar:
            self._bar.update(
                self._task, completed=self._done, total=self._total, bad=self._bad_text(), now=now
            )
        elif self._clock() - self._said >= _LINE_SECONDS:
            self._said = self._clock()
            click.echo(self.line(now), err=True)

    @property
    def done(self) -> int:
        """How many were counted."""
        return self._done

    def line(self, now: str = "") -> str:
        """Where it stands, as one line."""
        seconds = self._clock() - self._started
        rate = self._done / seconds if seconds > 0 else 0.0
        of = f" of {self._total}" if self._total else ""
        what = self._what if (self._total or self._done) != 1 else self._what.removesuffix("s")
        return f"{self._done}{of} {what}, {rate:.0f}/s{self._bad_text()}" + (f"  {now}" if now else "")

    def _bad_text(self) -> str:
        return f", {self._bad} not ok" if self._bad else ""

    def _open_bar(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )
        from rich.progress import Progress as Bar

        self._bar = Bar(
            TextColumn(self._what),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("[red]{task.fields[bad]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[now]}", markup=False),
            console=Console(stderr=True),
        )
        self._task = self._bar.add_task("", total=None, bad="", now="")
        self._bar.start()


@contextlib.contextmanager
def said(what: str) -> Iterator[None]:
    """Say what is being done, and how long it took if that was over a second."""
    started = time.monotonic()
    terminal = sys.stderr.isatty()
    if terminal:
        from rich.console import Console

        with Console(stderr=True).status(f"{what} ..."):
            yield
    else:
        yield
    seconds = time.monotonic() - started
    if seconds >= _QUIET_SECONDS:
        click.echo(f"{what}: {seconds:.1f} s", err=True)
