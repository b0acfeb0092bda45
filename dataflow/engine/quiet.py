"""Dask's own log lines, which are told by us, or not at all."""

from __future__ import annotations

import contextlib
import logging
import threading
import warnings
from collections.abc import Iterator

__all__ = ["quiet"]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Dask's own log lines (a worker was killed, a port was taken) are told by us, or not at all."""
    _loggers.silence()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Port .* is already in use")
            yield
    finally:
        _loggers.restore()


class _Loggers:
    """Dask's loggers, silent as long as somebody wants it: runs may overlap, and end in any order."""

    # Of some parts Dask sets the level itself.
    _NAMES = ("distributed", "distributed.client", "distributed.scheduler")

    def __init__(self) -> None:
        self._lock, self._wanted = threading.Lock(), 0
        self._levels: dict[str, int] = {}

    def silence(self) -> None:
        with self._lock:
            self._wanted += 1
            if self._wanted == 1:
                self._levels = {name: logging.getLogger(name).level for name in self._NAMES}
                logging.getLogger("asyncio").addFilter(_is_news)
                # And stays: it is said when all is closed.
                logging.getLogger("asyncio").addFilter(_is_awaited)
            for name in self._NAMES:
                logging.getLogger(name).setLevel(logging.CRITICAL)

    def restore(self) -> None:
        with self._lock:
            self._wanted -= 1
            if not self._wanted:
                for name, level in self._levels.items():
                    logging.getLogger(name).setLevel(level)
                logging.getLogger("asyncio").removeFilter(_is_news)


_loggers = _Loggers()


def _is_awaited(record: logging.LogRecord) -> bool:
    """Not so of a time limit within Dask that was over just when its loop was closed."""
    from tornado.util import TimeoutError

    return not (
        record.exc_info and type(record.exc_info[1]) is TimeoutError and "never retrieved" in record.msg
    )


def _is_news(record: logging.LogRecord) -> bool:
    """Not so of a worker that a broadcast can't reach: Dask looks at one such error, and the others are logged."""
    from distributed.comm import CommClosedError

    return not (record.exc_info and isinstance(record.exc_info[1], CommClosedError))
