"""The command line: thin. It parses, calls and prints."""

from __future__ import annotations

import atexit

# What was to be called at the end before this was imported: a tool's that measures, or a program's around the command.
_OTHERS = getattr(atexit, "_ncallbacks", lambda: 0)()

from dataflow.cli import early

early.begin()  # before the rest is imported, which takes as long as it takes to press Ctrl-C

# ruff: noqa: E402
import contextlib
import gc
import io
import os
import signal
import sys
from collections.abc import Mapping
from types import FrameType
from typing import NoReturn

import click

from dataflow import __version__
from dataflow.cli.commands import COMMANDS
from dataflow.cli.streams import STREAMS, open_files, open_streams
from dataflow.errors import DataflowError, one_line

__all__ = ["cli", "main"]

MISTAKE = 2  # exit status of every mistake that the user can mend


class _Group(click.Group):
    """Loads a command's module when it is asked for: help and tab completion must be instant."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        return COMMANDS[name]() if name in COMMANDS else None


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="dataflow")
def cli() -> None:
    """Run pipelines over documents on Dask, and measure which strategy is best for yours.

    \b
    First steps:
      dataflow doctor                               what this machine has
      dataflow bench                                benchmark a generated corpus, about 3 minutes
      dataflow bench --corpus ~/papers              benchmark your own documents
      dataflow run --corpus ~/papers --output out   process them; then pandas.read_parquet("out")
    """


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit.

    The status is 0 when done, 1 with ``--strict`` and bad documents, 2 for a mistake, 130 when interrupted, 141 when
    nobody reads its output any more.
    """
    ending: list[int] = []
    if arguments is None:  # the process is for this command
        open_streams()
        if not _OTHERS:
            atexit.register(_leave, ending, open_files())  # registered first, so called last
    signal.signal(signal.SIGTERM, _terminate)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # a terminal that was closed; `nohup` ignores it
        signal.signal(signal.SIGHUP, _terminate)
    try:
        _answer(arguments)
    except SystemExit as end:
        if arguments is None:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is ending
        ending.append(int(end.code or 0))
        raise


def _answer(arguments: list[str] | None) -> NoReturn:
    try:
        status = cli.main(arguments, prog_name="dataflow", standalone_mode=False)
        sys.stdout.flush()  # here, where it can be told that there is no room for it
    except click.UsageError as error:
        _stop(f"{error.format_message()} See {_command(error)} --help.")
    except click.ClickException as error:
        _stop(error.format_message())
    except DataflowError as error:
        _stop("\n".join([one_line(error), *getattr(error, "__notes__", ())]))
    except (KeyboardInterrupt, click.Abort):
        click.echo("dataflow: stopped.", err=True)
        sys.exit(early.INTERRUPTED)
    sys.exit(status if isinstance(status, int) else 0)


def _leave(ending: list[int], inherited: Mapping[str, str]) -> None:
    """End now: Python would take apart all that was imported, which takes it some tenths of a second."""
    if not ending or (open_files() != inherited and ("distributed" not in sys.modules or _holds_files())):
        return  # an error of ours, or what a pipeline's own code has open in here: Python closes it in order
    try:
        for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
            if stream is not None:
                stream.flush()
    except (DataflowError, OSError, ValueError):
        return  # Python says so as it ends
    os._exit(ending[0])


def _holds_files() -> bool:
    """Whether files are open that something may still have to be written to, besides the command's own output."""
    kinds = {io.BufferedWriter, io.BufferedRandom}  # what every open file comes to, whatever it is wrapped in
    gc.unfreeze()  # or those that were open before would not be among the objects
    with contextlib.suppress(OSError, ValueError):  # one that is on no file of the system's
        return any(
            not one.closed and one.fileno() > STREAMS[-1] for one in gc.get_objects() if type(one) in kinds
        )
    return True


def _stop(message: str) -> NoReturn:
    click.echo(f"dataflow: {message}", err=True)
    sys.exit(MISTAKE)


def _command(error: click.UsageError) -> str:
    return error.ctx.command_path if error.ctx else "dataflow"


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    # As Ctrl-C, and by the same way, so that workers are stopped and what is committed stays.
    signal.raise_signal(signal.SIGINT)


early.end()
