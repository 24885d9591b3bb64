"""Notices that the process was stopped by a signal, where signals are somebody else's."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import perf_counter, process_time
from typing import Final

from ..protocol.commands import Suspended

EVERY: Final = 0.2
"""Seconds between two beats."""
BLINK: Final = 1.0
"""Seconds; a shorter stop is no matter."""
STILL: Final = 0.1
"""Share of a processor's time that a stopped process has used at most, its first moments awake
included. One that was merely late has used more."""


class SuspensionWatch:
    """Looks a few times a second, in a thread of its own, until it is closed.

    Args:
        counted: what the loop's clock has counted so far, see `Clock.counted`.
        tell: is told of each stop.
    """

    def __init__(
        self, counted: Callable[[], tuple[float, ...]], tell: Callable[[Suspended], object]
    ) -> None:
        self._counted, self._tell = counted, tell
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="fivestep-beats", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Look no more."""
        self._closing.set()
        self._thread.join(BLINK)

    def _beat(self) -> None:
        last, used, counted = perf_counter(), process_time(), self._counted()
        while not self._closing.wait(EVERY):
            here, now = perf_counter(), process_time()
            gone = here - last - EVERY
            if gone > BLINK and now - used < STILL * gone:
                self._tell(Suspended(gone, counted))
            last, used, counted = here, now, self._counted()
