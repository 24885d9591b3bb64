"""The keyboard and the screen as Textual drives them, whatever comes from it, whoever has it."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

from .terminal import in_background

if TYPE_CHECKING:
    from textual.driver import Driver


def forgiving(base: type[Driver]) -> type[Driver]:
    """A driver of Textual's that passes over bytes it can't read: invalid UTF-8, as of another
    encoding or an old mouse report, or a key number that no character has. With the driver as it
    is, they end the program.

    Where a shell has taken the terminal back already (after SIGSTOP), leaving the screen keeps the
    shell's settings.
    """
    if not hasattr(base, "run_input_thread"):
        return base

    class ForgivingDriver(base):  # type: ignore[misc, valid-type]
        exit_event: Any
        fileno: int
        attrs_before: list[Any] | None

        def run_input_thread(self) -> None:
            while not self.exit_event.is_set():
                try:
                    super().run_input_thread()
                except (ValueError, OverflowError):
                    os.fstat(self.fileno)  # or it is the keyboard that is gone: OSError
                else:
                    return

        def suspend_application_mode(self) -> None:
            if not in_background(self.fileno):
                super().suspend_application_mode()
                return
            self.attrs_before = None
            before = signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # it would stop the process
            super().suspend_application_mode()
            signal.signal(signal.SIGTTOU, before)

    return ForgivingDriver
