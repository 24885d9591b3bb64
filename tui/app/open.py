"""The screen as the command opens it."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from ...core.protocol.snapshot import Outcome, RunInfo, Snapshot
from ...core.protocol.steps import State
from ..headless.reporter import Ending
from ..headless.text_reporter import closing, resume_hint
from ..render.faults import in_short
from ..render.format import clean, metric, number
from ..setup.launch import Launch
from ..setup.options import NOTHING, RunOptions
from ..terminal.capture import captured
from ..terminal.output import FAILED, complain
from ..terminal.signals import Signals
from ..terminal.terminal import Settings, is_gone
from ..widgets.messages import MessageLog
from .app import FivestepApp

if TYPE_CHECKING:
    from ..setup.builder import RunBuilder


def report(launch: Launch, signal: int | None) -> int:
    """Print how the run ended; the exit code. `signal` is the one that ended the screen."""
    if launch.session is None:
        if signal is None and launch.outcome is not None:
            complain(launch.outcome.reason)  # it could not be built
            return FAILED
        return 128 + signal if signal else 0
    last, outcome = launch.session.latest(), launch.outcome
    assert last is not None
    for line in summary(launch.info, last, outcome):
        print(clean(line))
    for line in lines_kept(launch, last, outcome):
        print("  " + clean(line))
    if signal is not None:
        return 128 + signal
    return FAILED if outcome is not None and outcome.state is State.FAILED else 0


def lines_kept(launch: Launch, last: Snapshot, outcome: Outcome | None) -> list[str]:
    """Where the run is kept, and how to go on with it unless it is finished."""
    kept = launch.kept
    if not kept.place:
        return []
    finished = outcome is not None and outcome.state is State.FINISHED
    lines = [f"kept in {kept.place}"]
    return lines if finished else [*lines, resume_hint(kept.resume_command, last)]


def summary(info: RunInfo, last: Snapshot, outcome: Outcome | None) -> tuple[str, str]:
    """What happened, in two lines."""
    if outcome is None:
        outcome = Outcome(State.STOPPED, "left in the middle of a batch")
    first = f"{info.name}: {closing(info, Ending(outcome.state, outcome, last))}"
    if outcome.state is State.FAILED:
        first = f"{info.name}: failed in {outcome.where}: {outcome.reason}"
    parts = []
    if last.last is not None:
        parts.append(f"train loss {number(last.last.train_loss)}")
    elif last.loss is not None:
        parts.append(f"loss {number(last.loss)}")
    if last.val_loss is not None:
        parts.append(f"val loss {number(last.val_loss)}")
    parts += [f"{name} {metric(name, value)}" for name, value in last.metrics]
    hand = f" (by hand ×{last.lr_factor:g})" if last.lr_factor != 1 else ""
    parts.append(f"lr {number(last.lr)}{hand}")
    if last.faults_so_far and outcome.state is State.FAILED:  # else the first line says so
        parts.append(f"broken on purpose: {in_short(last.faults_so_far)}")
    return first, "  last: " + ", ".join(parts)


def open_screen(start: RunBuilder | None, options: RunOptions = NOTHING) -> int:
    """Choose a run, or watch this one, until the person leaves.

    Args:
        start: watch this one; None opens the choosing screen.
        options: of a run that is chosen there.

    Returns:
        The exit code: 0 finished or stopped as asked, 1 failed, 130 and 143 after SIGINT and
        SIGTERM.
    """
    for name in ("COLUMNS", "LINES"):  # the terminal knows its size, whatever a shell has left here
        os.environ.pop(name, None)
    log, settings = MessageLog(), Settings()
    app: FivestepApp | None = None

    def at_once() -> None:
        launch = app.launch if app is not None else None
        command = launch.kept.resume_command if launch is not None else ""
        settings.restore(f"fivestep: left at once; to go on: {command}\n" if command else "")

    with Signals(at_once) as signals:
        app = FivestepApp(start, log, options, signals)
        with captured(log.add):
            app.run()
        return _left(app, log, signals)


def _left(app: FivestepApp, log: MessageLog, signals: Signals) -> int:
    launch, caught = app.launch, signals.caught
    lost = signals.hung_up or is_gone()
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

    if lost:
        return without_terminal(launch, signals)
    assert launch is not None
    return without_screen(launch) if broken else report(launch, caught)
