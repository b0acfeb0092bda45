"""Dask's own performance report of one more trial under a few strategies, outside what is compared."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from dataflow.measure.tables import write_text

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["PICTURED", "performance_page"]

#: Strategies that get a page: rendering costs the scheduler up to some seconds each.
PICTURED = ("base", "cluster=threads", "cluster=processes", "batching=fixed:1", "cache=redis", "fuse=off")


@contextlib.contextmanager
def performance_page(client: Client, name: str, folder: Path) -> Iterator[Path]:
    """Leave ``folder/<name>.html``, Dask's report of what the block does.

    The page is readable with no network. What the scheduler can't render raises as it likes.
    """
    from distributed import performance_report

    folder.mkdir(exist_ok=True)
    path = folder / f"{re.sub(r'[^A-Za-z0-9._=-]+', '-', name)}.html"
    # The report finds its client by itself, and ours is nobody's default.
    with client.as_current(), performance_report(filename=str(path), mode="inline"):
        yield path
    _forget_the_network(path)


def _forget_the_network(path: Path) -> None:
    """Even inline, the page asks the web for its icon, which is an error in the console of who has none."""
    page = path.read_text(encoding="utf-8")
    write_text(path, re.sub(r'href="https?://[^"]+\.ico"', 'href="data:,"', page))
