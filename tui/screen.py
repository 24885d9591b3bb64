"""The screen as the command opens it, and the two lines that are left of it."""

from __future__ import annotations

import sys

from ..core.snapshot import Outcome, RunInfo, Snapshot, State
from . import text
from .app import FivestepApp
from .capture import captured
from .exits import FAILED, complain
from .face import Ending
from .keeping import NOTHING, Keeping, Wishes
from .launch import Launch
from .people import People, closing
from .signals import Signals
from .widgets.messages import MessageLog


def open_screen(start: Keeping | None, wishes: Wishes = NOTHING) -> int:
    """Choose a run, or watch this one, until the person leaves.

    Args:
        start: watch this one; None opens the choosing screen.
        wishes: what to keep of a run that is chosen there.

    Returns:
        The exit code: 0 finished or stopped as asked, 1 failed, 130 and 143 after SIGINT and
        SIGTERM.
    """
    log = MessageLog()
    app = FivestepApp(start, log, wishes)
    with captured(log.add):
        app.run()
    launch = app.launch
    if app.return_code and app.caught is None:
        return _go_on(launch)
    if launch is None or launch.session is None:
        if app.caught is None and launch is not None and launch.outcome is not None:
            complain(launch.outcome.reason)  # it could not be built
            return FAILED
        return 128 + app.caught if app.caught else 0
    last, outcome = launch.session.latest(), launch.outcome
    assert last is not None
    for line in summary(launch.info, last, outcome):
        print(text.clean(line))
    if app.caught is not None:
        return 128 + app.caught
    return FAILED if outcome is not None and outcome.state is State.FAILED else 0


def summary(info: RunInfo, last: Snapshot, outcome: Outcome | None) -> tuple[str, str]:
    """What happened, in two lines."""
    if outcome is None:
        outcome = Outcome(State.STOPPED, "left in the middle of a batch")
    first = f"{info.name}: {closing(info, Ending(outcome.state, outcome, last))}"
    if outcome.state is State.FAILED:
        first = f"{info.name}: failed in {outcome.where}: {outcome.reason}"
    parts = []
    if last.last is not None:
        parts.append(f"train loss {text.number(last.last.train_loss)}")
    elif last.loss is not None:
        parts.append(f"loss {text.number(last.loss)}")
    if last.val_loss is not None:
        parts.append(f"val loss {text.number(last.val_loss)}")
    parts += [f"{name} {text.metric(name, value)}" for name, value in last.metrics]
    hand = f" (by hand ×{last.lr_factor:g})" if last.lr_factor != 1 else ""
    parts.append(f"lr {text.number(last.lr)}{hand}")
    return first, "  last: " + ", ".join(parts)


def _go_on(launch: Launch | None) -> int:
    """The screen itself failed: that is no reason to lose the run."""
    complain("the screen failed; please report the lines above")
    session = None if launch is None else launch.session
    if session is None or session.outcome is not None:
        return FAILED
    complain("training goes on without it; Ctrl+C stops after the batch under way")
    from .headless import follow
    from .output import stdout

    face = People(stdout())
    with Signals(face.leave) as signals:
        signals.run_begins()
        face.begin(session)
        code = follow(session, face, signals)
    sys.stdout.flush()
    return code or FAILED
