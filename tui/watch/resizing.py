"""New sizes of the window: as many as are pleasant, but never at the run's expense."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

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
