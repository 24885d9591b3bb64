"""What kind of problem a run solves, and which metric belongs to it. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

TaskName = Literal["classification", "regression", "language-model"]


@dataclass(frozen=True, slots=True)
class Task:
    """A kind of problem; the default judges by the loss alone."""

    name: TaskName | Literal["custom"] = "custom"

    @property
    def metric_name(self) -> str:
        """The metric by which the best epoch is chosen."""
        return {
            "classification": "accuracy",
            "regression": "r2",
            "language-model": "perplexity",
            "custom": "val_loss",
        }[self.name]

    @property
    def metric_names(self) -> tuple[str, ...]:
        """Everything that its validation measures, and no other metric may be called."""
        return (self.metric_name, "val_loss", *(("mae",) if self.name == "regression" else ()))

    @property
    def higher_is_better(self) -> bool:
        """Whether a larger metric means a better model."""
        return self.name in ("classification", "regression")
