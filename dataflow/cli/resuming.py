"""What the command line says when a run is interrupted: how much is safe, and how to go on."""

from __future__ import annotations

import contextlib
import re
import shlex
import sys
from collections.abc import Callable, Iterator

import click

from dataflow.errors import DataflowError

__all__ = ["resumable", "resume_command"]

_PASSWORD = re.compile(r"(://[^/@\s]*:)[^/@\s]*@")


@contextlib.contextmanager
def resumable(*, generated: bool) -> Iterator[Callable[[], None]]:
    """Say how to go on, whatever ends the block early.

    Args:
        generated: the corpus was made for this run and goes with it.

    Yields:
        To be called when the run has begun: a mistake that is found before isn't mended by going on.
    """
    begun: list[bool] = []
    try:
        yield lambda: begun.append(True)
    except KeyboardInterrupt:
        click.echo(_advice(generated), err=True)
        raise
    except DataflowError as error:
        if begun and not getattr(error, "lost", False):
            error.add_note(_advice(generated))  # said after the message
        raise


def resume_command() -> str:
    """The command that goes on with this one. Passwords are left out, since terminals are logged."""
    arguments = [_PASSWORD.sub(r"\1***@", a) for a in sys.argv[1:] if a != "--resume"]
    return shlex.join(["dataflow", *arguments, "--resume"])


def _advice(generated: bool) -> str:
    if generated:
        return (
            "a generated corpus goes with its run: to be able to resume, "
            "`dataflow corpus make FOLDER` and name it with --corpus"
        )
    return f"resume with: {resume_command()}"
