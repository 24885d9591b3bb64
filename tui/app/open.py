"""The screen as the command opens it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ..setup.options import NOTHING, Wishes
from ..terminal.capture import captured
from ..terminal.exits import FAILED, complain
from ..terminal.signals import ScreenSignals
from ..terminal.terminal import Settings, is_gone
from ..widgets.messages import MessageLog
from .app import FivestepApp

if TYPE_CHECKING:
    from ..setup.builder import Keeping


def open_screen(start: Keeping | None, wishes: Wishes = NOTHING) -> int:
    """Choose a run, or watch this one, until the person leaves.

    Args:
        start: watch this one; None opens the choosing screen.
        wishes: what to keep of a run that is chosen there.

    Returns:
        The exit code: 0 finished or stopped as asked, 1 failed, 130 and 143 after SIGINT and
        SIGTERM.
    """
    log, settings = MessageLog(), Settings()
    app: FivestepApp | None = None

    def at_once() -> None:
        way_on = app.launch.kept.way_on if app is not None and app.launch is not None else ""
        settings.restore(f"fivestep: left at once; to go on: {way_on}\n" if way_on else "")

    with ScreenSignals(at_once) as signals:
        app = FivestepApp(start, log, wishes, signals)
        with captured(log.add):
            app.run()
        return _left(app, log, signals)


def _left(app: FivestepApp, log: MessageLog, signals: ScreenSignals) -> int:
    """What is left to be done; the exit code."""
    launch, caught = app.launch, signals.caught
    lost = signals.hung_up or is_gone()
    broken = app.return_code and caught is None and not lost
    if broken:
        for line in log.last_from("Traceback (most recent call last)"):  # it was caught, too
            print(line, file=sys.stderr)
        complain("the screen failed; please report the lines above")
    if launch is None and not lost:
        return FAILED if broken else signals.exit_code or 0
    # Late: the first picture does without.
    from ..headless.unattended import without_screen, without_terminal
    from .afterwards import told

    if lost:
        return without_terminal(launch, signals)
    assert launch is not None
    return without_screen(launch) if broken else told(launch, caught)
