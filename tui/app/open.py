"""The screen as the command opens it."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

from ...core.protocol.rank import this_rank
from ...core.protocol.steps import State
from ..setup.options import NOTHING, RunOptions
from ..terminal.capture import captured
from ..terminal.output import FAILED, complain, tell_left, warnings_once
from ..terminal.signals import Signals, end_children
from ..terminal.terminal import Settings, forget_size, is_gone
from ..widgets.messages import MessageLog
from .app import FivestepApp

if TYPE_CHECKING:
    from ..setup.builder import RunBuilder
    from ..setup.launch import Launch


def open_screen(start: RunBuilder | None, options: RunOptions = NOTHING) -> int:
    """Choose a run, or watch this one, until the person leaves.

    Args:
        start: watch this one; None opens the choosing screen.
        options: of a run that is chosen there.

    Returns:
        The exit code: 0 finished or stopped as asked, 1 failed, 130 and 143 after SIGINT and
        SIGTERM.
    """
    forget_size()
    log, settings = MessageLog(), Settings()
    app: FivestepApp | None = None

    def at_once() -> None:
        launch = app.launch if app is not None else None
        command = launch.kept.resume_command if launch is not None else ""
        settings.restore(f"fivestep: left at once; to resume: {command}\n" if command else "")
        if launch is not None and launch.session is None and launch.outcome is None:
            tell_left(launch.builder.abandon())

    with Signals(at_once) as signals:
        app = FivestepApp(start, log, options, signals)
        return _left(app, log, signals, lost=show(app, log, signals))


def show(app: FivestepApp, log: MessageLog, signals: Signals) -> bool:
    """Let the screen run until the person leaves; whether the terminal was lost."""
    with captured(log.add), warnings_once():
        app.run()
    return signals.hung_up or is_gone()


def _left(app: FivestepApp, log: MessageLog, signals: Signals, *, lost: bool) -> int:
    launch, caught = app.launch, signals.caught
    # A screen that ends though nobody asked it to has failed, whatever its code says.
    broken = not app.leaving and caught is None and not lost
    if broken:
        for line in log.last_from("Traceback (most recent call last)"):  # it was caught, too
            print(line, file=sys.stderr)
        complain("the screen failed; please report the lines above")
    if launch is None and not lost:
        return FAILED if broken else signals.exit_code or 0
    # Late: the first picture does without.
    from ..headless.runner import without_screen, without_terminal
    from .report import report

    if lost:
        return without_terminal(launch, signals)
    assert launch is not None
    if broken:
        return without_screen(launch)
    end_children()
    if app.background and caught is None and _is_saved(launch):
        from ..setup.detach import become

        become(app.background)
    code = report(launch, caught)
    if launch.session is None and this_rank().size > 1:
        return code or 128 + signal.SIGINT  # the other ranks wait for it, and torchrun ends them
    return code


def _is_saved(launch: Launch) -> bool:
    """Whether the run was stopped, and all of it is on the disk."""
    outcome, session = launch.outcome, launch.session
    stopped = outcome is not None and outcome.state is State.STOPPED
    saving = session.saving if session is not None else None
    return stopped and saving is not None and not saving.unkept
