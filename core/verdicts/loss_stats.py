"""A run's losses as rules look at them: how they began, and what they are now."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from statistics import median
from typing import Final

from ..protocol.snapshot import Certainty, Curve, RunInfo, Snapshot

BEGINNING: Final = 8
"""Batches that count as the beginning: several, since one alone is mostly noise, yet few enough
that a healthy run has hardly moved."""
COARSEST: Final = 64
"""Batches in a bucket of the curve beyond which its first one hides how the run began."""


def finite(values: tuple[float | None, ...]) -> list[float]:
    """Those that are known, and neither NaN nor infinite."""
    return [v for v in values if v is not None and math.isfinite(v)]


def curve(s: Snapshot, name: str) -> Curve | None:
    """One of the run's series; None before its first point."""
    return next((series for called, series in s.curves if called == name), None)


def lr_at(s: Snapshot, batch: float) -> float:
    """The learning rate that this batch used; of a long run, about."""
    lrs = curve(s, "lr")
    if lrs is None:
        return s.lr
    # A point for every change: the last one that is not later.
    value = lrs.mean[max(0, bisect_right(lrs.x, batch) - 1)]
    return s.lr if value is None else value


def batches_at_zero(s: Snapshot, name: str) -> int:
    """For how many batches, up to the last one, the learning rate of this name was 0."""
    lrs = curve(s, name)
    if lrs is None or lrs.low[-1] != 0 or lrs.high[-1] != 0:
        return 0
    return s.batches_done - int(lrs.x[-1]) + 1


def highest_lr(s: Snapshot) -> float:
    """The highest learning rate that a batch used so far."""
    lrs = curve(s, "lr")
    return max(finite(lrs.high), default=s.lr) if lrs is not None else s.lr


def mean(values: list[float]) -> float:
    """Infinite where the sum is; `statistics.fmean` would raise."""
    return sum(values) / len(values)


def trend(values: list[float]) -> tuple[float, float]:
    """How much the second half's mean is above the first's, and the standard error of that.

    Args:
        values: at least 4.
    """
    half = len(values) // 2
    halves = values[:half], values[-half:]
    first, second = map(mean, halves)
    squares = sum(
        (value - middle) * (value - middle)
        for part, middle in zip(halves, (first, second), strict=True)
        for value in part
    )
    return second - first, math.sqrt(squares / (half - 1) / half)


@dataclass(frozen=True)
class LossStats:
    """The training losses of a Snapshot."""

    info: RunInfo
    s: Snapshot

    @cached_property
    def curve(self) -> Curve | None:
        """The whole run; None before the first batch, and where losses are not known."""
        return None if self.info.loss is Certainty.UNKNOWN else curve(self.s, "loss")

    @cached_property
    def recent(self) -> list[float]:
        """Of the last batches, at most 240 and at most the last quarter of the run."""
        if self.info.loss is Certainty.UNKNOWN:
            return []
        last = max(20, self.s.batches_done // 4)
        return finite(self.s.recent[-last:])

    @cached_property
    def now(self) -> float | None:
        """Their mean."""
        return mean(self.recent) if self.recent else None

    @cached_property
    def typical(self) -> float | None:
        """Their median, which a few outliers don't move."""
        return median(self.recent) if self.recent else None

    @cached_property
    def _first(self) -> int:
        """How many buckets make the beginning; 0 if they are too coarse for one."""
        if self.curve is None or self.curve.x[0] > COARSEST:
            return 0
        return next((i for i, x in enumerate(self.curve.x, 1) if x >= BEGINNING), 0)

    @cached_property
    def start(self) -> float | None:
        """Mean of the first batches; None where that is not known, or not above 0.

        Nothing is said of losses that are negative or zero from the start: none of the rules
        knows a scale to measure them by.
        """
        values = finite(self.curve.mean[: self._first]) if self.curve else []
        return mean(values) if values and values[0] > 0 and 0 < mean(values) < math.inf else None

    def first(self, known: float | None) -> float | None:
        """The untrained model's loss; None if not known, not above 0 or not finite.

        Args:
            known: the first batch's loss. If None, the curve's first bucket gives it, provided
                that it holds two batches at most.
        """
        if known is None and self.curve is not None and self.curve.x[0] <= 2:
            known = self.curve.low[0]
        return known if known is not None and 0 < known < math.inf else None

    @cached_property
    def peak(self) -> float:
        """The highest finite loss of the run."""
        return max(finite(self.curve.high), default=0.0) if self.curve else 0.0

    def first_above(self, limit: float) -> float:
        """The batch by which a loss was above this; the last one if none was."""
        if self.curve is None:
            return self.s.batches_done
        above = (
            x
            for x, high in zip(self.curve.x, self.curve.high, strict=True)
            if high is not None and high > limit
        )
        return next(above, self.s.batches_done)

    @property
    def left(self) -> float | None:
        """What is left of the beginning's loss: 1.0 is all of it, 0.1 a tenth."""
        return None if self.now is None or self.start is None else self.now / self.start
