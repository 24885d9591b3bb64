"""A run whose screen is gone: followed to its end, with nobody there to be asked."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from ...core.protocol.commands import Note, Resume, Save, SetBreakpoints, SetSpeed
from ...core.protocol.steps import State
from ..terminal import terminal
from ..terminal.exits import FAILED, complain
from ..terminal.output import stdout
from ..terminal.signals import HANGUP, Signals
from .reporter import Face
from .runner import follow
from .text_reporter import People

if TYPE_CHECKING:
    from ..setup.launch import Launch
    from ..terminal.signals import ScreenSignals

LOST: Final = "the terminal went away; training goes on without a screen"


def without_terminal(launch: Launch | None, before: ScreenSignals) -> int:
    """The terminal went away: train to the end all the same.

    Args:
        launch: what was watched last; None if a run was still being chosen.
        before: the signals that came while there was a screen.

    Returns:
        The exit code: by the run's outcome; 129, as SIGHUP has it, if there was no run.
    """
    if launch is None:
        return 128 + HANGUP
    if launch.outcome is None and not terminal.is_gone():  # somebody sent the signal by hand
        complain(LOST)
    terminal.let_go()
    if launch.outcome is not None:
        return FAILED if launch.outcome.state is State.FAILED else 0
    face = Face(stdout())
    with Signals(face.leave) as signals:
        signals.caught = before.caught
        return _to_the_end(launch, face, signals, LOST)


def without_screen(launch: Launch) -> int:
    """The screen itself failed, the terminal is there: that is no reason to lose the run.

    Returns:
        The exit code, which is never 0: something did fail.
    """
    if launch.outcome is not None:
        return FAILED
    complain("training goes on without it; Ctrl+C stops after the batch under way")
    face = People(stdout())
    with Signals(face.leave) as signals:
        return _to_the_end(launch, face, signals, "the screen failed") or FAILED


def _to_the_end(launch: Launch, face: Face, signals: Signals, note: str) -> int:
    """Follow the run: no pause, slow motion, breakpoint or question holds it any more."""
    picture = launch.latest()
    if picture is not None and picture.state is State.PAUSED and picture.trouble is None:
        launch.send(Save())  # a person may come back for this very moment
    for command in (Note(note), SetSpeed(None), SetBreakpoints(()), Resume()):
        launch.send(command)
    launch.built.wait()
    session = launch.session
    if session is None:
        assert launch.outcome is not None
        complain(launch.outcome.reason)  # it could not be built
        return FAILED
    signals.run_begins()
    face.begin(session)
    code = follow(session, face, signals, terminal.Terminals(), alone=True)
    sys.stdout.flush()
    return code
