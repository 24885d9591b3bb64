"""The learning rates of an optimizer's parameter groups, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

GroupLrs = tuple[tuple[str, float], ...]
"""The name and the learning rate of each group, in the optimizer's order; empty where there is one
group only."""
MOST: Final = 4
"""Groups that a line names; of more it gives the range."""


def lr_text(lr: float, lrs: GroupLrs, write: Callable[[float], str] = "{:.3g}".format) -> str:
    """A learning rate for people: "0.01", or "body 1e-05, head 0.01" where groups differ.

    Args:
        lr: the largest.
        lrs: each group's.
        write: gives a number as text.
    """
    values = [value for _, value in lrs]
    if len(set(values)) < 2:
        return write(lr)
    if len(lrs) > MOST:
        return f"{write(min(values))} to {write(max(values))} in {len(lrs)} parameter groups"
    return ", ".join(f"{name} {write(value)}" for name, value in lrs)
