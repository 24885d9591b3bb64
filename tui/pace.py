"""How often the screen draws: as often as is pleasant, but never at the run's expense."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

FASTEST: Final = 0.1
SLOWEST: Final = 2.0
BUDGET: Final = 0.03
"""Largest share of wall time that drawing may take."""


class Pace:
    """The time to the next tick, from what the last ticks have cost.

    The cost of a tick is all processor time that the drawing thread used since the tick before:
    layout and output come after a tick, and are counted with it.
    """

    def __init__(self, used: Callable[[], float] = time.thread_time) -> None:
        self._used = used
        self._last = used()
        self.cost = 0.0
        """Smoothed, in seconds of processor time a tick."""

    def interval(self, least: float = FASTEST) -> float:
        """Seconds to wait after this tick; between `least` and `SLOWEST`."""
        used = self._used()
        spent, self._last = used - self._last, used
        self.cost = spent if not self.cost else 0.8 * self.cost + 0.2 * spent
        return min(SLOWEST, max(least, self.cost / BUDGET))
