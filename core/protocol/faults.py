"""Ways to break the loop on purpose, each with what to expect and why. Standard library only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Fault(StrEnum):
    """One thing that is wrong with the loop while it is on."""

    NO_ZERO_GRAD = "no-zero-grad"
    LATE_ZERO_GRAD = "late-zero-grad"
    NO_BACKWARD = "no-backward"
    NO_STEP = "no-step"
    EVAL_MODE = "eval-mode"
    LR_TIMES_100 = "lr-x100"

    @property
    def info(self) -> FaultInfo:
        """What is said about it."""
        return FAULTS[self]


@dataclass(frozen=True, slots=True)
class FaultInfo:
    """A switch, explained before and after."""

    fault: Fault
    label: str
    """What is done to the loop, in a few words."""
    expect: str
    """What you should now see."""
    why: str
    """Why that happens; for when it has been seen."""


def faults_named(names: Iterable[str] | None) -> tuple[Fault, ...]:
    """Those of these names that this fivestep knows."""
    return tuple(Fault(name) for name in names or () if name in tuple(Fault))


@dataclass(frozen=True, slots=True)
class Undone:
    """What was broken on purpose for some batches, and taken back together with them."""

    faults: tuple[Fault, ...]
    first: int
    """The first of these batches of the whole run, counted from 1."""
    last: int

    @property
    def record(self) -> dict[str, object]:
        """As it stands in JSON."""
        names = [str(fault) for fault in self.faults]
        return {"switches": names, "first": self.first, "last": self.last}


LR_FACTOR: Final = 100.0

FAULTS: Final[dict[Fault, FaultInfo]] = {
    info.fault: info
    for info in (
        FaultInfo(
            Fault.NO_ZERO_GRAD,
            "leave out optimizer.zero_grad()",
            "The gradient norm grows from batch to batch, and the loss becomes restless or rises.",
            "The backward pass adds to what it finds in .grad. Nobody resets it, so every update "
            "follows the sum of all gradients since, most of them of weights that are long gone.",
        ),
        FaultInfo(
            Fault.LATE_ZERO_GRAD,
            "zero_grad after backward",
            "The loss stops falling at once: it only wavers with the batches. Every .grad is "
            "zero before the update.",
            "zero_grad throws away what the backward pass has just computed, so optimizer.step() "
            "finds no gradient and moves nothing.",
        ),
        FaultInfo(
            Fault.NO_BACKWARD,
            "leave out loss.backward()",
            "The loss stops falling. Layers have no gradients, and weights don't move.",
            "Only the backward pass computes gradients. Without them the optimizer has nothing to "
            "go by, however wrong the outputs are.",
        ),
        FaultInfo(
            Fault.NO_STEP,
            "leave out optimizer.step()",
            "The loss stops falling although every batch fills the gradients as before.",
            "Gradients only say which way to go. The update is the one step that moves a weight.",
        ),
        FaultInfo(
            Fault.EVAL_MODE,
            "forget model.train()",
            "With dropout: the training loss drops a little at once. With batch norm: its "
            "averages stand still. Without either nothing changes.",
            "In eval mode dropout lets everything through and batch norm uses averages that it no "
            "longer updates, so the model is trained as another one than it was.",
        ),
        FaultInfo(
            Fault.LR_TIMES_100,
            "multiply the learning rate by 100",
            "The loss jumps up, often to NaN within a few batches.",
            "A gradient is only right close by. Steps this long land far up on the other side of "
            "the valley, where the gradient is larger still.",
        ),
    )
}
