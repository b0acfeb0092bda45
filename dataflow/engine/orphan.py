"""A Dask preload: end this process when the one that started the cluster has gone, however it went."""

from __future__ import annotations

import os
import threading
import time
from typing import Any

from dataflow.graph.groups import wake_without_parent

__all__ = ["dask_setup"]


def dask_setup(_server: Any) -> None:
    """Watch the process named in ``DATAFLOW_PARENT``; without it, or in that very process, do nothing."""
    parent = os.environ.get("DATAFLOW_PARENT")
    # A cluster that is opened while another is open loads that one's preloads too, in the driver itself.
    if parent and int(parent) != os.getpid():
        wake_without_parent()  # or one that is stopped would never see it
        threading.Thread(target=_follow, args=(int(parent),), name="dataflow-orphan", daemon=True).start()


def _follow(parent: int) -> None:
    # An orphan gets another parent; asking whether the old one's id exists would find its zombie.
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(0)
