"""A profile: the strategy that a run recommends, with its evidence and with what documents were seen to cost."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dataflow.errors import StrategyError, one_line
from dataflow.strategy import Strategy

__all__ = ["Cost", "Profile"]

_FORMAT = 1


@dataclass(frozen=True)
class Cost:
    """What documents of one media type take: ``seconds + seconds_a_byte x size``.

    Attributes:
        seconds: of an empty document, on one core.
        seconds_a_byte: what each byte adds.
        mean_bytes: of the documents that this was seen of.
        documents: how many.
    """

    seconds: float
    seconds_a_byte: float
    mean_bytes: float
    documents: int


@dataclass(frozen=True)
class Profile:
    """What to run with.

    Attributes:
        strategy: the recommended one.
        cluster: on which it was measured, by name; ``None`` where that is no name.
        workload: on what.
        evidence: why, in words and figures, for people.
        costs: by media type; they seed the batches' sizes and order.
    """

    strategy: Strategy
    cluster: str | None = None
    workload: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)
    costs: Mapping[str, Cost] = field(default_factory=dict)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Profile:
        """Read a profile: its file, or the folder of the run that wrote it.

        Raises:
            StrategyError: it can't be read, or isn't one.
        """
        import yaml

        file = Path(path).expanduser()
        file = file / "profile.yaml" if file.is_dir() else file
        try:
            data = yaml.safe_load(file.read_text(encoding="utf-8"))
            if data["format"] != _FORMAT:
                raise ValueError(f"format {data['format']} is of another version")
            costs = {kind: Cost(**cost) for kind, cost in data["costs"].items()}
            strategy = Strategy().replace(**data["strategy"])
            return cls(strategy, data["cluster"], data["workload"], data["evidence"], costs)
        except StrategyError as error:
            raise StrategyError(f"profile {file}: {error}") from None
        except (OSError, yaml.YAMLError, ValueError, KeyError, TypeError, AttributeError) as error:
            why = f"{type(error).__name__}: {one_line(error)}".rstrip(".")
            raise StrategyError(
                f"profile {file} can't be read ({why}): name a profile.yaml that a benchmark wrote."
            ) from None

    def dump(self) -> str:
        """The profile as YAML."""
        import yaml

        default = Strategy()
        chosen = {
            f.name: getattr(self.strategy, f.name)
            for f in dataclasses.fields(default)
            if getattr(self.strategy, f.name) != getattr(default, f.name)
        }
        data = {
            "format": _FORMAT,
            "workload": self.workload,
            "cluster": self.cluster,
            "strategy": chosen,
            "evidence": dict(self.evidence),
            "costs": {kind: dataclasses.asdict(cost) for kind, cost in self.costs.items()},
        }
        text: str = yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
        return f"# Run with it: dataflow run --profile THIS, or run(profile=THIS).\n{text}"
