"""A run of the command whose batches take their time, and what it left on the disk."""

from __future__ import annotations

import json
import random
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faults.result import Result

from fivestep.core.storage.checkpoint import CheckpointError, CheckpointStore

SLOWLY = """
import os, sys, threading
from fivestep.tui.cli import main as entry
from fivestep.tui.terminal import imports as loading
loading.claim_process()
loading.load_torch()
from fivestep.presets import build

make, fsync, wait = build.make_criterion, os.fsync, threading.Event().wait

def make_slow(recipe):
    criterion = make(recipe)
    def slow(outputs, labels):
        wait(0.05 if os.path.exists(os.environ["SLOW"]) else 0.001)
        return criterion(outputs, labels)
    return slow

def hanging(fd):
    while os.path.exists(os.environ["HANGS"]):
        wait(0.01)
    fsync(fd)

build.make_criterion, os.fsync = make_slow, hanging
entry.main()
"""
COMMAND = (sys.executable, "-c", SLOWLY)
"""Trains as `fivestep` does; every batch takes at least 1 ms, and 50 ms while there is a file
`slow` in the folder of `environment`. While there is `hangs`, the disk does."""

PLAIN = (sys.executable, "-m", "fivestep")
"""The command as it is: torch is loaded while its screen says so."""


def environment(folder: Path) -> dict[str, str]:
    """For `COMMAND`: its only run is kept in the folder's `runs`."""
    return {
        "FIVESTEP_RUNS": str(folder / "runs"),
        "HANGS": str(folder / "hangs"),
        "SLOW": str(folder / "slow"),
    }


@dataclass(frozen=True)
class Left:
    """What is on the disk of the only run in a folder."""

    outcome: dict[str, Any]
    """Its outcome.json; empty if the run never came to its end."""
    batches: list[int]
    """Batches on record, as they were counted."""
    warnings: list[str]
    checkpoint: int
    """Batches done in the newest checkpoint that can be loaded; -1 if there is none."""

    def wrong(self, state: str) -> str:
        """What is not as it has to be after an end in this state; "" if nothing."""
        found, done = self.outcome.get("state"), self.outcome.get("batches")
        if found != state:
            return f"the outcome is {found}, not {state}"
        if self.batches != list(range(1, len(self.batches) + 1)):
            return "a batch is missing on record"
        if not (len(self.batches) == done == self.checkpoint):
            return f"{done} batches, {len(self.batches)} on record, {self.checkpoint} saved"
        return ""


def left(folder: Path) -> Left:
    """Read the only run in the folder."""
    (run,) = (path for path in (folder / "runs").iterdir() if (path / "run.json").exists())
    outcome = run / "outcome.json"
    try:
        done = CheckpointStore(run / "checkpoints").newest().state["progress"]["batches_done"]
    except CheckpointError:
        done = -1
    return Left(
        json.loads(outcome.read_text()) if outcome.exists() else {},
        [r["batches_done"] for r in records(run / "metrics.jsonl") if r["type"] == "batch"],
        [r["text"] for r in records(run / "events.jsonl") if r.get("kind") == "warning"],
        done,
    )


def in_situations(
    fault: str,
    what: str,
    trials: int,
    seed: int,
    kinds: Sequence[str],
    trial: Callable[[str, Path, random.Random], str],
) -> Result:
    """Try one situation after the other, each in a folder of its own; a trial says what is lost."""
    chance = random.Random(seed)
    lost: list[str] = []
    for number in range(trials):
        kind = kinds[number % len(kinds)]
        with tempfile.TemporaryDirectory() as folder:
            try:
                wrong = trial(kind, Path(folder), chance)
            except AssertionError as error:  # the screen did not show what it was waited for
                wrong = str(error)
        lost += [f"{kind}: {wrong}"] if wrong else []
    return Result(fault, what, trials, len(lost), tuple(lost[:10]))


def records(path: Path) -> list[dict[str, Any]]:
    """The lines of a log."""
    return [json.loads(row) for row in path.read_text().splitlines()] if path.exists() else []
