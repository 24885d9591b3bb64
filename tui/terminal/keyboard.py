"""What comes from the keyboard, whatever bytes it is made of."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from textual.driver import Driver


def forgiving(base: type[Driver]) -> type[Driver]:
    """A driver of Textual's that passes over bytes it can't read: invalid UTF-8, as of another
    encoding or an old mouse report, or a key number that no character has. With the driver as it
    is, they end the program.
    """
    if not hasattr(base, "run_input_thread"):
        return base

    class ForgivingDriver(base):  # type: ignore[misc, valid-type]
        exit_event: Any
        fileno: int

        def run_input_thread(self) -> None:
            while not self.exit_event.is_set():
                try:
                    super().run_input_thread()
                except (ValueError, OverflowError):
                    os.fstat(self.fileno)  # or it is the keyboard that is gone: OSError
                else:
                    return

    return ForgivingDriver
