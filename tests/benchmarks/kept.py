"""What all that keeps a run safe costs a batch: log, finite checks, and a checkpoint every 2 s.

    python tests/benchmarks/kept.py PRESET OPTIMIZER PAIRS

Runs with all of it and with none of it take turns in one process, a few seconds each, and change
places from pair to pair, so that a machine that gets slower or faster does not make the difference.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from time import perf_counter

sys.path.insert(0, str(Path(__file__).parent))
from loop import prepared

from fivestep.core.protocol.commands import Stop
from fivestep.core.protocol.snapshot import Change, EpochSummary
from fivestep.core.session.session import Session
from fivestep.core.storage.persistence import Persistence, Policy
from fivestep.core.storage.run_directory import RunDirectory

OFTEN = 2.0
"""Seconds of training between two checkpoints: 30 are usual."""
WARM_UP = 0.5
"""Seconds of a run that are not counted."""
SECONDS = 2 * OFTEN
"""That are: two checkpoints."""


class Stopwatch:
    """A listener that times the batches of some seconds, and ends the run then."""

    def __init__(self) -> None:
        self.session: Session | None = None
        self._began = perf_counter()
        self._first: tuple[int, float] | None = None
        self.seconds_per_batch = 0.0

    def batch(self, epoch: int, batch: int, batches_done: int, loss: float, lr: float) -> None:
        """Note when; it costs both the same."""
        here = perf_counter()
        if self._first is None:
            if here - self._began > WARM_UP:
                self._first = batches_done, here
        elif here - self._first[1] > SECONDS and not self.seconds_per_batch:
            batches, since = self._first
            self.seconds_per_batch = (here - since) / (batches_done - batches)
            self.session.send(Stop())

    def epoch(self, summary: EpochSummary) -> None:
        """Nothing."""

    def change(self, change: Change) -> None:
        """Nothing."""


def seconds(preset: str, optimizer: str, folder: Path | None) -> float:
    """Seconds of a batch, of a run that is kept in this folder, or neither kept nor checked."""
    watch, saving = Stopwatch(), None
    if folder is not None:
        saving = Persistence(RunDirectory.create(folder, None, preset), Policy(OFTEN))
    training = prepared(preset, optimizer, 1_000_000)
    checked = "ignore" if saving is None else "stop"
    watch.session = Session(training, watch, saving=saving, on_nonfinite=checked)
    watch.session.run()
    return watch.seconds_per_batch


def keeping_cost(preset: str, optimizer: str, pairs: int) -> list[float]:
    """Everything that keeps a run safe, over none of it."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for pair in range(pairs):
            turns = [Path(folder), None] if pair % 2 else [None, Path(folder)]
            took = {turn: seconds(preset, optimizer, turn) for turn in turns}
            found.append(took[Path(folder)] / took[None])
    return found


if __name__ == "__main__":
    print(*(f"{ratio:.3f}" for ratio in sorted(keeping_cost(*sys.argv[1:3], int(sys.argv[3])))))
