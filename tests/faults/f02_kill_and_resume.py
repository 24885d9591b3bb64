"""F2: `fivestep train` is killed with SIGKILL at random moments, and `fivestep resume` goes on.

Every preset that needs no download, as its recipe has it. Lost is each run whose last checkpoint,
summary or log is not, bit for bit, that of the run that nothing interrupted. With few trials the
commands are forked from a process that has imported torch; with more they are real commands, which
may be killed while they start, too.
"""

from __future__ import annotations

import json
import os
import random
import select
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from digest import digest
from faults.children import ChildError, ended, forked
from faults.f02_resume_anywhere import Log, log_of
from faults.result import Result
from offline import OFFLINE

from fivestep.core.storage.checkpoint import CheckpointError, CheckpointStore
from fivestep.tui.cli import app as cli
from fivestep.tui.cli import run_tables as listing_runs  # noqa: F401
from fivestep.tui.headless import (
    json_reporter,  # noqa: F401
    runner,  # noqa: F401
)
from fivestep.tui.setup import resume as resuming  # noqa: F401

FEW = 12
"""Fewer trials than these fork their commands, and shorten the runs."""
SUMMARY = (
    *("outcome", "epochs", "batches", "train_loss", "val_loss", "val_metric"),
    *("best_val_metric", "best_epoch", "saved"),
)
STATE = (
    *("model", "buffers", "criterion", "optimizer", "scheduler", "gradients"),
    *("progress", "rate", "rng", "loaders", "record"),
)
LIMIT = 600.0


class Command:
    """`fivestep` with some arguments, its stdout in a file."""

    def __init__(self, arguments: list[str], output: Path, *, fork: bool) -> None:
        self.began = time.perf_counter()
        with output.open("wb") as file:
            if fork:
                self.process = forked(lambda: cli.run(arguments), output=file.fileno())
                return
            command = [sys.executable, "-m", "fivestep", *arguments]
            streams = [(os.POSIX_SPAWN_DUP2, file.fileno(), number) for number in (1, 2)]
            self.process = os.posix_spawn(
                sys.executable, command, os.environ, file_actions=streams, setsid=True
            )

    def killed(self, after: float) -> bool:
        """Kill it so many seconds after its start; False if it had ended by itself."""
        left = self.began + after - time.perf_counter()
        while left > 0 and not self._gone():
            select.select((), (), (), min(left, 0.01))
            left = self.began + after - time.perf_counter()
        alive = not self._gone()
        if alive:
            os.kill(self.process, signal.SIGKILL)
        os.waitpid(self.process, 0)
        return alive

    def _gone(self) -> bool:
        there = os.waitid(os.P_PID, self.process, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return there is not None


class Trial:
    """A preset, trained to its end in one go, or with interruptions."""

    def __init__(self, preset: str, folder: Path, *, quick: bool) -> None:
        self.preset, self.folder, self.quick = preset, folder, quick
        self.seconds = 0.0
        self.attempts = 0

    def command(self, word: str, name: str) -> Command:
        """Train or resume under this name."""
        options = ["--no-ui", "--json", "--save-every", "0.2s", "--runs-dir", str(self.folder)]
        what = [self.preset, "--name", name] if word == "train" else [name]
        if word == "train" and self.quick:
            options += ["--epochs", "12"]
        self.attempts += 1
        return Command([word, *what, *options], self.output, fork=self.quick)

    @property
    def output(self) -> Path:
        return self.folder / "output"

    def whole(self) -> tuple[str, dict[str, Any], Log]:
        """What the run is that nothing interrupts."""
        command = self.command("train", "whole")
        code = ended(command.process, LIMIT)
        self.seconds = time.perf_counter() - command.began
        if code:
            raise ChildError(f"ended with {code}: {self.output.read_text()[-500:]}")
        return self.found("whole")

    def interrupted(self, name: str, draw: random.Random) -> tuple[tuple[str, Any, Log], int]:
        """The same for a run that is killed up to three times, and how often that was."""
        kills, word = 0, "train"
        for _ in range(draw.randint(1, 3)):
            kills += self.command(word, name).killed(draw.uniform(0, self.seconds))
            saved = any((self.folder / name / "checkpoints").glob("*.pt"))
            word = "resume" if saved else "train"
            if word == "train":  # there is nothing to go on from
                name += "x"
        code = ended(self.command(word, name).process, LIMIT)
        if code:
            raise ChildError(f"{word} ended with {code}: {self.output.read_text()[-500:]}")
        return self.found(name), kills

    def found(self, name: str) -> tuple[str, dict[str, Any], Log]:
        """A run's last state as a digest, how it ended, and its log."""
        records = [json.loads(line) for line in self.output.read_text().splitlines()]
        last = records[-1]
        state = CheckpointStore(self.folder / name / "checkpoints").newest().state
        mark = digest({key: state[key] for key in STATE if key in state})
        return mark, {key: last.get(key) for key in SUMMARY}, log_of(self.folder / name)


def examined(preset: str, count: int, draw: random.Random, *, quick: bool) -> tuple[int, list[str]]:
    """Interrupt a preset's run so many times; how many kills that were, and what went wrong."""
    wrong: list[str] = []
    kills = 0
    with tempfile.TemporaryDirectory() as made:
        trial = Trial(preset, Path(made), quick=quick)
        try:
            whole = trial.whole()
        except (ChildError, CheckpointError) as error:
            return 0, [f"{preset}: {error}"] * count
        for number in range(count):
            try:
                again, killed = trial.interrupted(f"run-{number}", draw)
            except (ChildError, CheckpointError, ValueError) as error:
                wrong.append(f"{preset}, run {number}: {error}")
                continue
            kills += killed
            same = [one == other for one, other in zip(whole, again, strict=True)]
            parts = [
                part
                for part, good in zip(("state", "summary", "log"), same, strict=True)
                if not good
            ]
            if parts:
                wrong.append(f"{preset}, run {number}: another {', '.join(parts)}")
    return kills, wrong


def campaign(trials: int, seed: int) -> Result:
    """So many runs that are killed one to three times, spread over the presets."""
    draw = random.Random(seed)
    presets = OFFLINE
    quick = trials < FEW
    if quick:
        presets = draw.sample(["iris-mlp", "wine-mlp", "diabetes-mlp"], 1)
    kills, wrong = 0, []
    for number, preset in enumerate(presets):
        count = trials // len(presets) + (number < trials % len(presets))
        if count:
            found, bad = examined(preset, count, draw, quick=quick)
            kills += found
            wrong += bad
    notes = (f"{len(presets)} presets, {kills} kills", *wrong[:20])
    return Result("F2", "kill -9 and resume", trials, len(wrong), notes)
