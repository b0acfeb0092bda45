"""What comes before the first trial: everything imported and warm, and the plain loop's output known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dataflow.bench.baselines import PoolSubject, SerialSubject, tuned_chunksize
from dataflow.bench.edits import EditedCorpus
from dataflow.bench.equipment import Equipment
from dataflow.bench.material import Material, cut_to_time
from dataflow.bench.poison import POISON_DOCUMENTS, PoisonedCorpus
from dataflow.bench.suites import INLINE, POOL, SERIAL, Arm, Suite
from dataflow.bench.warming import warm_up
from dataflow.document import Document
from dataflow.errors import ClusterError, counted
from dataflow.measure.trial import Reference, TrialRecords, run_trial
from dataflow.workload import Workload

__all__ = ["Prepared", "prepare", "scenes"]


@dataclass(frozen=True)
class Prepared:
    """What is known before the first trial.

    Attributes:
        material: the documents of every trial.
        reference: the plain loop's output; ``None`` where it can't get through.
        failed: name and trial of each baseline that can't get through.
        chunksize: the pool's, tuned; ``None`` where it can't get through.
        uncacheable: why nothing can be memoized; ``None`` where it can.
    """

    material: Material
    reference: Reference | None
    failed: tuple[tuple[str, TrialRecords], ...]
    chunksize: int | None
    uncacheable: str | None


def prepare(
    workload: Workload,
    material: Material,
    equipment: Equipment,
    *,
    seconds: float | None,
    scratch: Path,
    say: Callable[[str], None],
    arms: Sequence[Arm],
) -> Prepared:
    """Warm everything up and get the reference.

    Args:
        workload: its pipeline is run.
        material: the corpus.
        equipment: open.
        seconds: what a plain loop may take; a larger corpus is cut down to it. ``None`` takes it whole.
        scratch: for outputs that are thrown away.
        say: told what is going on.
        arms: of the suite.
    """
    say("warming up the plain loop, whose output is the reference")
    if seconds is not None:
        material = cut_to_time(material, equipment.serial, seconds, scratch / "scout", say)
    reference, serial = _reference(material.documents, equipment, scratch)
    say("warming up the pool, and tuning its chunk size")
    chunksize, pool = _chunksize(material, equipment, scratch)
    say("warming up the clusters")
    uncacheable = warm_up(workload, material, _safe(arms, reference), equipment, scratch)
    if uncacheable:
        say(f"no cache arm: {uncacheable}")
    else:
        _say_how_far(workload, say)
    failed = tuple((n, r) for n, r in ((SERIAL, serial), (POOL, pool)) if r is not None)
    return Prepared(material, reference, failed, chunksize, uncacheable)


def _safe(arms: Sequence[Arm], reference: Reference | None) -> list[Arm]:
    """Arms that may be run: what ends or hangs a plain loop isn't let into the driver's own process."""
    return [arm for arm in arms if reference is not None or arm.cluster != INLINE]


def scenes(
    suite: Suite,
    workload: Workload,
    prepared: Prepared,
    equipment: Equipment,
    scratch: Path,
    say: Callable[[str], None],
) -> EditedCorpus | PoisonedCorpus | None:
    """What the suite's phases do to the documents, with the plain loop's output in each.

    Returns:
        ``None`` for a suite whose phases all run on the same documents.

    Raises:
        ClusterError: workers on other machines would not see the files that are written.
        OutputError: they can't be written.
    """
    if not suite.edits and not suite.poisons:
        return None
    if not all(cluster.local for cluster in equipment.clusters.values()):
        raise ClusterError(
            f"suite {suite.name} writes documents of its own, which workers on other machines can't see: "
            "take a cluster on this one."
        )
    if suite.poisons:
        say(
            f"phase poison: {counted(POISON_DOCUMENTS, 'document')} more, which ends whatever worker it comes to"
        )
        return PoisonedCorpus(workload.pipeline, prepared.material, prepared.reference, scratch / "poison")

    def oracle(documents: Sequence[Document]) -> Reference | None:
        if prepared.reference is None:
            return None
        return _reference(documents, equipment, scratch)[0]

    say("copying the documents, and running the plain loop over each of the copy's states")
    return EditedCorpus(workload.pipeline, prepared.material, suite.phases, scratch / "edited", oracle)


def _reference(
    documents: Sequence[Document], equipment: Equipment, scratch: Path
) -> tuple[Reference | None, TrialRecords | None]:
    """The plain loop's output and CPU seconds: of two runs the fewer, since noise only ever adds."""
    cpu_seconds: list[float] = []
    for _ in range(2):
        subject = SerialSubject(equipment.serial)
        records = run_trial(subject, documents, {"trial": 0}, scratch=scratch)
        if records.output is None:
            return None, records
        cpu_seconds.append(sum(row["cpu_seconds"] for row in records.tables["batches"]))
    assert records.output is not None
    return Reference(records.output, min(cpu_seconds)), None


def _chunksize(
    material: Material, equipment: Equipment, scratch: Path
) -> tuple[int | None, TrialRecords | None]:
    """The pool's chunk size. A whole trial comes first: it warms up, and shows that the pool gets through."""
    records = run_trial(PoolSubject(equipment.pool, 1), material.documents, {"trial": 0}, scratch=scratch)
    if records.output is None:
        return None, records
    return tuned_chunksize(equipment.pool, material.documents, scratch), None


def _say_how_far(workload: Workload, say: Callable[[str], None]) -> None:
    from dataflow.memo.chain import chain_of, memoized_up_to

    chain, why_not = chain_of(workload.pipeline)
    if chain and why_not:
        say(memoized_up_to(chain, why_not))
