"""Learning-rate schedules by their names in a recipe, all made of torch's own."""

from __future__ import annotations

from typing import Any, Literal

from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    LinearLR,
    LRScheduler,
    OneCycleLR,
    SequentialLR,
    StepLR,
)

from .recipe import Recipe

Schedule = tuple[LRScheduler | None, Literal["update", "epoch"]]


def make_schedule(recipe: Recipe, optimizer: Optimizer, batches: int) -> Schedule:
    """The recipe's schedule, and whether it counts updates or epochs; `batches` in each epoch."""
    options: Any = recipe.scheduler.options
    lr = float(optimizer.param_groups[0]["lr"])
    updates = recipe.epochs * -(-batches // recipe.accumulate)
    match recipe.scheduler.name:
        case "cosine":
            return CosineAnnealingLR(optimizer, updates, eta_min=lr * options["floor"]), "update"
        case "step":
            return StepLR(optimizer, options["step_size"], options["gamma"]), "epoch"
        case "onecycle":
            one = OneCycleLR(optimizer, lr, total_steps=updates, cycle_momentum=False, **options)
            return one, "update"
        case "warmup-cosine":
            return _warmup_cosine(optimizer, updates, lr, **options), "update"
    return None, "epoch"


def _warmup_cosine(
    optimizer: Optimizer, updates: int, lr: float, *, warmup: float, floor: float
) -> LRScheduler:
    """In a straight line up to lr, then down along a cosine."""
    rising = max(round(updates * warmup), 1)
    up = LinearLR(optimizer, start_factor=1 / (rising + 1), total_iters=rising)
    down = CosineAnnealingLR(optimizer, max(updates - rising, 1), eta_min=lr * floor)
    return SequentialLR(optimizer, [up, down], milestones=[rising])
