"""A run on the screen that is drawn and held still in turns: what drawing costs a batch.

    python tests/benchmarks/turns.py PRESET SECONDS PAIRS FILE

Runs on a terminal (`costs.py` gives it one). Held still, the run goes on and nothing looks at it,
as without a screen. Each time that it is still is compared with the mean of the times before and
behind it, of the same process, so that neither the place of its memory nor a machine that changes
its speed makes the difference. Writes the ratios of the times of a batch, drawn over still, as
JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from fivestep.core.session import Session
from fivestep.tui import entry
from fivestep.tui.screens.watch import WatchScreen

PRESET, SECONDS, PAIRS, FILE = sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
WARM_UP = 4.0
"""Seconds in which the screen is built, and charts find their pace."""


class Turns:
    """Switches a screen between being drawn and being still, and counts batches."""

    def __init__(self, screen: WatchScreen, session: Session) -> None:
        self.screen, self.session = screen, session
        self.took: list[float] = []
        """Seconds of a batch: drawn, still, drawn, and so on."""
        self.since = (time.perf_counter(), session.progress.batches_done)
        self.due = 0.0
        """When the screen would have been drawn next, had it not been stopped."""
        interval = screen._pace.interval

        def noted(*least: float) -> float:
            wait = interval(*least)
            self.due = time.perf_counter() + wait
            return wait

        screen._pace.interval = noted  # type: ignore[method-assign]

    def turn(self) -> None:
        """From drawn to still, or from still to drawn."""
        then, done = self.since
        screen = self.screen
        drawn = screen._live
        self.took.append((time.perf_counter() - then) / (self.session.progress.batches_done - done))
        if len(self.took) == 2 * PAIRS + 1:
            before, still, behind = self.took[:-1:2], self.took[1::2], self.took[2::2]
            ratios = [(a + b) / 2 / c for a, c, b in zip(before, still, behind, strict=True)]
            Path(FILE).write_text(json.dumps(ratios))
            os._exit(0)
        screen._live = not drawn
        now = time.perf_counter()
        if drawn:
            screen._alarm.stop()
        else:  # as if no time had passed: no frame and no chart comes early
            self.due += now - then
            screen._charts_due += now - then
            screen._alarm.set(max(0.0, self.due - now))
        self.since = (now, self.session.progress.batches_done)


def begin(screen: WatchScreen) -> None:
    """The screen has its pace."""
    session = getattr(screen.source, "session", None)
    assert isinstance(session, Session)
    turns = Turns(screen, session)
    screen.set_interval(SECONDS, turns.turn)


mounted = WatchScreen.on_mount


def on_mount(self: WatchScreen) -> None:
    """As ever, and then in turns."""
    mounted(self)
    self.set_timer(WARM_UP, lambda: begin(self))


WatchScreen.on_mount = on_mount  # type: ignore[method-assign]
sys.argv = ["fivestep", "train", PRESET, "--epochs", "1000000", "--no-save"]
entry.main()
