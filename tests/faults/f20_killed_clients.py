"""F20: clients of a run, each a process of its own, are killed with SIGKILL at any moment."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import tempfile
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from faults.children import ended, forked
from faults.kept_run import PLAIN
from faults.result import Result
from served import runtime

from fivestep.core.protocol import commands
from fivestep.core.serving.client import RemoteRun
from fivestep.core.session.session import Session
from fivestep.core.storage.checkpoint import CheckpointStore
from fivestep.presets.build import build
from fivestep.presets.recipe import load
from fivestep.tui.setup.attach import attach, live_runs

PROCESSES: Final = Path("/proc")
EPOCHS: Final = 80
LONGEST: Final = 0.05
"""Seconds that a client lives at most once it has begun."""


def train(folder: Path) -> subprocess.Popen[bytes]:
    """The run, in a process of its own."""
    words = ("train", "digits-mlp", "--epochs", str(EPOCHS), "--no-ui", "--name", "one")
    environment = {**os.environ, "FIVESTEP_RUNS": str(folder)}
    return subprocess.Popen([*PLAIN, *words], env=environment, stdout=subprocess.DEVNULL)


def client(folder: Path, seed: int) -> None:
    """Look and steer without an end, as fast as the run answers."""
    dice, remote = random.Random(seed), attach(folder, "one", watches=seed % 4 > 0)
    while True:
        remote.latest(curves=True)
        remote.now()
        remote.device()
        remote.send(dice.choice((commands.Pause(), commands.Show(layers=True), commands.Show())))
        remote.taken(remote.send(commands.Advance("batch")))


def held(process: int) -> tuple[int, int]:
    """How many threads and open sockets a process has; what else it opens are its own files."""
    place = PROCESSES / str(process)
    sockets = 0
    for fd in (place / "fd").iterdir():
        with suppress(FileNotFoundError):  # it was closed just now
            sockets += fd.readlink().name.startswith("socket:")
    return len([*(place / "task").iterdir()]), sockets


def settled(process: int, before: tuple[int, int]) -> tuple[int, int]:
    """The same, once the run has noticed that its clients are gone; or after ten seconds."""
    given_up = time.monotonic() + 10
    while (now := held(process)) > before and time.monotonic() < given_up:
        time.sleep(0.05)
    return now


def finished(remote: RemoteRun) -> bool:
    """Let the run go on to its end; whether that is a good one."""
    for command in (commands.SetSpeed(None), commands.Resume()):
        remote.taken(remote.send(command))
    remote.wait()
    return remote.outcome is not None and remote.outcome.state == "finished"


def campaign(trials: int, seed: int) -> Result:
    """Clients of one run are killed one after the other; then its numbers are those of a run
    alone, and nothing of the clients is left.
    """
    dice, notes = random.Random(seed), list[str]()
    with tempfile.TemporaryDirectory() as place, runtime() as sockets:
        folder = Path(place)
        run = train(folder)
        while not live_runs(folder):
            time.sleep(0.05)
        with closing(attach(folder, "one")) as first:
            first.taken(first.send(commands.Pause()))
            first.device()
            first.picture(None)
        before = held(run.pid)
        for i in range(trials):
            one = forked(lambda i=i: client(folder, i))
            time.sleep(dice.uniform(0, LONGEST))
            os.kill(one, signal.SIGKILL)
            if ended(one) != -signal.SIGKILL:
                notes.append(f"client {i} ended by itself")
        now = settled(run.pid, before)
        if now > before:
            notes.append(f"left: {now[0] - before[0]} threads, {now[1] - before[1]} sockets")
        with closing(attach(folder, "one")) as last:
            if not finished(last):
                notes.append(f"the run ended otherwise: {last.outcome}")
        run.wait()
        state = CheckpointStore(folder / "one" / "checkpoints").newest().state["model"]
        if any(sockets.rglob("*.sock")):
            notes.append("left: sockets")
    alone = build(load("digits-mlp", {"epochs": EPOCHS}))
    assert Session(alone).run().state == "finished"
    if any(not value.equal(state[name]) for name, value in alone.model.state_dict().items()):
        notes.append("the numbers are others")
    return Result("F20", "clients that are killed", trials, len(notes), tuple(notes))
