"""A run on the screen: what drawing costs a batch.

    python tests/benchmarks/drawn.py PRESET PAIRS FILE

Runs on a terminal (`costs.py` gives it one). Between two charts the screen draws a few frames, and
nothing at all in the second half of the time from each to the next: there the run goes on as it
does without a screen. The time of a batch over all of such a stretch, over the time of a batch in
these halves, is a pair: both come from the same seconds of the same process, so that neither the
place of its memory nor a machine that changes its speed makes the difference. The first batch of
an epoch, whose time has what ends the epoch before in it, counts for neither. Writes the ratios as
JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
from bisect import bisect_left
from itertools import pairwise
from pathlib import Path
from statistics import fmean

from fivestep.core.session.recorder import Recorder
from fivestep.tui.cli import main as entry
from fivestep.tui.watch.watch import WatchScreen

PRESET, PAIRS, FILE = sys.argv[1], int(sys.argv[2]), sys.argv[3]
WARM_UP = 4.0
"""Seconds in which the screen is built, and charts find their pace."""

ends: list[float] = []
"""When each batch was done (`time.perf_counter`)."""
firsts: list[bool] = []
"""Whether it was the first of its epoch."""
frames: list[tuple[float, bool]] = []
"""When a frame began, and whether it had a chart."""


def ratio(stretch: list[float]) -> float:
    """Time of a batch, all over still, from the first of these frames to the last."""
    every: list[float] = []
    still: list[float] = []
    for begin, end in pairwise(stretch):
        middle = (begin + end) / 2
        for i in range(bisect_left(ends, begin), bisect_left(ends, end)):
            if firsts[i] or not i:
                continue
            every.append(ends[i] - ends[i - 1])
            if ends[i - 1] >= middle:
                still.append(every[-1])
    return fmean(every) / fmean(still)


def finish() -> None:
    """Write what was found, and leave."""
    charts = [i for i, (_, charted) in enumerate(frames) if charted]
    ratios = [ratio([at for at, _ in frames[a : b + 1]]) for a, b in pairwise(charts)]
    Path(FILE).write_text(json.dumps(ratios))
    os._exit(0)


batch, look, mounted = Recorder.batch, WatchScreen._look, WatchScreen.on_mount


def timed_batch(
    self: Recorder, epoch: int, number: int, done: int, loss: float, lr: float, ended: float
) -> None:
    """As ever, and noted."""
    ends.append(time.perf_counter())
    firsts.append(number == 1)
    batch(self, epoch, number, done, loss, lr, ended)


def timed_look(self: WatchScreen, now: float) -> None:
    """As ever, and noted; enough of it ends the run."""
    begin, before = time.perf_counter(), self._charted
    look(self, now)
    frames.append((begin, self._charted is not before))
    if sum(charted for _, charted in frames) > PAIRS:
        finish()


def on_mount(self: WatchScreen) -> None:
    """As ever; what comes first is not counted."""
    mounted(self)
    self.set_timer(WARM_UP, frames.clear)


Recorder.batch = timed_batch  # type: ignore[method-assign]
WatchScreen._look = timed_look  # type: ignore[method-assign]
WatchScreen.on_mount = on_mount  # type: ignore[method-assign]
sys.argv = ["fivestep", "train", PRESET, "--epochs", "1000000", "--no-save"]
entry.main()
