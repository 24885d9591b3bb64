"""Ctrl+C and SIGTERM: the first asks the run to stop, a second one ends the process at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Final, Self

STOPPING: Final = (signal.SIGINT, signal.SIGTERM)


class Signals:
    """Notes the first signal; exit codes are 128 + its number: 130 and 143.

    Before `run_begins` there is nothing to keep, so the first one already ends the process.

    Args:
        leave: called before the process ends at once, to leave a terminal's line clean; it runs
            in a signal handler, so it must take no lock.
    """

    def __init__(self, leave: Callable[[], None]) -> None:
        self._leave = leave
        self._running = False
        self._before: dict[signal.Signals, object] = {}
        self.caught: signal.Signals | None = None

    @property
    def exit_code(self) -> int | None:
        """What the process should end with; None without a signal."""
        return None if self.caught is None else 128 + self.caught

    def run_begins(self) -> None:
        """From here on a signal finds something worth ending in order."""
        self._running = True

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # others may not
            for number in STOPPING:
                if signal.getsignal(number) is not signal.SIG_IGN:  # nohup and `&` mean it
                    self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _handle(self, number: int, _: FrameType | None) -> None:
        if self._running and self.caught is None:
            self.caught = signal.Signals(number)
            return
        self._leave()
        os._exit(128 + number)
