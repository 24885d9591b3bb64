"""How often the screen draws: as often as is pleasant, but never at the run's expense, nor at that
of a slow line to the terminal.
"""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Callable
from typing import Final, Literal

from ..terminal.terminal import Surviving

Drawing = Literal["marker", "everything"]
"""What a tick draws: the marker of the running step alone, or whatever has changed."""

FASTEST: Final = 0.1
SLOWEST: Final = 2.5
BUDGET: Final[dict[Drawing, float]] = {"marker": 0.012, "everything": 0.008}
"""Largest share of wall time that each may take; charts come on top of that."""
CHARTS: Final = 0.004
"""The same for charts."""
OFTEN, SELDOM = 0.5, 0.75
"""Seconds from a chart until curves for the next one are asked for, at least and at most: no chart
gets older than a second."""
BYTES: Final = 6144
"""A second, to the terminal, for each of the two."""
FEW: Final = 5
"""Ticks whose cost is remembered."""


class Pace:
    """The time to the next tick, from what the last ticks of its kind have cost.

    The cost of a tick is all processor time that the drawing thread uses until the next one:
    layout and output come after a tick, and are counted with it. The median of the last few is
    what counts: a screen that is built, or a panel that opens, must not hold up what follows.
    """

    def __init__(
        self,
        used: Callable[[], float] = time.thread_time,
        sent: Callable[[], int] = lambda: Surviving.sent,
        fastest: float = FASTEST,
    ) -> None:
        self.fastest = fastest
        """Seconds between two ticks at least."""
        self._used, self._sent = used, sent
        self._used_before, self._sent_before = used(), sent()
        self._costs: dict[Drawing, deque[float]] = {kind: deque(maxlen=FEW) for kind in BUDGET}
        self._bytes: dict[Drawing, deque[int]] = {kind: deque(maxlen=FEW) for kind in BUDGET}
        self._drawn: Drawing = "everything"
        self._ticks = 0

    def begin(self) -> None:
        """A tick begins: what was spent since the last one began is the cost of that one."""
        used, sent = self._used(), self._sent()
        if self._ticks > FEW:  # at first every panel is drawn for the first time
            self._costs[self._drawn].append(used - self._used_before)
            self._bytes[self._drawn].append(sent - self._sent_before)
        self._ticks += 1
        self._used_before, self._sent_before = used, sent

    def drew(self, kind: Drawing) -> None:
        self._drawn = kind

    def interval(self, kind: Drawing) -> float:
        """Seconds between two ticks of a kind; between `fastest` and `SLOWEST`."""
        costs, sent = self._costs[kind], self._bytes[kind]
        if not costs:
            return self.fastest
        slow_line = statistics.fmean(sent) / BYTES  # charts come only now and then
        return min(SLOWEST, max(self.fastest, statistics.median(costs) / BUDGET[kind], slow_line))

    def charted(self, cost: float, age: float) -> float:
        """Seconds to wait with the next chart, after one that took `cost` seconds of processor
        time and shows a run of `age` seconds: what a young run has been is soon the smaller part.
        """
        self._used_before += cost
        return min(SELDOM, max(OFTEN, min(cost / CHARTS, age)))


RESIZING_BUDGET: Final = 0.05
"""Largest share of the time since the last size that the screen's thread may have used."""
SETTLED: Final = 0.05
"""Seconds after which a size that no other one has followed is shown, whatever that costs."""


class Resizing:
    """Which of many sizes are shown: 120x36 takes 30 to 150 ms to lay out, 500x200 up to 400.

    The last one always is, and soon: until then the terminal shows what was drawn for another.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.perf_counter,
        used: Callable[[], float] = time.thread_time,
    ) -> None:
        self._clock, self._used = clock, used
        self._last = float("-inf"), used()

    def wait(self, waited: float = 0.0) -> float:
        """Seconds until a size may be shown if no other one follows; 0 if it may be now, and then
        it counts.

        Args:
            waited: seconds since it came.
        """
        now, used = self._clock(), self._used()
        last, used_then = self._last
        left = (used - used_then) / RESIZING_BUDGET - (now - last)
        if left > 0 and waited < SETTLED:
            return min(left, SETTLED - waited)
        self._last = now, used
        return 0.0
