"""Ctrl+C and SIGTERM: the first asks the run to stop, a second one ends the process at once.

SIGHUP, sent when a terminal goes away, ends nothing that runs. A signal that is
ignored when the process starts stays ignored: nohup and `&` mean it.
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


class _Handlers:
    """Handlers of the three signals, for the time of a `with`."""

    def __init__(self) -> None:
        self._before: dict[signal.Signals, object] = {}
        self.caught: signal.Signals | None = None
        """The first signal that asked the process to end."""
        self.hung_up = False
        """SIGHUP came."""

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

    def _handle(self, number: int, _: FrameType | None) -> None:
        raise NotImplementedError


class Signals(_Handlers):
    """Notes the first signal; exit codes are 128 + its number: 130 and 143.

    Before `run_begins` there is nothing to keep, so the first one already ends the process.

    Args:
        leave: called before the process ends at once, to leave a terminal's line clean; it runs
            in a signal handler, so it must take no lock.
    """

    def __init__(self, leave: Callable[[], None]) -> None:
        super().__init__()
        self._leave = leave
        self._running = False

    def run_begins(self) -> None:
        """From here on a signal finds something worth ending in order."""
        self._running = True

    def _handle(self, number: int, _: FrameType | None) -> None:
        if number == HANGUP:
            self.hung_up = True
            return
        if self._running and self.caught is None:
            self.caught = signal.Signals(number)
            return
        self._leave()
        os._exit(128 + number)


class ScreenSignals(_Handlers):
    """The same while a screen is open, which is told of the first one.

    A second one does not go through the screen's loop, which may be waiting for a terminal that
    takes nothing any more, or for a disk that hangs.

    Args:
        at_once: called, in the signal handler, before the process ends at once.
    """

    def __init__(self, at_once: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self._at_once = at_once
        self._loop: AbstractEventLoop | None = None
        self._look: Callable[[], None] = lambda: None

    def tell(self, loop: AbstractEventLoop, look: Callable[[], None]) -> None:
        """Have the loop call `look` whenever a signal comes."""
        self._loop, self._look = loop, look

    def end_at_once(self, number: int) -> None:
        """End the process as a second signal of this number does."""
        self._at_once()
        os._exit(128 + number)

    def _handle(self, number: int, _: FrameType | None) -> None:
        if number == HANGUP:
            self.hung_up = True
        elif self.caught is None:
            self.caught = signal.Signals(number)
        else:
            self.end_at_once(number)
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the screen is gone already
                self._loop.call_soon_threadsafe(self._look)
