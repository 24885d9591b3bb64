"""How often the screen draws: as often as is pleasant, but never at the run's expense."""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Callable
from typing import Final

FASTEST: Final = 0.1
SLOWEST: Final = 2.0
BUDGET: Final = 0.03
"""Largest share of wall time that drawing may take."""
FEW: Final = 5
"""Ticks whose cost is remembered."""


class Pace:
    """The time to the next tick, from what the last ticks have cost.

    The cost of a tick is all processor time that the drawing thread used since the tick before:
    layout and output come after a tick, and are counted with it. The median of the last few is
    what counts: a screen that is built, or a panel that opens, must not hold up what follows.
    """

    def __init__(self, used: Callable[[], float] = time.thread_time) -> None:
        self._used = used
        self._last = used()
        self._costs: deque[float] = deque(maxlen=FEW)
        self._ticks = 0

    @property
    def cost(self) -> float:
        """Seconds of processor time that a tick takes."""
        return statistics.median(self._costs) if self._costs else 0.0

    def interval(self, least: float = FASTEST) -> float:
        """Seconds to wait after this tick; between `least` and `SLOWEST`."""
        used = self._used()
        spent, self._last = used - self._last, used
        self._ticks += 1
        if self._ticks <= FEW:  # the screen is built, every panel drawn for the first time
            return least
        self._costs.append(spent)
        return min(SLOWEST, max(least, self.cost / BUDGET))
