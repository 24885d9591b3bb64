"""The screen as the command opens it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .app import FivestepApp
from .capture import captured
from .exits import FAILED, complain
from .widgets.messages import MessageLog
from .wishes import NOTHING, Wishes

if TYPE_CHECKING:
    from .keeping import Keeping


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
    broken = app.return_code and app.caught is None
    if broken:
        complain("the screen failed; please report the lines above")
    if launch is None:
        if broken:
            return FAILED
        return 128 + app.caught if app.caught else 0
    from .afterwards import go_on, told  # late: the first picture does without

    return go_on(launch) if broken else told(launch, app.caught)
