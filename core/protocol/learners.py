"""What a loop that is not ours trains: each optimizer with its models, losses and steps."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LearnerFacts:
    """One optimizer of a loop that may have several: a GAN's generator, say."""

    name: str
    """Told apart from the others: its model's class, numbered where there are two of it."""
    model: str
    """The classes of the modules that it trains; "" where they are not known."""
    optimizer: str
    updates: int
    """How many steps it has taken."""
    loss: float | None
    """Of its last update; None where it can't be known, or would make an accelerator wait."""
    lr: float
    """What it uses, the hand's factor included; the largest of several groups."""
    grad_norm: float | None
    """As it was sampled last."""
