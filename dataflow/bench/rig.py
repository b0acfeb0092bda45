"""The rig: makes an arm into a trial on the equipment that is open, and cleans up behind it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from dataflow.bench.baselines import PoolSubject, SerialSubject
from dataflow.bench.edits import EditedCorpus, Turn
from dataflow.bench.equipment import Equipment
from dataflow.bench.pictures import performance_page
from dataflow.bench.poison import PoisonedCorpus
from dataflow.bench.preparation import Prepared
from dataflow.bench.suites import ENGINE, INLINE, POOL, SERIAL, SERVED, Arm
from dataflow.bench.warming import close_workers_memos, recover
from dataflow.errors import ClusterError, one_line
from dataflow.measure.digests import Output
from dataflow.measure.subject import EngineSubject, Subject
from dataflow.measure.trial import TrialRecords, run_trial
from dataflow.pipeline import Pipeline
from dataflow.workload import Workload

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["OpenRig", "Rig"]


class Rig(Protocol):
    """What an experiment needs of the world."""

    def can_run(self, arm: Arm) -> bool:
        """Whether all that the arm needs is there."""

    def trial(self, arm: Arm, namespace: str, row: Mapping[str, Any]) -> TrialRecords:
        """Run one trial; ``row`` holds the columns that are known beforehand."""

    def forget(self, arm: Arm, namespace: str) -> None:
        """Empty what the arm cached."""

    def page(self, arm: Arm, namespace: str, folder: Path) -> None:
        """Leave Dask's performance report of one more trial in ``folder``."""

    def columns(self, arm: Arm) -> dict[str, Any]:
        """Columns of a trial's row that say where and how the arm runs."""

    def failed(self) -> tuple[tuple[str, TrialRecords], ...]:
        """Baselines that couldn't get through the corpus while it was prepared, with their trials."""

    def describe(self) -> dict[str, Any]:
        """What everything ran on, for ``run.json``."""


@dataclass(frozen=True)
class OpenRig:
    """A rig on open equipment.

    Attributes:
        workload: what is run.
        equipment: what it is run on.
        prepared: the documents, and what has to come out.
        scratch: for outputs that are thrown away.
        scenes: what the suite's phases do to the documents; ``None`` where they all run on the same.
        values: results come back to the driver.
    """

    workload: Workload
    equipment: Equipment
    prepared: Prepared
    scratch: Path
    scenes: EditedCorpus | PoisonedCorpus | None = None
    values: bool = False
    _last: dict[str, Output] = field(default_factory=dict)

    def can_run(self, arm: Arm) -> bool:
        """Whether all that the arm needs is there."""
        if arm.kind == SERIAL:
            return self.prepared.reference is not None
        if arm.kind == POOL:
            return self.prepared.chunksize is not None
        if arm.cluster == INLINE and self.prepared.reference is None:
            return False  # what ends or hangs a plain loop isn't let into the driver's own process
        if arm.strategy.cache in SERVED and self.equipment.redis is None:
            return False
        return arm.strategy.cache == "none" or self.prepared.uncacheable is None

    def trial(self, arm: Arm, namespace: str, row: Mapping[str, Any]) -> TrialRecords:
        """Run one trial; where its cluster is opened for it alone, that comes before."""
        try:
            with self.equipment.at(arm.place) as cold:
                if cold:
                    self._recover(arm)
                return self._trial(arm, namespace, row)
        except ClusterError as error:  # before the trial began: what it raises is in its row
            return TrialRecords({**row, "error": f"{type(error).__name__}: {one_line(error)}"})

    def _trial(self, arm: Arm, namespace: str, row: Mapping[str, Any]) -> TrialRecords:
        phase = str(row.get("phase") or "")
        turn = self._turn(arm, namespace, phase)
        found = run_trial(
            self._subject(arm, namespace, turn.pipeline),
            turn.documents,
            row,
            scratch=self.scratch,
            reference=turn.reference,
            before=self._last.pop(namespace, None) if phase else None,
        )
        if phase == "poison":
            self._recover(arm)
        if phase and found.output is not None:
            self._last.clear()
            self._last[namespace] = found.output
        return found

    def _recover(self, arm: Arm) -> None:
        recover(self.workload, self.prepared.material, arm.place, self.equipment, self.scratch)

    def _turn(self, arm: Arm, namespace: str, phase: str) -> Turn:
        """What the phase runs on, once its edit was made."""
        if self.scenes is None:
            prepared = self.prepared
            return Turn(prepared.material.documents, self._pipeline(arm), prepared.reference)
        tag, url = arm.strategy.fresh.tag, self.equipment.redis_url
        if phase == "tag" and tag is not None and url is not None:
            from dataflow.memo.admin import invalidate_tag

            invalidate_tag(url, tag, namespace)
        return self.scenes.enter(phase)

    def _pipeline(self, arm: Arm) -> Pipeline:
        return self.workload.variants[arm.variant] if arm.variant else self.workload.pipeline

    def _client(self, arm: Arm) -> Client | None:
        return None if arm.cluster == INLINE else self.equipment.clusters[arm.place].client

    def forget(self, arm: Arm, namespace: str) -> None:
        """Empty what the arm cached: in the workers, and on the server under its own keys alone."""
        from dataflow.memo.clear import clear_namespace
        from dataflow.memo.spec import close_memos

        if arm.cluster == INLINE:
            close_memos()
        elif arm.place in self.equipment.clusters:  # else it has been closed, and all in it forgotten
            close_workers_memos(self.equipment.clusters[arm.place].client)
        if arm.strategy.cache in SERVED and self.equipment.redis_url:
            clear_namespace(self.equipment.redis_url, namespace)

    def page(self, arm: Arm, namespace: str, folder: Path) -> None:
        """Leave Dask's performance report of one more trial in ``folder``."""
        output = Path(tempfile.mkdtemp(prefix="page-", dir=self.scratch))
        try:
            with self.equipment.at(arm.place):
                subject = self._subject(arm, namespace, self._pipeline(arm))
                client = self.equipment.clusters[arm.place].client
                with performance_page(client, arm.name, folder):
                    subject.execute(self.prepared.material.documents, output / "output")
        finally:
            shutil.rmtree(output, ignore_errors=True)

    def columns(self, arm: Arm) -> dict[str, Any]:
        """Columns of a trial's row that say where and how the arm runs."""
        found: dict[str, Any] = {"workload": self.workload.name, "scenario": self.workload.name}
        if arm.kind != ENGINE:
            batching = f"fixed:{self.prepared.chunksize}" if arm.kind == POOL else None
            return found | {"cluster": arm.kind, "cache": "none", "batching": batching}
        chosen = arm.strategy
        return found | {
            "cluster": self.equipment.name_of(arm.place),
            "cache": chosen.cache,
            "freshness": chosen.freshness,
            "batching": chosen.batching,
            "collect": chosen.collect,
            "errors": chosen.errors,
            "loading": arm.variant or "whole",
            "fuse": chosen.fuse,
        }

    def failed(self) -> tuple[tuple[str, TrialRecords], ...]:
        """Baselines that couldn't get through the corpus while it was prepared, with their trials."""
        return self.prepared.failed

    def describe(self) -> dict[str, Any]:
        """What everything ran on, for ``run.json``."""
        return {
            "workload": {
                "name": self.workload.name,
                "description": self.workload.description,
                "stages": [s.name for s in self.workload.pipeline.stages],
            },
            "corpus": self.prepared.material.describe(),
            **self.equipment.describe(),
            "pool_chunksize": self.prepared.chunksize,
            "uncacheable": self.prepared.uncacheable,
        }

    def _subject(self, arm: Arm, namespace: str, pipeline: Pipeline) -> Subject:
        if arm.kind == SERIAL:
            return SerialSubject(self.equipment.serial)
        if arm.kind == POOL:
            assert self.prepared.chunksize is not None
            return PoolSubject(self.equipment.pool, self.prepared.chunksize)
        return EngineSubject(
            pipeline,
            arm.strategy,
            self._client(arm),
            redis_url=self.equipment.redis_url,
            namespace=namespace,
            search_path=self.workload.search_path,
            values=self.values,
        )
