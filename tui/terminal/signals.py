"""Ctrl+C and SIGTERM: the first asks the run to stop, a second one ends the process at once.

SIGHUP, sent when a terminal goes away, ends nothing that runs. A signal that is ignored when the
process starts stays ignored: nohup and `&` mean it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from asyncio import AbstractEventLoop
from collections.abc import Callable
from types import FrameType
from typing import Final, Self

STOPPING: Final = (signal.SIGINT, signal.SIGTERM)
HANGUP: Final = signal.SIGHUP


class Signals:
    """Notes the first signal, for the time of a `with`; exit codes are 130 and 143.

    A second signal does not go through the run or the screen, which may be waiting for a disk or
    a terminal that takes nothing any more.

    Args:
        at_once: called, in the signal handler, before the process ends at once: to leave the
            terminal clean. It must take no lock.
        running: whether a run may be under way; if not, the first signal ends the process too,
            until `run_begins`: there is nothing to keep.
    """

    def __init__(self, at_once: Callable[[], None] = lambda: None, *, running: bool = True) -> None:
        self._at_once, self._running = at_once, running
        self._before: dict[signal.Signals, object] = {}
        self._loop: AbstractEventLoop | None = None
        self._look: Callable[[], None] = lambda: None
        self.caught: signal.Signals | None = None
        """The first signal that asked the process to end."""
        self.hung_up = False

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # others may not
            for number in (*STOPPING, HANGUP):
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    @property
    def exit_code(self) -> int | None:
        """What the process should end with, 130 or 143; None without a signal."""
        return None if self.caught is None else 128 + self.caught

    def run_begins(self) -> None:
        """From here on a signal finds something worth ending in order."""
        self._running = True

    def notify(self, loop: AbstractEventLoop, look: Callable[[], None]) -> None:
        """Have the loop call `look` whenever a signal comes."""
        self._loop, self._look = loop, look

    def end_at_once(self, number: int) -> None:
        """End the process as a second signal of this number does."""
        self._at_once()
        os._exit(128 + number)

    def _handle(self, number: int, _: FrameType | None) -> None:
        if number == HANGUP:
            self.hung_up = True
        elif self._running and self.caught is None:
            self.caught = signal.Signals(number)
        else:
            self.end_at_once(number)
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the screen is gone already
                self._loop.call_soon_threadsafe(self._look)
