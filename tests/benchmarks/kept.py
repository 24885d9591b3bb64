"""What all that keeps a run safe costs a batch: log, finite checks, and a checkpoint every 2 s.

    python tests/benchmarks/kept.py PRESET OPTIMIZER PAIRS

One run does with all of it and with none of it in turns, so that neither the place of its memory
nor a machine that changes its speed makes the difference. A turn lasts from the log's writing to
its next writing (half a second): what a turn notes is put into words and written before it ends.
A checkpoint begins with a turn; a pair is the turns from one checkpoint to the next, with those
between them. Every batch has a line of its own in the log, however long that goes on.
"""

from __future__ import annotations

import math
import sys
import tempfile
import threading
from bisect import bisect_left
from itertools import pairwise
from pathlib import Path
from time import perf_counter

sys.path.insert(0, str(Path(__file__).parent))
from loop import prepared

from fivestep.core.protocol.commands import Stop
from fivestep.core.protocol.snapshot import Change, EpochSummary
from fivestep.core.session.session import Session
from fivestep.core.storage.persistence import COST, Persistence
from fivestep.core.storage.run_directory import RunDirectory

OFTEN = 2.0
"""Seconds of training between two checkpoints: 30 are usual."""
WARM_UP = 3
"""Pairs that are not counted; the first is what lies before the first checkpoint."""


class Turns:
    """A listener that takes from its run, in turns, all that keeps it safe, and gives it back."""

    def __init__(self, preset: str, optimizer: str, folder: Path) -> None:
        self.ends: list[float] = []
        """When each batch was done (`time.perf_counter`)."""
        self.turns: list[tuple[float, bool, bool]] = []
        """When each began, whether it keeps the run safe, whether with a checkpoint."""
        self.enough = threading.Event()
        self._saving = Persistence(RunDirectory.create(folder, "kept", preset))
        training = prepared(preset, optimizer, 1_000_000)
        self.session = Session(training, self, saving=self._saving)
        engine = self.session._engine
        self._record = self.session._run.recorder
        self._since, self._want = 0.0, math.inf
        self._readings = engine.readings
        self._log = log = self._saving.log
        self._turned = False
        log._windows._every = sys.maxsize
        flush = log.flush

        def flush_and_turn(*, sync: bool = False) -> bool:
            done = flush(sync=sync)
            if threading.current_thread() is log._writer:
                self._turn()
            return done

        log.flush = flush_and_turn  # type: ignore[method-assign]

    def batch(self, epoch: int, batch: int, batches_done: int, loss: float, lr: float) -> None:
        """Note when; it costs both the same."""
        self.ends.append(perf_counter())
        if self._turned:  # the log has whole blocks
            self._turned = False
            record, losses = self._record, self._record._losses
            record._log = losses._log = self._log if self.turns[-1][1] else None
            losses._next = 0

    def change(self, change: Change) -> None:
        """Nothing."""

    def epoch(self, summary: EpochSummary) -> None:
        """Nothing."""

    def _turn(self) -> None:
        """In the log's thread, which has just written all there was."""
        here, saving = perf_counter(), self._saving
        safe = not (self.turns and self.turns[-1][1])
        saves = False
        if safe:
            saves = self._since >= max(OFTEN, COST * saving._writer.last_seconds)
            if saves:
                self._since = 0.0
        else:
            if self.turns:
                self._since += here - self.turns[-1][0]
        saving.due = here if saves else math.inf
        self._readings.checks = self._readings._stops = safe
        self.turns.append((here, safe, saves))
        self._turned = True
        self.session.mailbox.poke()
        if sum(saves for _, _, saves in self.turns) > self._want:
            self.enough.set()

    def ratios(self, count: int) -> list[float]:
        """Time of a batch, kept over not kept, of so many pairs."""
        self._want = WARM_UP + count
        self.session.start()
        while not self.enough.wait(0.5):
            assert self.session.outcome is None, self.session.outcome
        self.session.send(Stop())
        self.session.join()
        turns, ends = self.turns, self.ends
        found, took = [], {True: [0.0, 0], False: [0.0, 0]}
        for (begin, safe, saves), (end, _, _) in pairwise(turns):
            if saves:
                on, off = took[True], took[False]
                found.append(on[0] / on[1] / (off[0] / off[1]))
                took = {True: [0.0, 0], False: [0.0, 0]}
            first, last = bisect_left(ends, begin), bisect_left(ends, end) - 1
            took[safe][0] += ends[last] - ends[first]
            took[safe][1] += last - first
        return found[WARM_UP:]


def keeping_cost(preset: str, optimizer: str, pairs: int) -> list[float]:
    """Everything that keeps a run safe, over none of it."""
    with tempfile.TemporaryDirectory() as folder:
        return Turns(preset, optimizer, Path(folder)).ratios(pairs)


if __name__ == "__main__":
    print(*(f"{ratio:.3f}" for ratio in sorted(keeping_cost(*sys.argv[1:3], int(sys.argv[3])))))
