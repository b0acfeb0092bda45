"""Whether this process holds the code that a plan was made of.

Stages of a module travel by name, and a worker that lives on holds the module as it was when it imported it. What it
computes is then of other code than the keys say, and must not be kept under them.
"""

from __future__ import annotations

import dataclasses
from weakref import WeakKeyDictionary

from dataflow.graph.plan import Plan
from dataflow.memo.keys import Uncacheable
from dataflow.pipeline import Stage

__all__ = ["held_against_code"]

# Taken before a stage has run here: what it then leaves in its module's globals is no other code.
_own: WeakKeyDictionary[Stage[..., object], bytes | None] = WeakKeyDictionary()


def held_against_code(plan: Plan) -> Plan:
    """The plan, without a memo where the code of this process isn't that of the plan."""
    stages = plan.pipeline.stages[: plan.memo_stages]
    own = [
        _fingerprint(stage) if stage.importable else known
        for stage, known in zip(stages, plan.stage_ids, strict=True)
    ]
    if tuple(own) == plan.stage_ids:
        return plan
    return dataclasses.replace(plan, memo_stages=0, stage_ids=(), other_code=True)


def _fingerprint(stage: Stage[..., object]) -> bytes | None:
    if stage not in _own:
        from dataflow.memo.fingerprint import stage_fingerprint

        try:
            _own[stage] = stage_fingerprint(stage)
        except Uncacheable:
            _own[stage] = None
    return _own[stage]
