"""The learning rates of an optimizer's parameter groups, by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

GroupLrs = tuple[tuple[str, float], ...]
"""The name and the learning rate of each group, in the optimizer's order; empty where there is one
group only."""
MOST: Final = 4
"""Groups that a line names; of more it gives the range."""


def lr_text(lr: float, lrs: GroupLrs, told: Callable[[float], str] = "{:.3g}".format) -> str:
    """A learning rate for people: "0.01", or "body 1e-05, head 0.01" where groups differ.

    Args:
        lr: the largest.
        lrs: each group's.
        told: writes a number.
    """
    values = [value for _, value in lrs]
    if len(set(values)) < 2:
        return told(lr)
    if len(lrs) > MOST:
        return f"{told(min(values))} to {told(max(values))} in {len(lrs)} parameter groups"
    return ", ".join(f"{name} {told(value)}" for name, value in lrs)


def unique(names: Sequence[str]) -> tuple[str, ...]:
    """The names, with its number behind each that was there before."""
    return tuple(name if name not in names[:i] else f"{name} ({i})" for i, name in enumerate(names))
