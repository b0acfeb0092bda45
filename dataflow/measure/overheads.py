"""Where the wall time of one batch went: the client's steps, the way to the worker and back, and the nodes."""

from __future__ import annotations

import socket
from collections.abc import Iterator

from dataflow.measure.subject import Execution

__all__ = ["BETWEEN", "parts_of"]

#: What the worker did in no node: from one to the next, and what a loop does around its stages.
BETWEEN = "between nodes"


def parts_of(execution: Execution) -> list[tuple[str, float]]:
    """Name and seconds of each part, in the order of time; they add up to the wall seconds.

    ``open``, ``send``, ``commit`` and ``close`` are the client's; ``to the worker`` and ``back`` are the
    scheduler's and the network's, ``to the worker and back`` where another machine's clock can't tell them
    apart; the others are nodes.

    Returns:
        Nothing, where the trial had no or several batches: their parts overlap in time.
    """
    return list(_parts(execution)) if len(execution.batches) == 1 else []


def _parts(execution: Execution) -> Iterator[tuple[str, float]]:
    batch, marks = execution.batches[0], execution.marks
    opened = marks.get("opened", execution.started)
    sent = marks.get("sent", opened)
    come = marks.get("come", execution.ended)
    committed = marks.get("committed", come)
    yield "open", opened - execution.started
    yield "send", sent - opened
    around = come - sent - batch.seconds
    here = bool(batch.started) and batch.worker.rpartition(":")[0] == socket.gethostname()
    # A batch that runs when it is waited for may begin before it was noted as sent.
    there = min(max(0.0, batch.started - sent), max(0.0, around)) if here else around
    yield "to the worker" if here else "to the worker and back", there
    yield from batch.node_seconds.items()
    yield BETWEEN, batch.seconds - sum(batch.node_seconds.values())
    if here:
        yield "back", around - there
    yield "commit", committed - come
    yield "close", execution.ended - committed
