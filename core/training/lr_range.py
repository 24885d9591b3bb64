"""The learning-rate range test: a short training, whose learning rate grows with each update."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

from ..protocol.steps import Step
from .data import batch_count
from .device import computing_with
from .loop import training_loop
from .lr import LearningRate
from .metrics import Meter, meter_for
from .progress import Progress, as_number
from .rng import seed_rng
from .training import Training
from .unfit import UnfitError

LOW, HIGH = 1e-6, 10.0
UPDATES: Final = 210
"""From `LOW` to `HIGH`: thirty for a power of ten."""
DIVERGED: Final = 4.0
"""Times the lowest smoothed loss so far from which on the loss counts as diverged."""
WINDOW: Final = 7
"""Updates before and behind one that its smoothed loss is the mean of."""
FALLS: Final = 0.02
"""Share of the loss at the beginning by which it has to fall to tell anything."""


@dataclass(frozen=True, slots=True)
class RangePoint:
    """One update of the sweep."""

    lr: float
    """The largest, where parameter groups differ: they keep their proportions."""
    loss: float
    """Before the update; the mean over its batches."""
    smooth: float = math.nan
    """The mean over the updates around it."""


@dataclass(frozen=True, slots=True)
class LrRange:
    """What a sweep has found."""

    points: tuple[RangePoint, ...]
    diverged: bool
    """Whether it ended before `HIGH`, because the loss had grown too large or was not finite."""
    suggestion: float | None
    """A learning rate to begin with; None where the loss falls nowhere."""
    reason: str
    """Why, in a sentence."""


def lr_range(training: Training) -> LrRange:
    """Train with a learning rate that grows exponentially, until the loss diverges.

    Args:
        training: used up by this. Its schedule is left out.

    Raises:
        UnfitError: its optimizer has no learning rate above 0 to begin with.
    """
    rate = LearningRate(training.optimizer)
    if not max(rate.scheduled) > 0:
        raise UnfitError(
            "the optimizer's learning rate is not above 0, so there is nothing to scale",
            "give it any other to begin with",
        )
    training.scheduler = training.validation = None
    updates_an_epoch = (batch_count(training.batches) or 1) / training.accumulate
    training.epochs = math.ceil(UPDATES / max(updates_an_epoch, 1 / training.accumulate)) + 1
    if training.seed is not None:
        seed_rng(training.seed)
    with computing_with(training.threads):
        swept, diverged = _sweep(training, rate)
    points = _smoothed(swept)
    suggestion, reason = suggest(points, diverged=diverged)
    return LrRange(points, diverged, suggestion, reason)


def _sweep(training: Training, rate: LearningRate) -> tuple[list[RangePoint], bool]:
    progress = Progress()
    points: list[RangePoint] = []
    losses: list[float] = []
    lowest = mean = math.inf

    def meter() -> Meter:
        return meter_for(training.task, training.metrics, training.criterion)

    for steps in training_loop(training, rate, progress, meter):
        for step in steps:
            if step is Step.DATA:
                if len(points) == UPDATES:
                    return points, False
                rate.aim(LOW * (HIGH / LOW) ** (len(points) / (UPDATES - 1)))
            elif step is Step.BACKWARD:
                loss = as_number(progress.loss)
                if loss is None or not math.isfinite(loss):
                    return points, True
                losses.append(loss)
            elif step is Step.UPDATE:
                point = RangePoint(rate.lr, sum(losses) / len(losses))
                losses.clear()
                points.append(point)
                mean = point.loss if math.isinf(mean) else 0.7 * mean + 0.3 * point.loss
                if len(points) > WINDOW:
                    lowest = min(lowest, mean)
                    if mean > DIVERGED * abs(lowest):
                        return points, True
    return points, False


def _smoothed(points: Sequence[RangePoint]) -> tuple[RangePoint, ...]:
    losses = [point.loss for point in points]
    around = (losses[max(0, i - WINDOW) : i + WINDOW + 1] for i in range(len(losses)))
    return tuple(
        replace(point, smooth=sum(some) / len(some))
        for point, some in zip(points, around, strict=True)
    )


def suggest(points: Sequence[RangePoint], *, diverged: bool) -> tuple[float | None, str]:
    """A learning rate to begin with, and why: where the smoothed loss falls fastest."""
    if len(points) < 2 * WINDOW:
        return None, "the loss is not finite from the first updates on: look at the data"
    lowest = min(range(len(points)), key=lambda i: points[i].smooth)
    fallen = points[0].smooth - points[lowest].smooth
    if not fallen > FALLS * abs(points[0].smooth):
        return None, (
            f"the loss falls at no learning rate from {points[0].lr:.1e} to {points[-1].lr:.1e}: "
            "look at the data, the loss and the gradients (fivestep explain)"
        )
    falls = [before.smooth - after.smooth for before, after in pairwise(points[: lowest + 1])]
    ahead = (falls[max(0, i - WINDOW) : i + WINDOW + 1] for i in range(len(falls)))
    slopes = [sum(some) / len(some) for some in ahead]
    steepest = points[max(range(len(slopes)), key=slopes.__getitem__)].lr
    least = points[lowest].lr
    end = f"it diverges at {points[-1].lr:.2g}" if diverged else f"up to {HIGH:g} it never diverges"
    return _round(steepest), (
        f"there the loss falls fastest; it is lowest at {least:.2g}, and {end}"
    )


def _round(lr: float) -> float:
    """To one digit: no sweep tells more."""
    return float(f"{lr:.0e}")
