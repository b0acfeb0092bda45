"""A workload for tests that handles a document piece by piece: a line a piece. A line may ask for a misfortune."""

from collections.abc import Iterator
from typing import BinaryIO

from words import misfortune  # the module beside this one

from dataflow import Pipeline, stage


@stage
def lines(file: BinaryIO) -> Iterator[str]:
    """Read line by line."""
    for line in file:
        misfortune(line.strip())
        yield line.decode()


@stage
def words(lines: Iterator[str]) -> list[str]:
    """Split them."""
    return [word for line in lines for word in line.split()]


pipeline = Pipeline(lines, words)
