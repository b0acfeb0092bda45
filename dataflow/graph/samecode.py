"""Whether this process holds the code that a plan was made of.

Stages of a module travel by name, and a worker that lives on holds the module as it was when it imported it. What it
computes is then of other code than the keys say, and must not be kept under them.
"""

from __future__ import annotations

import dataclasses
import warnings
from weakref import WeakKeyDictionary

from dataflow.graph.plan import Plan
from dataflow.memo.keys import Uncacheable
from dataflow.pipeline import Stage

__all__ = ["fresh_fingerprint", "held_against_code", "own_fingerprint"]

# Taken before a stage has run here: what it then leaves in its module's globals is no other code.
_own: WeakKeyDictionary[Stage[..., object], bytes | None] = WeakKeyDictionary()


def held_against_code(plan: Plan) -> Plan:
    """The plan, without a memo where the code of this process isn't that of the plan."""
    stages = plan.pipeline.stages[: plan.memo_stages]
    own = [
        own_fingerprint(stage) if stage.importable else known
        for stage, known in zip(stages, plan.stage_ids, strict=True)
    ]
    if tuple(own) == plan.stage_ids:
        return plan
    return dataclasses.replace(plan, memo_stages=0, stage_ids=(), other_code=True)


def own_fingerprint(stage: Stage[..., object]) -> bytes | None:
    """A stage's fingerprint here, as it was when it was first asked for; ``None`` where it has none."""
    if stage not in _own:
        _own[stage] = fresh_fingerprint(stage)
    return _own[stage]


def fresh_fingerprint(stage: Stage[..., object]) -> bytes | None:
    """A stage's fingerprint here and now; ``None`` where it has none."""
    from dataflow.memo.fingerprint import stage_fingerprint

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what there is to say is said by who plans the run
            return stage_fingerprint(stage)
    except Uncacheable:
        return None
