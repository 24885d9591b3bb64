"""F13: the window gets one size after the other, from 1x1 to 500x200, while a run trains.

Lost are the sizes if the run did not go on, or made less than half of its steps. How many it made
is told in the notes.
"""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

from faults.kept_run import records
from faults.result import Result
from terminal import Terminal

PACE = 0.02
"""Seconds between two sizes: faster than a person drags a window's corner."""
CALM = 2.0
"""Seconds, at most, in which the steps are counted without a storm."""


def storm(sizes: int, seed: int, folder: Path) -> tuple[float, float]:
    """Batches a second without a storm, and during one.

    Raises:
        AssertionError: the screen, or the run, did not get through it.
    """
    chance = random.Random(seed)
    words = ("train", "line-linear", "--epochs", "1000000", "--device", "cpu")
    with Terminal(*words, FIVESTEP_RUNS=str(folder)) as terminal:
        terminal.until("RUNNING")
        _hold_and_go_on(terminal)
        terminal.rest(min(CALM, sizes * PACE), draw=False)
        _hold_and_go_on(terminal)
        shapes = [(1, 1), (500, 200), (500, 1), (1, 200)]
        shapes += [(chance.randint(1, 500), chance.randint(1, 200)) for _ in range(sizes)]
        for columns, rows in shapes[:sizes]:
            terminal.resize(columns, rows)
            terminal.rest(PACE, draw=False)  # drawing costs more than the screen does
        terminal.resize(120, 36)
        _hold_and_go_on(terminal)
        terminal.type("ql")
        assert terminal.ended() == 0, terminal.text
    held = [
        (record["time"], record["batches_done"], record["kind"])
        for record in records(next(folder.iterdir()) / "events.jsonl")
        if record.get("kind") in ("pause", "resume")
    ]
    (a, i, _), (b, j, _), (c, k, _), (d, m, _) = held[1:5]
    return (j - i) / (b - a), (m - k) / (d - c)


def _hold_and_go_on(terminal: Terminal) -> None:
    """Leave a mark in the record: the time, and the batches until then."""
    terminal.type(" ")
    terminal.until("PAUSED")
    terminal.type(" ")
    terminal.until("RUNNING")


def campaign(trials: int, seed: int) -> Result:
    """Give the window of one run `trials` sizes."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            calm, stormy = storm(trials, seed, Path(folder))
        except AssertionError as error:
            return Result("F13", "resize storm", trials, trials, (str(error)[:2000],))
    share = stormy / calm
    notes = (f"{share:.0%} of the steps a second: {stormy:,.0f} of {calm:,.0f}",)
    return Result("F13", "resize storm", trials, 0 if share > 0.5 else trials, notes)
