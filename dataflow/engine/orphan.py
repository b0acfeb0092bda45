"""A Dask preload: end this process when the one that started the cluster has gone, however it went."""

from __future__ import annotations

import os
import threading
import time
from typing import Any

__all__ = ["dask_setup"]


def dask_setup(_server: Any) -> None:
    """Watch the process named in ``DATAFLOW_PARENT``; without it, do nothing."""
    parent = os.environ.get("DATAFLOW_PARENT")
    if parent:
        threading.Thread(target=_follow, args=(int(parent),), name="dataflow-orphan", daemon=True).start()


def _follow(parent: int) -> None:
    # An orphan gets another parent; asking whether the old one's id exists would find its zombie.
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(0)
