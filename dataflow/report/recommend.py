"""The profile of a run: what it recommends for documents that are seen for the first time, and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from dataflow.engine.cost import CostModel
from dataflow.outcome import OK
from dataflow.profile import Profile
from dataflow.report.results import Results
from dataflow.report.summary import Arm
from dataflow.strategy import Strategy

__all__ = ["profile_of"]

_FIRST_SEEN = ("", "cold")


def profile_of(results: Results) -> Profile | None:
    """The engine's strategy with the highest median; ``None`` where no trial of the engine ran to its end.

    Baselines are left out, however fast: they are nothing that can be run in production.
    """
    described = {arm["name"]: arm for arm in results.run.get("arms") or () if arm.get("kind") == "engine"}
    measured = [arm for arm in results.arms if arm.strategy in described and _counts(arm)]
    best = max(measured, key=lambda arm: arm.documents_per_second or 0.0, default=None)
    if best is None:
        return None
    choices = described[best.strategy]
    sentence = next((a.sentence for a in results.advice if a.arm is not None), "")
    return Profile(
        strategy=Strategy().replace(**_known(choices["strategy"])),
        cluster=best.cluster if "://" not in best.cluster else None,
        workload=best.group.workload,
        evidence={
            "run": str(results.run.get("run_id", "")),
            "arm": best.name,
            "documents_per_second": round(best.documents_per_second or 0.0, 3),
            "ratio_to_base": None if best.ratio is None else round(best.ratio, 3),
            "blocks": best.blocks,
            "finding": sentence,
        },
        costs=_model(results.tables["documents"].to_pylist()).costs(),
    )


def _counts(arm: Arm) -> bool:
    return (
        arm.phase in _FIRST_SEEN and not arm.twin and not arm.disqualified and bool(arm.documents_per_second)
    )


def _known(choices: Mapping[str, Any]) -> dict[str, Any]:
    """Without what an older version knew and this one doesn't."""
    return {name: choices[name] for name in Strategy.__dataclass_fields__ if name in choices}


def _model(documents: Iterable[Mapping[str, Any]]) -> CostModel:
    model = CostModel()
    for row in documents:
        if row["status"] == OK and row["cache"] is None and row["seconds"] is not None:
            model.see(row["media_type"], row["size_bytes"] or 0, row["seconds"])
    return model
