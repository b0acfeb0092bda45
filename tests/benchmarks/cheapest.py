"""The workload of a stage that costs microseconds, for whole commands."""

from dataflow import Pipeline


def count_words(data: bytes) -> int:
    """The cheapest stage that does something."""
    return len(data.split())


pipeline = Pipeline(count_words)
