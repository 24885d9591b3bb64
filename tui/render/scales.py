"""From values to places on an axis, and round numbers to label it with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scale:
    """Maps `low`..`high` to 0..1. Halves before it subtracts: the largest floats don't overflow."""

    low: float
    high: float
    log: bool = False

    @classmethod
    def of(cls, values: Sequence[float], *, log: bool = False) -> Scale:
        """The scale that just holds `values` (finite, and above 0 if `log`)."""
        return cls(min(values, default=1.0), max(values, default=1.0), log)

    def __call__(self, value: float) -> float:
        low, high = self.low, self.high
        if self.log:
            low, high, value = math.log10(low), math.log10(high), math.log10(value)
        span = high / 2 - low / 2
        if not span > 0:
            return 0.5
        return min(1.0, max(0.0, (value / 2 - low / 2) / span))


def nice_ticks(scale: Scale, most: int, *, whole: bool = False) -> list[float]:
    """At most about `most` round numbers inside the scale; on a log scale, of the form 1, 2, 5.

    Args:
        whole: whole numbers only (batches).
    """
    low, high = scale.low, scale.high
    if not high > low:
        return [low]
    if scale.log:
        ticks = _log_ticks(low, high, most)
        if len(ticks) >= 2:
            return ticks
    raw = (high / 2 - low / 2) / max(1, most) * 2
    if not math.isfinite(raw) or raw <= 0:
        return [low, high]
    power = 10.0 ** math.floor(math.log10(raw))
    if power <= 0 or not math.isfinite(power):
        return [low, high]
    step = next((m * power for m in (1, 2, 5, 10) if m * power >= raw), 10 * power)
    if whole:
        step = max(1.0, step)
    first = math.ceil(low / step)
    ticks = [(first + i) * step for i in range(most + 2) if (first + i) * step <= high]
    return ticks or [low]


def _log_ticks(low: float, high: float, most: int) -> list[float]:
    """Powers of ten, thinned if many; with 2 and 5 between them if few."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for factors in ((1, 2, 5), (1, 3), (1,)):
        ticks = [f * 10.0**e for e in range(first, min(last, 307) + 1) for f in factors if e > -308]
        ticks = [t for t in ticks if low <= t <= high]
        if len(ticks) <= most:
            return ticks
    stride = -(-len(ticks) // most)
    return ticks[::stride]
