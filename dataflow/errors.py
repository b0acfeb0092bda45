"""Every error that a user can mend, in one tree.

::

    DataflowError              the message is one line and names the mend
    ├── StrategyError          an option that no strategy knows
    ├── CorpusError            a corpus that is not there, is empty or can't be listed
    ├── WorkloadError          a workload or pipeline that can't be loaded
    ├── ClusterError           a cluster that can't be opened, or that was lost
    ├── CacheError             a Redis that can't be reached, a cache that can't be opened
    ├── OutputError            an output folder that can't be written
    ├── ResultsError           a folder of results that can't be read
    └── DocumentError          a document that can't be processed: an outcome, not the end of a run

The command line prints the message of any of them and exits with status 2. A ``DocumentError``
never gets that far: the engine turns it, like every exception of a stage, into an outcome.
"""

from __future__ import annotations

__all__ = [
    "CacheError",
    "ClusterError",
    "CorpusError",
    "DataflowError",
    "DocumentError",
    "OutputError",
    "ResultsError",
    "StrategyError",
    "WorkloadError",
    "counted",
    "one_line",
    "said",
    "utf8",
]


class DataflowError(Exception):
    """The root: something that the user can mend. The message says how, in one line."""


class StrategyError(DataflowError):
    """A strategy, or one of its levels, doesn't exist."""


class CorpusError(DataflowError):
    """A corpus doesn't exist, is empty, or can't be listed."""


class WorkloadError(DataflowError):
    """A workload or a pipeline can't be loaded or isn't one."""


class ClusterError(DataflowError):
    """A cluster can't be opened, or was lost while it was needed."""


class CacheError(DataflowError):
    """A Redis server can't be reached or started."""


class OutputError(DataflowError):
    """An output folder can't be used.

    Attributes:
        lost: nor can any run go on with it.
    """

    def __init__(self, *message: object, lost: bool = False) -> None:
        super().__init__(*message)
        self.lost = lost


class ResultsError(DataflowError):
    """A folder of results can't be read."""


class DocumentError(DataflowError):
    """A document can't be processed. Stages raise it, or a subclass that names the cause."""


def counted(number: int, thing: str) -> str:
    """``1 document``, ``2 documents``: a number with what it counts, whose plural ends in s."""
    return f"{number} {thing}{'s' * (number != 1)}"


def utf8(text: str) -> str:
    """The text with what UTF-8 can't hold escaped: a file name may be any bytes, and Python any surrogates."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def one_line(error: BaseException | str, limit: int = 500) -> str:
    """A message, or that of any exception, as one printable line of at most ``limit`` characters."""
    said = str(error)[: 16 * limit]  # an exception may quote its whole document
    text = utf8(" ".join(said.split()) or type(error).__name__)
    text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def said(error: BaseException) -> str:
    """As :func:`one_line`, of an error whose own code says what it is about, and may fail at it."""
    try:
        return one_line(error)
    except KeyboardInterrupt:
        raise
    except BaseException as other:
        return f"{type(error).__name__}, which can't say what it is about ({type(other).__name__})"
