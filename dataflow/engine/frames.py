"""How the result of a batch travels where it is large: as frames that Dask doesn't cut.

Dask cuts frames of more than 64 MiB, and doesn't put them together again where the scheduler is in the driver's own
process (``deserialize`` is called there without ``merge_frames``): such a result could be had by nobody.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from distributed.protocol.serialize import dask_deserialize, dask_serialize

from dataflow.graph.work import BatchResult

__all__ = ["register"]

_FRAME_BYTES = 32 * 1024**2


def register() -> None:
    """Make it known to Dask in this process; both ends have to."""
    dask_serialize.register(BatchResult, _dump)
    dask_deserialize.register(BatchResult, _load)


def _dump(result: BatchResult) -> tuple[dict[str, Any], list[memoryview]]:
    """The header and the frames.

    Raises:
        NotImplementedError: it is small, and pickled as anything else is.
    """
    if result.values is None or len(result.values) <= _FRAME_BYTES:
        raise NotImplementedError
    whole = memoryview(result.values)
    frames = [whole[at : at + _FRAME_BYTES] for at in range(0, len(whole), _FRAME_BYTES)]
    return {"rest": pickle.dumps(replace(result, values=None))}, frames


def _load(header: dict[str, Any], frames: Sequence[bytes | memoryview]) -> BatchResult:
    rest: BatchResult = pickle.loads(header["rest"])
    return replace(rest, values=b"".join(frames))
