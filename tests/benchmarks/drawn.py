"""A run on the screen: what drawing costs a batch.

    python tests/benchmarks/drawn.py PRESET PAIRS FILE

Runs on a terminal (`costs.py` gives it one). The screen draws a few frames a second, and nothing at
all in the second half of the time from each to the next: there the run goes on as it does without a
screen. The time of a batch over all of some seconds (charts are drawn in them, too), over the time
of a batch in these halves, is a pair: both come from the same seconds of the same process, so that
neither the place of its memory nor a machine that changes its speed makes the difference. The first
batch of an epoch, whose time has what ends the epoch before in it, counts for neither. Writes the
ratios as JSON.
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
from typing import Any

from fivestep.core.session.recorder import Recorder
from fivestep.tui.cli import main as entry
from fivestep.tui.watch.watch import WatchScreen

PRESET, PAIRS, FILE = sys.argv[1], int(sys.argv[2]), sys.argv[3]
WARM_UP = 4.0
"""Seconds in which the screen is built, and charts find their pace."""
STRETCH = 5.0
"""Seconds of a pair: a chart is drawn every four at least."""

ends: list[float] = []
"""When each batch was done (`time.perf_counter`)."""
firsts: list[bool] = []
"""Whether it was the first of its epoch."""
frames: list[float] = []
"""When each frame began."""


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
    stretches: list[list[float]] = [[]]
    for frame in frames:
        if stretches[-1] and frame - stretches[-1][0] > STRETCH:
            stretches[-1].append(frame)
            stretches.append([])
        stretches[-1].append(frame)
    Path(FILE).write_text(json.dumps([ratio(stretch) for stretch in stretches[:PAIRS]]))
    os._exit(0)


batch, tick = Recorder.batch, WatchScreen.tick


def timed_batch(self: Recorder, epoch: int, number: int, *more: Any) -> None:
    """As ever, and noted."""
    ends.append(time.perf_counter())
    firsts.append(number == 1)
    batch(self, epoch, number, *more)


def timed_tick(self: WatchScreen, *, everything: bool = True) -> bool:
    """As ever, and noted; enough of it ends the run."""
    here = time.perf_counter()
    drawn = tick(self, everything=everything)
    if ends and here - ends[0] > WARM_UP:
        frames.append(here)
        if here - frames[0] > (PAIRS + 1) * STRETCH:
            finish()
    return drawn


Recorder.batch = timed_batch  # type: ignore[method-assign]
WatchScreen.tick = timed_tick  # type: ignore[method-assign]
sys.argv = ["fivestep", "train", PRESET, "--epochs", "1000000", "--no-save"]
entry.main()
