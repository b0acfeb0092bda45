"""Warming up: no trial pays for the imports of another's parsers, nor for a worker that died before it."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dataflow.bench.equipment import Equipment
from dataflow.bench.material import Material, warm_up_documents
from dataflow.bench.suites import INLINE, Arm
from dataflow.measure.subject import EngineSubject
from dataflow.strategy import Strategy
from dataflow.workload import Workload

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["close_workers_memos", "recover", "warm_up"]

_DOCUMENTS = 48
_BATCHES_A_SLOT = 4  # so that every worker gets some
_PATIENCE_SECONDS = 30.0


def warm_up(
    workload: Workload, material: Material, arms: Iterable[Arm], equipment: Equipment, scratch: Path
) -> str | None:
    """Small runs wherever an arm runs, of whatever it runs; says why nothing can be memoized."""
    arms = list(arms)
    # Where an arm has a cache, with one as well: what a cache needs is then imported and warm too.
    levels = ("none", "lru") if any(arm.strategy.cache != "none" for arm in arms) else ("none",)
    places = [*equipment.clusters, *(INLINE for arm in arms if arm.cluster == INLINE)]
    why = None
    for place in dict.fromkeys(places):
        why = _warm(workload, material, place, equipment, scratch, levels=levels) or why
    for arm in arms:
        if arm.variant:
            _warm(workload, material, arm.place, equipment, scratch, variant=arm.variant)
    return why


def recover(workload: Workload, material: Material, place: str, equipment: Equipment, scratch: Path) -> None:
    """Wait until a cluster has as many workers as when it was opened, and warm up those that are new."""
    with contextlib.suppress(TimeoutError):  # the trials that follow say how many there were
        equipment.clusters[place].client.wait_for_workers(equipment.workers[place], _PATIENCE_SECONDS)
    _warm(workload, material, place, equipment, scratch)


def close_workers_memos(client: Client) -> None:
    """Close the memos of all workers. One that has just died, and that Dask still lists, took its own along."""
    from dataflow.memo.spec import close_memos

    for answer in client.run(close_memos, on_error="return").values():
        if isinstance(answer, Exception) and not isinstance(answer, OSError):  # OSError: no way to the worker
            raise answer


def _warm(
    workload: Workload,
    material: Material,
    place: str,
    equipment: Equipment,
    scratch: Path,
    *,
    levels: Sequence[str] = ("none",),
    variant: str = "",
) -> str | None:
    from dataflow.memo.spec import close_memos

    client = None if place == INLINE else equipment.clusters[place].client
    slots = sum(client.nthreads().values()) if client else 1
    documents = warm_up_documents(material.documents, max(_DOCUMENTS, _BATCHES_A_SLOT * slots))
    batching = f"fixed:{max(1, len(documents) // (_BATCHES_A_SLOT * slots))}"
    pipeline = workload.variants[variant] if variant else workload.pipeline
    why = None
    for level in levels:
        subject = EngineSubject(
            pipeline,
            Strategy(cache=level, batching=batching),
            client,
            namespace="dataflow-warm-up",
            search_path=workload.search_path,
        )
        folder = Path(tempfile.mkdtemp(prefix="warm-", dir=scratch))
        execution = subject.execute(documents, folder / "output")
        shutil.rmtree(folder, ignore_errors=True)
        why = why or execution.uncacheable
    if client:
        close_workers_memos(client)
    else:
        close_memos()
    return why
