"""The commands and where each lies."""

from __future__ import annotations

import importlib
from collections.abc import Callable

import click

__all__ = ["COMMANDS"]


def _lazy(name: str) -> Callable[[], click.Command]:
    def load() -> click.Command:
        command: click.Command = getattr(importlib.import_module(f"dataflow.cli.{name}"), name)
        return command

    return load


#: In the order in which help shows them.
COMMANDS: dict[str, Callable[[], click.Command]] = {
    name: _lazy(name)
    for name in ("bench", "run", "replay", "quarantine", "cache", "report", "corpus", "doctor")
}
