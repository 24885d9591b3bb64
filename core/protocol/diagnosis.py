"""Verdicts on a run, and what the rules need besides a Snapshot to reach them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .inside import LayerRow

Severity = Literal["note", "warning", "danger"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Something that is wrong with a run: three texts of one line each."""

    rule: str
    """Which rule says so, such as "overfitting"."""
    severity: Severity
    """note: it could be better; warning: it doesn't learn as it should; danger: it can't."""
    what: str
    """What is wrong."""
    why: str
    """What it is seen by, and what that means."""
    next: str
    """What to try."""

    @property
    def line(self) -> str:
        """All of it in one line, for people."""
        return f"{self.severity}: {self.what}; {self.why}; {self.next}"


@dataclass(frozen=True, slots=True)
class VerdictInputs:
    """What the rules need besides a Snapshot; each default means "not known"."""

    layers: tuple[LayerRow, ...] = ()
    """In the model's order, as of a recent training batch."""
    first_loss: float | None = None
    """Of the run's first batch, which the curve shows only for the first thousand."""
    label_low: int | None = None
    """The lowest class number among the training labels."""
    label_high: int | None = None
    classes: int | None = None
    """How many classes the model's outputs tell apart; 2 for a single logit."""
    stretched: tuple[tuple[int, ...], tuple[int, ...]] | None = None
    """Shapes of outputs and labels between which the criterion compares every one with every other
    one: (B, 1) and (B,), say."""
    validation_classes: int | None = None
    """How many classes occur among the validation's labels."""
    validation_trains: bool | None = None
    """Whether the model was in train mode while it was validated."""
    faults: tuple[str, ...] = ()
    """What was left out of the loop on purpose, or put in the wrong place, in words."""
