"""Ctrl+C and SIGTERM: the first asks the run to stop, a second one ends the process at once.

SIGHUP, sent when a terminal goes away, ends nothing that runs. Ctrl+Z (SIGTSTP) stops the process,
and SIGSTOP does: `awake` tells that it goes on. A signal that is ignored when the process starts
stays ignored: nohup and `&` mean it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from asyncio import AbstractEventLoop
from collections.abc import Callable
from time import perf_counter
from types import FrameType
from typing import Final, Self

STOPPING: Final = (signal.SIGINT, signal.SIGTERM)
HANGUP: Final = signal.SIGHUP
SUSPEND: Final = signal.SIGTSTP
CONTINUE: Final = signal.SIGCONT
TERMINAL_GONE: Final = 128 + HANGUP
"""The exit code of a screen whose terminal has gone away, where nothing of its own goes on."""


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
        self.suspending = False
        """Ctrl+Z's signal came while a screen is open, which has to be left first."""
        self.awake: float | None = None
        """Since when the process runs again after it was stopped (`time.perf_counter`), until
        somebody has taken note of it."""

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # others may not
            for number in (*STOPPING, HANGUP, SUSPEND, CONTINUE):
                before = signal.getsignal(number)
                if before is not signal.SIG_IGN:
                    self._before[number] = before
                    if number != SUSPEND:  # what it does by itself is right, without a screen
                        signal.signal(number, self._handle)
        _in_force.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        _in_force.remove(self)
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
        """A screen is open: have its loop call `look` whenever a signal comes, Ctrl+Z's too."""
        self._loop, self._look = loop, look
        for number in (SUSPEND, CONTINUE):  # Textual has taken them
            signal.signal(number, self._handle if number in self._before else signal.SIG_IGN)

    def suspend(self) -> bool:
        """Stop the process, and the others of its job, until it is told to go on.

        Returns:
            Whether it was stopped: False where no shell is there that could tell it.
        """
        self.suspending, self.awake = False, None
        handler = signal.getsignal(SUSPEND)
        if SUSPEND in self._before:
            signal.signal(SUSPEND, signal.SIG_DFL)
            os.killpg(os.getpgrp(), SUSPEND)
            signal.signal(SUSPEND, handler)
        return self.awake is not None

    def end_at_once(self, number: int) -> None:
        """End the process, and what it has started, as a second signal of this number does."""
        self._at_once()
        end_children(everyone=True)
        os._exit(128 + number)

    def _handle(self, number: int, _: FrameType | None) -> None:
        if number == HANGUP:
            self.hung_up = True
        elif number == CONTINUE:
            self.awake = perf_counter()
        elif number == SUSPEND:
            self.suspending = True
        elif self._running and self.caught is None:
            self.caught = signal.Signals(number)
        else:
            self.end_at_once(number)
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the screen is gone already
                self._loop.call_soon_threadsafe(self._look)


def end_children(*, everyone: bool = False) -> None:
    """End the data workers that this process has started, which may be busy for long, and look only
    every five seconds whether it is still there; or everyone that multiprocessing knows of.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch's takes them for a failure
    processes = sys.modules.get("multiprocessing.process")
    for child in processes.active_children() if processes is not None else ():
        if everyone or child.daemon:
            child.kill()


_in_force: Final[list[Signals]] = []


def _in_child() -> None:
    """In a process forked from this one: Ctrl+C and a hang-up are the parent's business."""
    for number in _in_force[0]._before if _in_force else ():
        ignored = number in (signal.SIGINT, HANGUP)
        signal.signal(number, signal.SIG_IGN if ignored else signal.SIG_DFL)
    _in_force.clear()


os.register_at_fork(after_in_child=_in_child)
