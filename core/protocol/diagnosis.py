"""What verdicts are made of and from: `Verdict`, and the `Facts` that no Snapshot holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

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


class LayerFact(Protocol):
    """What is asked of a layer; None is "not known" throughout. `inside.LayerRow` is one."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def weight_norm(self) -> float | None:
        """Of all its parameters together."""

    @property
    def grad_norm(self) -> float | None:
        """Of their gradients, of the last batch."""

    @property
    def update_ratio(self) -> float | None:
        """Norm of the last update over the norm of the weights before it."""

    @property
    def dead_share(self) -> float | None:
        """Share (0 to 1) of a ReLU's units that gave 0 for every sample of the batch."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a face may know besides the Snapshot; the defaults say that it doesn't."""

    layers: tuple[LayerFact, ...] = ()
    """In the model's order, as of a recent training batch."""
    first_loss: float | None = None
    """Of the run's first batch, which the curve shows only for the first thousand."""
    label_low: int | None = None
    """The lowest class number among the training labels."""
    label_high: int | None = None
    classes: int | None = None
    """How many classes the model's outputs tell apart; 2 for a single logit."""
    validation_trains: bool | None = None
    """Whether the model was in train mode while it was validated."""
    faults: tuple[str, ...] = ()
    """What was left out of the loop on purpose, or put in the wrong place, in words."""
