"""A run on the screen that is drawn and held still in turns: what drawing costs a batch.

    python tests/benchmarks/turns.py PRESET SECONDS PAIRS FILE

Runs on a terminal (`costs.py` gives it one). Held still, the run goes on and nothing looks at it,
as without a screen. Both halves of a pair are of one process, seconds apart, so that neither the
place of its memory nor a machine that changes its speed makes the difference. Writes the ratios
of the times of a batch, drawn over still, as JSON.
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
        self.rates: dict[bool, list[float]] = {True: [], False: []}
        self.since = (time.perf_counter(), session.progress.batches_done)

    def turn(self) -> None:
        """The other half of a pair, or the first of the next one."""
        then, done = self.since
        now = (time.perf_counter(), self.session.progress.batches_done)
        screen = self.screen
        drawn = screen._live
        self.rates[drawn].append((now[1] - done) / (now[0] - then))
        if len(self.rates[False]) == PAIRS and len(self.rates[True]) == PAIRS:
            pairs = zip(self.rates[True], self.rates[False], strict=True)
            Path(FILE).write_text(json.dumps([still / drawn for drawn, still in pairs]))
            os._exit(0)
        screen._live = not drawn
        if drawn:
            screen._timer.stop()
        self.since = (time.perf_counter(), self.session.progress.batches_done)
        if not drawn:
            screen._tick_and_wait()


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
