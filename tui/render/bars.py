"""Thin bars: a share of a whole as a heavy line, to half a cell."""

from __future__ import annotations

import math

from .spans import Line, line


def bar(share: float, width: int) -> str:
    """A bar of `width` cells filled from the left by `share` (0 to 1).

    Something above zero always shows at least half a cell.
    """
    if width < 1 or not math.isfinite(share):
        return " " * max(0, width)
    halves = round(min(1.0, max(0.0, share)) * width * 2)
    if share > 0:
        halves = max(1, halves)
    return ("━" * (halves // 2) + "╸" * (halves % 2)).ljust(width)


def track(share: float, width: int) -> Line:
    """A bar on a thin line, so that its end can be seen."""
    filled = bar(share, width).rstrip()
    return line((filled, "bar"), ("─" * (width - len(filled)), "track"))
