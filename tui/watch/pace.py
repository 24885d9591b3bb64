"""How often the screen draws: as often as is pleasant, but never at the run's expense, nor at that
of a slow line to the terminal.
"""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from ..terminal.terminal import Surviving

FASTEST: Final = 0.1
SLOWEST: Final = 2.5
DRAWING_BUDGET: Final = 0.006
"""Largest share of wall time that drawing may take; charts come on top of that."""
CHARTS: Final = 0.003
"""The same for charts."""
OFTEN, SELDOM = 0.5, 4.0
"""Seconds between two charts, at least and at most."""
BYTES: Final = 6144
"""A second, to the terminal."""
FEW: Final = 5
"""Ticks whose cost is remembered."""


class Pace:
    """The time to the next tick, from what the last ticks have cost.

    The cost of a tick is all processor time that the drawing thread used since the tick before:
    layout and output come after a tick, and are counted with it. The median of the last few is
    what counts: a screen that is built, or a panel that opens, must not hold up what follows.
    """

    def __init__(
        self,
        used: Callable[[], float] = time.thread_time,
        sent: Callable[[], int] = lambda: Surviving.sent,
    ) -> None:
        self._used, self._sent = used, sent
        self._last, self._last_sent = used(), sent()
        self._costs: deque[float] = deque(maxlen=FEW)
        self._bytes: deque[int] = deque(maxlen=FEW)
        self._ticks = 0

    @property
    def cost(self) -> float:
        """Seconds of processor time that a tick takes."""
        return statistics.median(self._costs) if self._costs else 0.0

    def charted(self, cost: float, age: float) -> float:
        """Seconds to wait with the next charts, after some that took `cost` seconds of processor
        time and show a run of `age` seconds: what a young run has been is soon the smaller part.
        """
        self._last += cost
        return min(SELDOM, max(OFTEN, min(cost / CHARTS, age)))

    def interval(self, least: float = FASTEST) -> float:
        """Seconds to wait after this tick; between `least` and `SLOWEST`."""
        used, sent = self._used(), self._sent()
        spent, self._last = used - self._last, used
        more, self._last_sent = sent - self._last_sent, sent
        self._ticks += 1
        if self._ticks <= FEW:  # the screen is built, every panel drawn for the first time
            return least
        self._costs.append(spent)
        self._bytes.append(more)
        slow = sum(self._bytes) / len(self._bytes) / BYTES  # charts come only now and then
        return min(SLOWEST, max(least, self.cost / DRAWING_BUDGET, slow))


RESIZING_BUDGET: Final = 0.05
"""Largest share of the time since the last size that the screen's thread may have used."""
LONGEST: Final = 5.0
"""Seconds until a size is shown all the same."""


class Resizing:
    """Which of many sizes are shown: 120x36 takes 30 to 150 ms to lay out, 500x200 up to 400."""

    def __init__(
        self,
        clock: Callable[[], float] = time.perf_counter,
        used: Callable[[], float] = time.thread_time,
    ) -> None:
        self._clock, self._used = clock, used
        self._last = clock() - LONGEST, used()

    def wait(self) -> float:
        """Seconds until the next size may be shown; 0 if it may be now, and then it counts."""
        now, used = self._clock(), self._used()
        last, used_then = self._last
        left = min(LONGEST, (used - used_then) / RESIZING_BUDGET) - (now - last)
        if left > 0:
            return left
        self._last = now, used
        return 0.0
